//! What browsers refuse and naga lets pass, looked for in every shader: barriers and operations of subgroups that not all
//! invocations of a workgroup reach, too much workgroup memory, and comparisons that only a NaN answers.

use naga::{Block, Expression, Function, Handle, LocalVariable, Module, Statement};

use crate::shaders::{entry_points, shaders, specialized, validated};

/// What WebGPU gives every workgroup.
const WORKGROUP_MEMORY: u32 = 16 << 10;

/// Looks for barriers in control flow that is not uniform.
struct Uniformity<'a> {
    module: &'a Module,
    function: &'a Function,
    /// Whether some invocations may already have returned.
    has_diverged: bool,
    problems: Vec<String>,
}

impl<'a> Uniformity<'a> {
    fn problems(module: &'a Module, function: &'a Function) -> Vec<String> {
        let mut uniformity = Uniformity { module, function, has_diverged: false, problems: Vec::new() };
        uniformity.walk(&function.body, true);
        uniformity.problems
    }

    fn walk(&mut self, block: &Block, is_uniform: bool) {
        for statement in block {
            match statement {
                Statement::ControlBarrier(_) => self.barrier("a barrier", is_uniform),
                Statement::SubgroupGather { .. }
                | Statement::SubgroupBallot { .. }
                | Statement::SubgroupCollectiveOperation { .. } => self.barrier("a subgroup's operation", is_uniform),
                Statement::Call { function, .. } => {
                    let callee = &self.module.functions[*function];
                    if has_barrier(self.module, &callee.body) {
                        let name = callee.name.clone().unwrap_or_default();
                        self.barrier(&format!("a call of {name}, which has such,"), is_uniform);
                    }
                }
                Statement::Block(block) => self.walk(block, is_uniform),
                Statement::If { condition, accept, reject } => {
                    let is_condition_uniform = self.is_uniform(*condition, &mut Vec::new());
                    for block in [accept, reject] {
                        self.walk(block, is_uniform && is_condition_uniform);
                        self.has_diverged |= !is_condition_uniform && returns(block);
                    }
                }
                Statement::Switch { selector, cases } => {
                    let is_selector_uniform = self.is_uniform(*selector, &mut Vec::new());
                    for case in cases {
                        self.walk(&case.body, is_uniform && is_selector_uniform);
                        self.has_diverged |= !is_selector_uniform && returns(&case.body);
                    }
                }
                Statement::Loop { body, continuing, break_if } => {
                    let ends_uniformly = self.ends_uniformly(body, true)
                        && break_if.is_none_or(|condition| self.is_uniform(condition, &mut Vec::new()));
                    self.walk(body, is_uniform && ends_uniformly);
                    self.walk(continuing, is_uniform && ends_uniformly);
                }
                _ => {}
            }
        }
    }

    fn barrier(&mut self, what: &str, is_uniform: bool) {
        if !is_uniform {
            self.problems.push(format!("{what} in control flow that is not uniform"));
        } else if self.has_diverged {
            self.problems.push(format!("{what} behind a return that is not uniform"));
        }
    }

    /// Whether all invocations leave a loop's body together.
    fn ends_uniformly(&self, block: &Block, is_uniform: bool) -> bool {
        block.iter().all(|statement| match statement {
            Statement::Break | Statement::Continue | Statement::Return { .. } => is_uniform,
            Statement::Block(block) => self.ends_uniformly(block, is_uniform),
            Statement::If { condition, accept, reject } => {
                let is_uniform = is_uniform && self.is_uniform(*condition, &mut Vec::new());
                self.ends_uniformly(accept, is_uniform) && self.ends_uniformly(reject, is_uniform)
            }
            _ => true,
        })
    }

