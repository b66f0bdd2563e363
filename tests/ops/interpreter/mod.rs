//! An interpreter of naga's modules that follows one invocation and keeps what it does to workgroup memory.
//!
//! It runs on the uniform of a real dispatch. What comes from buffers or workgroup memory, or is a float, is unknown to it;
//! of a condition that is unknown it takes both ways.

mod value;

use std::collections::BTreeMap;

use naga::{
    AddressSpace, Block, BuiltIn, Expression, Function, GlobalVariable, Handle, LocalVariable, MathFunction, Module,
    RelationalFunction, Statement, SwitchCase, SwitchValue,
};

use value::*;

/// How often a loop is run of which the end is unknown.
const UNKNOWN_ROUNDS: usize = 3;

/// An access of workgroup memory: the variable, the element if it is known, and whether it is written.
pub type Access = (Handle<GlobalVariable>, Option<usize>, bool);

#[derive(Debug, Clone, Default)]
struct Frame {
    arguments: Vec<Value>,
    locals: BTreeMap<Handle<LocalVariable>, Value>,
}

/// What an invocation has in memory of its own.
#[derive(Debug, Clone, Default)]
struct State {
    frames: Vec<Frame>,
    private: BTreeMap<Handle<GlobalVariable>, Value>,
}

impl State {
    fn join(&mut self, other: State) {
        fn join_all<K: Ord>(own: &mut BTreeMap<K, Value>, other: BTreeMap<K, Value>) {
            for (key, value) in other {
                let joined = own.remove(&key).map_or(Unknown, |own| own.join(value));
                own.insert(key, joined);
            }
        }
        join_all(&mut self.private, other.private);
        for (own, other) in self.frames.iter_mut().zip(other.frames) {
            join_all(&mut own.locals, other.locals);
        }
    }
}

/// How a block ends.
#[derive(Debug, Clone, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
    Return(Value),
}

/// A workgroup of a dispatch: the module of one entry point, specialized, and what it is given.
pub struct Workgroup<'a> {
    pub module: &'a Module,
    pub uniform: &'a [u8],
    pub id: [u32; 3],
    pub grid: [u32; 3],
}

struct Invocation<'a> {
    workgroup: &'a Workgroup<'a>,
    state: State,
    /// Of each call on the way the expressions that were evaluated. What is evaluated in a block is used there alone.
    values: Vec<Vec<Option<Value>>>,
    /// What may have left a loop or a function on the way, innermost last.
    left: Vec<Vec<(Flow, State)>>,
    /// The accesses between barriers.
    phases: Vec<Vec<Access>>,
}

/// What an invocation does to workgroup memory between barriers.
pub fn accesses(workgroup: &Workgroup<'_>, function: &Function, index: u32) -> Vec<Vec<Access>> {
    Invocation::run(workgroup, function, index)
}

impl<'a> Invocation<'a> {
    fn run(workgroup: &'a Workgroup<'a>, function: &'a Function, index: u32) -> Vec<Vec<Access>> {
        let mut invocation = Invocation {
            workgroup,
            state: State::default(),
            values: Vec::new(),
            left: Vec::new(),
            phases: vec![Vec::new()],
        };
        let vector = |parts: [u32; 3]| Parts(parts.map(U32).to_vec());
        let arguments = function.arguments.iter().map(|argument| match argument.binding {
            Some(naga::Binding::BuiltIn(BuiltIn::WorkGroupId)) => vector(workgroup.id),
            Some(naga::Binding::BuiltIn(BuiltIn::NumWorkGroups)) => vector(workgroup.grid),
            Some(naga::Binding::BuiltIn(BuiltIn::LocalInvocationIndex)) => U32(index),
            _ => Unknown,
        });
        invocation.call(function, arguments.collect());
        invocation.phases
    }

