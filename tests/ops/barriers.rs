//! Barriers that are gone: what a wrong shader without one of its barriers gives, on an adapter and as the lint sees it.

use std::collections::BTreeSet;

use naga::valid::ModuleInfo;
use ndarray::ArrayD;
use wgdnn::{
    AdapterClass, BatchNorm, BatchNormArguments, BatchNormParams, Conv2d, Conv2dAlgorithm, Conv2dParams,
    ConvTranspose2d, ConvTranspose2dAlgorithm, ConvTranspose2dParams, CrossEntropy, CrossEntropyParams,
    CrossEntropyTarget, Dispatch, Gpu, Kernel, MseLoss, MseLossParams, Operator, PackedWeight, Tensor,
};

use crate::cases::{Call, CaseArray};
use crate::harness::{portable_gpu, random, random_integers};
use crate::interpreter::Workgroup;
use crate::races::races;
use crate::shaders::{shaders, validated};

/// A call that runs kernels with workgroup memory, and the modules that these are of.
struct Problem {
    call: Call,
    files: &'static [&'static str],
    class: AdapterClass,
    is_packed: bool,
}

/// Calls that go several rounds through every loop with a barrier.
fn problems() -> Vec<Problem> {
    let conv2d = |input: &[usize], weight: &[usize], algorithm| Call::Conv2d {
        input: random_integers(input, 1),
        weight: random_integers(weight, 2),
        bias: None,
        params: Conv2dParams { algorithm, ..Default::default() },
    };
    let batch_norm = |input: &[usize]| Call::BatchNorm {
        input: random(input, 1),
        arguments: BatchNormArguments::default(),
        params: BatchNormParams { training: true, ..Default::default() },
    };
    let mse_loss = |count: usize| Call::MseLoss {
        input: random(&[count], 1),
        target: random(&[count], 2),
        params: MseLossParams::default(),
    };
    let hardware = AdapterClass::Hardware;
    let problem = |call, files, class| Problem { call, files, class, is_packed: false };
    let winograd = || conv2d(&[1, 64, 8, 8], &[24, 64, 3, 3], Conv2dAlgorithm::Winograd4x4);
    let classes = |reduction| CrossEntropyParams { reduction, label_smoothing: 0.1, ..Default::default() };
    let probabilities = random(&[6, 4096], 3).mapv(f32::abs);
    let strided = random(&[3, 40, 30], 5);
    let losses = |input: ArrayD<f32>, target| Call::CrossEntropy {
        input,
        target,
        weight: None,
        params: classes(wgdnn::Reduction::Mean),
    };
    let labels = |shape: &[usize]| CrossEntropyTarget::Classes(random(shape, 4).mapv(|x| (x.abs() * 39.0) as i64));
    vec![
        problem(conv2d(&[1, 4, 9, 9], &[40, 4, 3, 3], Conv2dAlgorithm::ImplicitGemm), &["conv2d_gemm"], hardware),
        problem(conv2d(&[1, 40, 64, 64], &[160, 40, 1, 1], Conv2dAlgorithm::ImplicitGemm), &["conv2d_gemm"], hardware),
        problem(
            Call::ConvTranspose2d {
                input: random_integers(&[1, 12, 6, 6], 1),
                weight: random_integers(&[12, 20, 3, 3], 2),
                bias: None,
                params: ConvTranspose2dParams {
                    algorithm: ConvTranspose2dAlgorithm::ImplicitGemm,
                    stride: [2, 2],
                    ..Default::default()
                },
            },
            &["conv_transpose2d_gemm"],
            hardware,
        ),
        problem(
            conv2d(&[1, 10, 12, 12], &[24, 10, 3, 3], Conv2dAlgorithm::Winograd2x2),
            &["conv2d_winograd2x2_fused"],
            hardware,
        ),
        problem(winograd(), &["conv2d_winograd_multiply"], hardware),
        Problem { call: winograd(), files: &["conv2d_winograd_multiply_packed"], class: hardware, is_packed: true },
        problem(batch_norm(&[3, 5, 40, 40]), &["batch_norm"], hardware),
        problem(batch_norm(&[3, 5, 33, 33]), &["batch_norm"], hardware),
        problem(losses(random(&[6, 4096], 1), labels(&[6])), &["cross_entropy_in_blocks", "cross_entropy"], hardware),
        problem(
            losses(random(&[6, 4096], 1), CrossEntropyTarget::Probabilities(probabilities.clone())),
            &["cross_entropy_in_blocks", "cross_entropy"],
            hardware,
        ),
        problem(losses(strided.clone(), labels(&[3, 30])), &["cross_entropy"], hardware),
        problem(
            losses(strided.clone(), CrossEntropyTarget::Probabilities(strided.mapv(f32::abs))),
            &["cross_entropy"],
            hardware,
        ),
        problem(mse_loss(5000), &["mse_loss"], hardware),
        problem(mse_loss(5001), &["mse_loss"], hardware),
    ]
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
    fn operator(&self) -> Box<dyn Operator> {
        match &self.call {
            Call::Conv2d { input, weight, params, .. } => {
                let operator = Conv2d::new(input.shape(), weight.shape(), None, params).unwrap();
                Box::new(if self.is_packed { operator.with_packed_weight() } else { operator })
            }
            Call::ConvTranspose2d { input, weight, params, .. } => {
                Box::new(ConvTranspose2d::new(input.shape(), weight.shape(), None, params).unwrap())
            }
            Call::BatchNorm { input, params, .. } => {
                Box::new(BatchNorm::new(input.shape(), &BatchNormArguments::default(), params).unwrap())
            }
            Call::CrossEntropy { input, target, params, .. } => {
                let target = match target {
                    CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes.shape()),
                    CrossEntropyTarget::Probabilities(array) => CrossEntropyTarget::Probabilities(array.shape()),
                };
                Box::new(CrossEntropy::new(input.shape(), target, None, params).unwrap())
            }
            Call::MseLoss { input, target, params } => {
                Box::new(MseLoss::new(input.shape(), target.shape(), params).unwrap())
            }
            other => panic!("{other:?}"),
        }
    }

    fn run(&self, gpu: &Gpu) -> ArrayD<f32> {
        if let (true, Call::Conv2d { input, weight, params, .. }) = (self.is_packed, &self.call) {
            let up = |array: &ArrayD<f32>| Tensor::from_array(gpu, array).unwrap();
            let weight = PackedWeight::new(&up(weight), params).unwrap();
            return wgdnn::conv2d_packed(&up(input), &weight, None, params).unwrap().read_blocking().unwrap();
        }
        match self.call.run_eager(gpu).unwrap().remove("output") {
            Some(CaseArray::F32(output)) => output,
            other => panic!("{other:?}"),
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
        let gpu = portable_gpu();
        gpu.take_for(problem.class);
        for dispatch in gpu.dispatches_of(&*problem.operator()).unwrap() {
            if dispatch.kernel.source.contains("workgroupBarrier()") {
                let constants = dispatch.constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
                let Dispatch { kernel, uniform, workgroups, .. } = dispatch;
                all.push(Dispatched { kernel, constants, uniform, workgroups });
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
        let Kernel { file, source, entry_point, .. } = dispatched.kernel;
        let problems = dispatched.races(&validated(file, source));
        assert!(problems.is_empty(), "{file}, {entry_point}: {problems:#?}");
        seen.insert((*file, *entry_point));
    }
    // All that have memory of a workgroup were looked at.
    for kernel in wgdnn::kernels() {
        let (module, info) = validated(kernel.file, kernel.source);
        let index = module.entry_points.iter().position(|entry| entry.name == kernel.entry_point).unwrap();
        let usage = info.get_entry_point(index);
        let has_memory = module
            .global_variables
            .iter()
            .any(|(handle, variable)| variable.space == naga::AddressSpace::WorkGroup && !usage[handle].is_empty());
        assert!(
            !has_memory || seen.contains(&(kernel.file, kernel.entry_point)),
            "{} {}",
            kernel.file,
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
        let stem = name.trim_end_matches("_in_blocks");
        for number in 0.. {
            let Some(wrong) = without_barrier(&source, number) else { break };
            barriers += 1;
            let wrong = validated(&name, &wrong);
            let of_this = all.iter().filter(|dispatched| dispatched.kernel.file.trim_end_matches("_in_blocks") == stem);
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
        let Some(CaseArray::F32(expected)) = problem.call.run_reference().unwrap().remove("output") else { panic!() };
        let gpu = portable_gpu();
        gpu.take_for(problem.class);
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