    /// Whether an expression has the same value in all invocations. Those that are not known to are taken not to.
    fn is_uniform(&self, expression: Handle<Expression>, seen: &mut Vec<Handle<LocalVariable>>) -> bool {
        match &self.function.expressions[expression] {
            Expression::Literal(_) | Expression::Constant(_) | Expression::Override(_) | Expression::ZeroValue(_) => {
                true
            }
            Expression::GlobalVariable(variable) => {
                self.module.global_variables[*variable].space == naga::AddressSpace::Uniform
            }
            Expression::FunctionArgument(index) => {
                use naga::{Binding, BuiltIn};
                let binding = &self.function.arguments[*index as usize].binding;
                matches!(binding, Some(Binding::BuiltIn(BuiltIn::WorkGroupId | BuiltIn::NumWorkGroups)))
            }
            Expression::CallResult(function) => {
                let arguments = self.arguments_of(&self.function.body, expression);
                is_of_its_arguments(self.module, &self.module.functions[*function])
                    && arguments.iter().flatten().all(|argument| self.is_uniform(*argument, seen))
            }
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                [Some(*arg), *arg1, *arg2, *arg3].into_iter().flatten().all(|argument| self.is_uniform(argument, seen))
            }
            Expression::Select { condition, accept, reject } => {
                [condition, accept, reject].into_iter().all(|value| self.is_uniform(*value, seen))
            }
            Expression::Load { pointer } => self.is_uniform(*pointer, seen),
            Expression::AccessIndex { base, .. } => self.is_uniform(*base, seen),
            Expression::Unary { expr, .. } | Expression::As { expr, .. } => self.is_uniform(*expr, seen),
            Expression::Binary { left, right, .. } => self.is_uniform(*left, seen) && self.is_uniform(*right, seen),
            Expression::LocalVariable(variable) => {
                if seen.contains(variable) {
                    return true;
                }
                seen.push(*variable);
                let mut stored = Vec::new();
                self.stores(&self.function.body, *variable, &mut stored);
                stored.extend(self.function.local_variables[*variable].init);
                stored.into_iter().all(|value| self.is_uniform(value, seen))
            }
            _ => false,
        }
    }

    /// What is given to the call that has this result.
    fn arguments_of(&self, block: &Block, wanted: Handle<Expression>) -> Option<Vec<Handle<Expression>>> {
        block.iter().find_map(|statement| match statement {
            Statement::Call { arguments, result, .. } if *result == Some(wanted) => Some(arguments.clone()),
            _ => blocks(statement).into_iter().find_map(|block| self.arguments_of(block, wanted)),
        })
    }

    fn stores(&self, block: &Block, variable: Handle<LocalVariable>, stored: &mut Vec<Handle<Expression>>) {
        for statement in block {
            match statement {
                Statement::Store { pointer, value } => {
                    if let Expression::LocalVariable(target) = self.function.expressions[*pointer]
                        && target == variable
                    {
                        stored.push(*value);
                    }
                }
                _ => blocks(statement).into_iter().for_each(|block| self.stores(block, variable, stored)),
            }
        }
    }
}

/// Whether what a function returns depends on nothing but its arguments and uniforms.
fn is_of_its_arguments(module: &Module, function: &Function) -> bool {
    function.expressions.iter().all(|(_, expression)| match expression {
        Expression::GlobalVariable(variable) => module.global_variables[*variable].space == naga::AddressSpace::Uniform,
        Expression::CallResult(callee) => is_of_its_arguments(module, &module.functions[*callee]),
        Expression::SubgroupBallotResult | Expression::SubgroupOperationResult { .. } => false,
        _ => true,
    })
}

/// The blocks inside a statement.
fn blocks(statement: &Statement) -> Vec<&Block> {
    match statement {
        Statement::Block(block) => vec![block],
        Statement::If { accept, reject, .. } => vec![accept, reject],
        Statement::Switch { cases, .. } => cases.iter().map(|case| &case.body).collect(),
        Statement::Loop { body, continuing, .. } => vec![body, continuing],
        _ => Vec::new(),
    }
}

fn returns(block: &Block) -> bool {
    block
        .iter()
        .any(|statement| matches!(statement, Statement::Return { .. }) || blocks(statement).into_iter().any(returns))
}

fn has_barrier(module: &Module, block: &Block) -> bool {
    block.iter().any(|statement| match statement {
        Statement::ControlBarrier(_)
        | Statement::SubgroupGather { .. }
        | Statement::SubgroupBallot { .. }
        | Statement::SubgroupCollectiveOperation { .. } => true,
        Statement::Call { function, .. } => has_barrier(module, &module.functions[*function].body),
        statement => blocks(statement).into_iter().any(|block| has_barrier(module, block)),
    })
}

fn barrier_problems(module: &Module) -> Vec<String> {
    let functions = module.functions.iter().map(|(_, function)| function);
    let entry_points = module.entry_points.iter().map(|entry| &entry.function);
    functions.chain(entry_points).flat_map(|function| Uniformity::problems(module, function)).collect()
}