    fn module(&self) -> &'a Module {
        self.workgroup.module
    }

    fn call(&mut self, function: &'a Function, arguments: Vec<Value>) -> Value {
        let depth = self.state.frames.len();
        assert!(depth < 50, "{:?} recurses", function.name);
        self.state.frames.push(Frame { arguments, ..Frame::default() });
        self.values.push(vec![None; function.expressions.len()]);
        for (handle, variable) in function.local_variables.iter() {
            let value = match variable.init {
                Some(init) => self.value(function, init),
                None => zero(self.module(), variable.ty),
            };
            self.state.frames[depth].locals.insert(handle, value);
        }
        self.left.push(Vec::new());
        let flow = self.block(function, &function.body);
        let mut result = if let Flow::Return(value) = flow { value } else { Unknown };
        for (flow, state) in self.left.pop().unwrap_or_default() {
            if let Flow::Return(value) = flow {
                result = result.join(value);
            }
            self.state.join(state);
        }
        self.state.frames.truncate(depth);
        self.values.truncate(depth);
        result
    }

    fn block(&mut self, function: &'a Function, block: &'a Block) -> Flow {
        for statement in block {
            let flow = self.statement(function, statement);
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    fn statement(&mut self, function: &'a Function, statement: &'a Statement) -> Flow {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let value = self.evaluated(function, handle);
                    self.keep(handle, value);
                }
            }
            Statement::Block(block) => return self.block(function, block),
            Statement::If { condition, accept, reject } => match self.value(function, *condition) {
                Bool(true) => return self.block(function, accept),
                Bool(false) => return self.block(function, reject),
                _ => return self.both(function, [accept, reject]),
            },
            Statement::Switch { selector, cases } => {
                let selector = match self.value(function, *selector) {
                    U32(selector) => SwitchValue::U32(selector),
                    I32(selector) => SwitchValue::I32(selector),
                    other => panic!("a switch by {other:?}"),
                };
                let is_default = |case: &&SwitchCase| case.value == SwitchValue::Default;
                let case = cases.iter().find(|case| case.value == selector).or(cases.iter().find(is_default));
                let case = case.expect("a switch has a default");
                assert!(!case.fall_through);
                let flow = self.block(function, &case.body);
                return if flow == Flow::Break { Flow::Next } else { flow };
            }
            Statement::Loop { body, continuing, break_if } => {
                return self.repeat(function, body, continuing, *break_if);
            }
            Statement::Break => return Flow::Break,
            Statement::Continue => return Flow::Continue,
            Statement::Return { value } => {
                return Flow::Return(value.map_or(Unknown, |value| self.value(function, value)));
            }
            Statement::ControlBarrier(barrier) if barrier.contains(naga::Barrier::WORK_GROUP) => {
                self.phases.push(Vec::new());
            }
            Statement::Store { pointer, value } => {
                let value = self.value(function, *value);
                match self.value(function, *pointer) {
                    Pointer(Root::Local(depth, variable), path) => {
                        self.state.frames[depth].locals.get_mut(&variable).unwrap().set(&path, value);
                    }
                    Pointer(Root::Global(variable), path) => match self.module().global_variables[variable].space {
                        AddressSpace::WorkGroup => self.access(variable, &path, true),
                        AddressSpace::Private => {
                            let ty = self.module().global_variables[variable].ty;
                            let module = self.module();
                            self.state.private.entry(variable).or_insert_with(|| zero(module, ty)).set(&path, value);
                        }
                        _ => {}
                    },
                    other => panic!("a store to {other:?}"),
                }
            }
            Statement::Call { function: callee, arguments, result } => {
                let arguments = arguments.iter().map(|argument| self.value(function, *argument)).collect();
                let value = self.call(&self.module().functions[*callee], arguments);
                result.iter().for_each(|result| self.keep(*result, value.clone()));
            }
            Statement::Atomic { pointer, result, .. } => {
                if let Pointer(Root::Global(variable), _) = self.value(function, *pointer) {
                    assert_ne!(self.module().global_variables[variable].space, AddressSpace::WorkGroup);
                }
                result.iter().for_each(|result| self.keep(*result, Unknown));
            }
            Statement::SubgroupGather { result, .. }
            | Statement::SubgroupCollectiveOperation { result, .. }
            | Statement::SubgroupBallot { result, .. } => self.keep(*result, Unknown),
            Statement::ControlBarrier(_) | Statement::MemoryBarrier(_) => {}
            other => panic!("{other:?} is not understood"),
        }
        Flow::Next
    }

    /// Both ways of a condition that is not known.
    fn both(&mut self, function: &'a Function, ways: [&'a Block; 2]) -> Flow {
        let (before, phases) = (self.state.clone(), self.phases.len());
        let first = self.block(function, ways[0]);
        let after_first = std::mem::replace(&mut self.state, before);
        let second = self.block(function, ways[1]);
        assert_eq!(self.phases.len(), phases, "a barrier under a condition that is not known");
        match (first, second) {
            (Flow::Next, Flow::Next) => {
                self.state.join(after_first);
                Flow::Next
            }
            (Flow::Next, second) => {
                let state = std::mem::replace(&mut self.state, after_first);
                self.left.last_mut().unwrap().push((second, state));
                Flow::Next
            }
            (first, second) => {
                self.left.last_mut().unwrap().push((first, after_first));
                second
            }
        }
    }

    fn repeat(
        &mut self,
        function: &'a Function,
        body: &'a Block,
        continuing: &'a Block,
        break_if: Option<Handle<Expression>>,
    ) -> Flow {
        self.left.push(Vec::new());
        let mut unknown_rounds = 0;
        let mut result = Flow::Next;
        loop {
            match self.block(function, body) {
                Flow::Break => break,
                Flow::Return(value) => {
                    result = Flow::Return(value);
                    break;
                }
                Flow::Next | Flow::Continue => {}
            }
            // Who may have gone on early joins here.
            let left = self.left.last_mut().unwrap();
            let (gone_on, rest): (Vec<_>, Vec<_>) = left.drain(..).partition(|(flow, _)| *flow == Flow::Continue);
            *left = rest;
            gone_on.into_iter().for_each(|(_, state)| self.state.join(state));
            unknown_rounds += usize::from(!self.left.last().unwrap().is_empty());
            let flow = self.block(function, continuing);
            assert_eq!(flow, Flow::Next);
            match break_if.map(|condition| self.value(function, condition)) {
                None | Some(Bool(false)) => {}
                Some(Bool(true)) => break,
                Some(_) => unknown_rounds += 1,
            }
            if unknown_rounds >= UNKNOWN_ROUNDS {
                break;
            }
        }
        for (flow, state) in self.left.pop().unwrap_or_default() {
            match flow {
                Flow::Return(_) => self.left.last_mut().unwrap().push((flow, state)),
                _ => self.state.join(state),
            }
        }
        result
    }

    fn keep(&mut self, handle: Handle<Expression>, value: Value) {
        self.values.last_mut().unwrap()[handle.index()] = Some(value);
    }

    /// An expression's value as it was when it was evaluated.
    fn value(&mut self, function: &'a Function, handle: Handle<Expression>) -> Value {
        let kept = self.values.last().unwrap()[handle.index()].clone();
        kept.unwrap_or_else(|| self.evaluated(function, handle))
    }

    fn access(&mut self, variable: Handle<GlobalVariable>, path: &[Option<usize>], is_write: bool) {
        self.phases.last_mut().unwrap().push((variable, path.first().copied().flatten(), is_write));
    }

    fn load(&mut self, root: Root, path: &[Option<usize>]) -> Value {
        let whole = match root {
            Root::Local(depth, variable) => self.state.frames[depth].locals[&variable].clone(),
            Root::Global(variable) => {
                let global = &self.module().global_variables[variable];
                match global.space {
                    AddressSpace::WorkGroup => {
                        self.access(variable, path, false);
                        Unknown
                    }
                    AddressSpace::Private => {
                        self.state.private.get(&variable).cloned().unwrap_or_else(|| zero(self.module(), global.ty))
                    }
                    AddressSpace::Uniform => uniform(self.module(), global.ty, self.workgroup.uniform),
                    _ => Unknown,
                }
            }
        };
        path.iter().fold(whole, |value, index| value.part(*index))
    }

    fn evaluated(&mut self, function: &'a Function, handle: Handle<Expression>) -> Value {
        let mut of = |handle: Handle<Expression>| self.value(function, handle);
        match &function.expressions[handle] {
            Expression::Constant(constant) => constant_value(self.module(), self.module().constants[*constant].init),
            Expression::FunctionArgument(index) => self.state.frames.last().unwrap().arguments[*index as usize].clone(),
            Expression::GlobalVariable(variable) => Pointer(Root::Global(*variable), Vec::new()),
            Expression::LocalVariable(variable) => {
                Pointer(Root::Local(self.state.frames.len() - 1, *variable), Vec::new())
            }
            Expression::Load { pointer } => match of(*pointer) {
                Pointer(root, path) => self.load(root, &path),
                other => panic!("a load from {other:?}"),
            },
            Expression::Access { base, index } => {
                let index = of(*index).index();
                step(of(*base), index)
            }
            Expression::AccessIndex { base, index } => step(of(*base), Some(*index as usize)),
            Expression::Compose { ty, components } => {
                let parts: Vec<_> = components.iter().map(|component| of(*component)).collect();
                compose(self.module(), *ty, parts)
            }
            Expression::Splat { size, value } => Parts(vec![of(*value); *size as usize]),
            Expression::Swizzle { size, vector, pattern } => {
                let vector = of(*vector);
                let parts = pattern[..*size as usize].iter();
                Parts(parts.map(|component| vector.part(Some(*component as usize))).collect())
            }
            Expression::Unary { op, expr } => map(of(*expr), &|value| unary(*op, value)),
            Expression::Binary { op, left, right } => {
                let (left, right) = (of(*left), of(*right));
                zip(left, right, &|left, right| binary(*op, left, right))
            }
            Expression::Select { condition, accept, reject } => match (of(*condition), of(*accept), of(*reject)) {
                (Bool(true), accept, _) => accept,
                (Bool(false), _, reject) => reject,
                (Parts(conditions), accept, reject) => {
                    let parts = conditions.into_iter().enumerate().map(|(index, condition)| {
                        let (accept, reject) = (accept.part(Some(index)), reject.part(Some(index)));
                        match condition {
                            Bool(condition) => {
                                if condition {
                                    accept
                                } else {
                                    reject
                                }
                            }
                            _ => accept.join(reject),
                        }
                    });
                    Parts(parts.collect())
                }
                (_, accept, reject) => accept.join(reject),
            },
            Expression::Relational { fun, argument } => {
                let (Parts(parts), wanted) = (of(*argument), *fun == RelationalFunction::Any) else { return Unknown };
                match fun {
                    RelationalFunction::Any | RelationalFunction::All if parts.contains(&Bool(wanted)) => Bool(wanted),
                    RelationalFunction::Any | RelationalFunction::All if parts.contains(&Unknown) => Unknown,
                    RelationalFunction::Any | RelationalFunction::All => Bool(!wanted),
                    _ => Unknown,
                }
            }
            Expression::Math { fun, arg, arg1, .. } => match (fun, of(*arg), arg1.map(of)) {
                (MathFunction::Min, a, Some(b)) => zip(a, b, &|a, b| lesser(a, b, true)),
                (MathFunction::Max, a, Some(b)) => zip(a, b, &|a, b| lesser(a, b, false)),
                _ => Unknown,
            },
            Expression::As { expr, kind, .. } => map(of(*expr), &|value| cast(value, *kind)),
            Expression::Literal(_) | Expression::ZeroValue(_) => literal(self.module(), &function.expressions[handle]),
            _ => Unknown,
        }
    }
}
