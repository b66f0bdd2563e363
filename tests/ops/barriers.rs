//! Barriers that are gone: what a wrong shader without one of its barriers gives, on an adapter and as the lint sees it.

use std::collections::BTreeSet;

use naga::valid::ModuleInfo;
use ndarray::ArrayD;
use wgdnn::operator::{FloatOrInteger, Name};
use wgdnn::{AdapterClass, Dispatch, Gpu, Kernel};

use crate::harness::portable_gpu;
use crate::interpreter::Workgroup;
use crate::races::races;
use crate::shaders::{shaders, validated};
use wgdnn::cases::{Call, CaseArray};

/// A call that goes several rounds through every loop with a barrier of its kernels, on hardware.
pub struct Problem {
    pub call: Call,
    /// The modules of these kernels.
    pub files: &'static [&'static str],
}

macro_rules! problems {
    ($($module:ident: $operator:ident),* $(,)?) => {
        [$(crate::$module::barriers),*]
    };
}

/// Those of every operator.
fn problems() -> Vec<Problem> {
    let of_optimizers: &[fn() -> Vec<Problem>] = &wgdnn::optimizers!(problems);
    let all: &[fn() -> Vec<Problem>] = &wgdnn::operators!(problems);
    all.iter().chain(of_optimizers).flat_map(|of_operator| of_operator()).collect()
}

/// A portable device that is taken for hardware.
fn portable_hardware() -> Gpu {
    let gpu = portable_gpu();
    gpu.take_for(AdapterClass::Hardware);
    gpu
}

/// Barriers of which the lint alone sees that they are gone: vectors of llvmpipe happen to run in an order that is right,
/// and a variant's own entry points reach not all.
const UNSEEN: &[(&str, usize)] = &[
    ("conv2d_winograd_multiply", 1),
    ("conv2d_winograd_multiply_packed", 1),
    ("cross_entropy_in_blocks", 4),
    ("cross_entropy_in_blocks", 5),
];

impl Problem {
    /// The output, with arguments packed by what packs them.
    fn run(&self, gpu: &Gpu) -> ArrayD<f32> {
        let operator = self.call.operator();
        let mut tensors = self.call.upload(gpu).unwrap();
        for companion in operator.companions_on(gpu.capabilities()) {
            let slots = companion.slots_on(gpu.capabilities());
            let is_input = |name: Name| slots.iter().any(|slot| slot.name == name);
            let inputs = tensors.iter().filter(|(name, _)| is_input(*name)).cloned().collect();
            tensors.extend(companion.bind_by_name(inputs).and_then(|call| call()).unwrap());
        }
        match &operator.bind_by_name(tensors).and_then(|call| call()).unwrap()[..] {
            [(_, FloatOrInteger::Float(output)), ..] => output.read_blocking().unwrap(),
            _ => panic!("no output"),
        }
    }

    fn is_right(&self, gpu: &Gpu, expected: &ArrayD<f32>) -> bool {
        let got = self.run(gpu);
        let largest = expected.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
        got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() <= 1e-3 * largest)
    }
}

/// The text without its barrier of this number, if it has as many.
fn without_barrier(source: &str, number: usize) -> Option<String> {
    const BARRIER: &str = "workgroupBarrier();";
    let (at, _) = source.match_indices(BARRIER).nth(number)?;
    Some(format!("{}{}", &source[..at], &source[at + BARRIER.len()..]))
}

/// A kernel of a problem as it is dispatched.
struct Dispatched {
    kernel: &'static Kernel,
    constants: naga::back::PipelineConstants,
    uniform: Vec<u8>,
    workgroups: u32,
}

/// What all problems dispatch on kernels with workgroup memory.
fn dispatched() -> Vec<Dispatched> {
    let mut all = Vec::new();
    for problem in problems() {
        for dispatch in problem.call.operator().dispatches_on(portable_hardware().capabilities()).unwrap() {
            if dispatch.kernel.source().contains("workgroupBarrier()") {
                let constants = dispatch.constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
                let Dispatch { kernel, uniform, workgroups, .. } = dispatch;
                all.push(Dispatched { kernel, constants, uniform: uniform.to_vec(), workgroups });
            }
        }
    }
    all
}