#[test]
fn barriers_are_in_uniform_control_flow() {
    let mut with_barriers = 0;
    for (name, source) in shaders() {
        let (module, _) = validated(&name, &source);
        with_barriers += usize::from(source.contains("workgroupBarrier()"));
        let problems = barrier_problems(&module);
        assert!(problems.is_empty(), "{name}: {problems:?}");
    }
    assert!(with_barriers >= 3);
    let subgroup = shaders().into_iter().filter(|(name, _)| name.ends_with("subgroup")).count();
    assert!(subgroup >= 3);
}

#[test]
fn the_lint_sees_a_wrong_barrier() {
    let wrong = |body: &str| {
        let source = format!(
            "var<workgroup> shared_values: array<f32, 64>;
            fn twice(x: u32) -> u32 {{ return 2u * x; }}
            fn loaded(x: u32) -> u32 {{ return u32(shared_values[x]); }}
            @compute @workgroup_size(64)
            fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) workgroup: vec3<u32>) {{ {body} shared_values[lane] = 1.0; }}"
        );
        !barrier_problems(&naga::front::wgsl::parse_str(&source).unwrap()).is_empty()
    };
    assert!(!wrong("workgroupBarrier();"));
    assert!(!wrong("for (var i = 0u; i < 4u; i++) { workgroupBarrier(); }"));
    assert!(!wrong("if (workgroup.x > 3u) { return; } workgroupBarrier();"));
    assert!(!wrong("for (var i = 0u; i < min(workgroup.x, 4u); i++) { workgroupBarrier(); }"));
    assert!(wrong("for (var i = 0u; i < min(workgroup.x, lane); i++) { workgroupBarrier(); }"));
    assert!(!wrong("if (twice(workgroup.x) > 3u) { workgroupBarrier(); }"));
    assert!(wrong("if (twice(lane) > 3u) { workgroupBarrier(); }"));
    assert!(wrong("if (loaded(workgroup.x) > 3u) { workgroupBarrier(); }"));
    assert!(!wrong("if (select(1u, 9u, workgroup.x > 3u) > 3u) { workgroupBarrier(); }"));
    assert!(wrong("if (select(1u, 9u, lane > 3u) > 3u) { workgroupBarrier(); }"));
    assert!(wrong("if (lane > 3u) { workgroupBarrier(); }"));
    assert!(wrong("if (lane > 3u) { return; } workgroupBarrier();"));
    assert!(wrong("for (var i = 0u; i < lane; i++) { workgroupBarrier(); }"));
    assert!(wrong("for (var i = lane; i < 64u; i++) { workgroupBarrier(); }"));
    assert!(!wrong("let sum = subgroupAdd(lane);"));
    assert!(wrong("if (lane > 3u) { let first = subgroupBroadcast(lane, 0u); }"));
    assert!(wrong("for (var i = 0u; i < lane; i++) { let first = subgroupBroadcast(lane, 0u); }"));
}

#[test]
fn workgroup_memory_is_within_webgpus_limit() {
    for (name, source) in shaders() {
        // The largest workgroup that any kernel asks for.
        let source = source.replace("override WORKGROUP_SIZE: u32 = 64u;", "override WORKGROUP_SIZE: u32 = 256u;");
        let (module, info) = validated(&name, &source);
        for entry_point in entry_points(&module) {
            let (module, _) = specialized(&module, &info, &entry_point);
            let mut layouter = naga::proc::Layouter::default();
            layouter.update(module.to_ctx()).unwrap();
            let bytes: u32 = module
                .global_variables
                .iter()
                .filter(|(_, variable)| variable.space == naga::AddressSpace::WorkGroup)
                .map(|(_, variable)| layouter[variable.ty].size)
                .sum();
            assert!(bytes <= WORKGROUP_MEMORY, "{name}, {entry_point}: {bytes} bytes");
        }
    }
}

#[test]
fn no_shader_asks_a_float_whether_it_is_itself() {
    for (name, source) in shaders() {
        let words: Vec<&str> = source.split(|c: char| c.is_whitespace() || "();,".contains(c)).collect();
        for window in words.windows(3) {
            let is_self = matches!(window[1], "!=" | "==") && window[0] == window[2];
            assert!(!is_self, "{name}: {window:?} is for a NaN, but drivers may assume that there is none");
        }
    }
}