impl Dispatched {
    /// The races of its first or its last workgroup in a module that stands in for its own.
    fn races(&self, (module, info): &(naga::Module, ModuleInfo)) -> Vec<String> {
        let entry = Some((naga::ShaderStage::Compute, self.kernel.entry_point));
        let (module, _) =
            naga::back::pipeline_constants::process_overrides(module, info, entry, &self.constants).unwrap();
        let grid = [self.workgroups, 1, 1];
        let run = |x| races(&Workgroup { module: &module, uniform: &self.uniform, id: [x, 0, 0], grid });
        let first = run(0);
        if first.is_empty() { run(self.workgroups - 1) } else { first }
    }
}

#[test]
fn no_kernel_has_a_race() {
    let mut seen = BTreeSet::new();
    for dispatched in dispatched() {
        let Kernel { module, entry_point, .. } = dispatched.kernel;
        let problems = dispatched.races(&validated(module, &dispatched.kernel.source()));
        assert!(problems.is_empty(), "{module}, {entry_point}: {problems:#?}");
        seen.insert((*module, *entry_point));
    }
    // All that have memory of a workgroup were looked at.
    for kernel in wgdnn::kernels() {
        let (module, info) = validated(kernel.module, &kernel.source());
        let index = module.entry_points.iter().position(|entry| entry.name == kernel.entry_point).unwrap();
        let usage = info.get_entry_point(index);
        let has_memory = module
            .global_variables
            .iter()
            .any(|(handle, variable)| variable.space == naga::AddressSpace::WorkGroup && !usage[handle].is_empty());
        assert!(
            !has_memory || seen.contains(&(kernel.module, kernel.entry_point)),
            "{} {}",
            kernel.module,
            kernel.entry_point
        );
    }
}

#[test]
fn every_barrier_that_is_gone_is_a_race() {
    let all = dispatched();
    let (mut barriers, mut unseen) = (0, Vec::new());
    for (name, source) in shaders() {
        // A variant is also looked at by what only the other one dispatches.
        let file = wgdnn::kernels().into_iter().find(|kernel| kernel.module == name).unwrap().file;
        for number in 0.. {
            let Some(wrong) = without_barrier(&source, number) else { break };
            barriers += 1;
            let wrong = validated(&name, &wrong);
            let of_this = all.iter().filter(|dispatched| dispatched.kernel.file == file);
            if !of_this.into_iter().any(|dispatched| !dispatched.races(&wrong).is_empty()) {
                unseen.push(format!("{name}: {number}"));
            }
        }
    }
    assert!(barriers >= 25, "{barriers} barriers");
    assert!(unseen.is_empty(), "{unseen:#?}");
}

/// That a software adapter sees most of them too, in what comes out.
#[test]
fn barriers_that_are_gone_give_wrong_results() {
    // Invocations of a GPU may happen to run in an order that is right.
    if !portable_gpu().adapter_info().name.contains("llvmpipe") {
        return;
    }
    let (mut unseen, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for problem in problems() {
        let mut outputs = problem.call.run_reference().unwrap();
        // The first one.
        let first = ["output", "grad_input", "grad_weight", "grad_target", "grad_other"];
        let name = first.into_iter().find(|name| outputs.contains_key(*name)).unwrap();
        let Some(CaseArray::F32(expected)) = outputs.remove(name) else { panic!() };
        let gpu = portable_hardware();
        assert!(problem.is_right(&gpu, &expected), "{:?}", problem.files);
        for &file in problem.files {
            let (_, source) = shaders().into_iter().find(|(name, _)| name == file).unwrap();
            for number in 0.. {
                let Some(wrong) = without_barrier(&source, number) else { break };
                // Once is enough.
                if seen.contains(&(file, number)) {
                    continue;
                }
                gpu.substitute_shader(file, wrong);
                if problem.is_right(&gpu, &expected) {
                    unseen.insert((file, number));
                } else {
                    seen.insert((file, number));
                }
            }
            gpu.substitute_shader(file, source);
        }
    }
    let unseen: Vec<_> = unseen.difference(&seen).copied().collect();
    assert_eq!(unseen, UNSEEN);
}
