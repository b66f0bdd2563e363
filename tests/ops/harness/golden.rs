//! The golden cases, and holding runs against them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use ndarray::ArrayD;

use super::Outputs;
use wgdnn::cases::{Call, Case, CaseArray, Refusal, Verdict, judge, read_arrays, read_cases};

/// The folder of a source's golden cases. Without it tests must fail and say why, not pass on nothing.
pub fn golden_folder(source: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(source);
    assert!(
        folder.is_dir(),
        "tests/golden/{source} is absent: the published package leaves PyTorch's results out, so these tests run in a \
         checkout of the repository alone"
    );
    folder
}

/// The folders of all golden cases but the report's.
pub const SOURCES: [&str; 18] = [
    "random",
    "opinfo",
    "onnx",
    "roi_pool",
    "channels",
    "special",
    "corners",
    "bad_input",
    "optional_outputs",
    "losses/smooth_l1_loss",
    "losses/binary_cross_entropy_with_logits",
    "losses/nll_loss",
    "gradients",
    "training/adam",
    "training/clip_grad_norm",
    "training/dropout",
    "training/sgd",
    "training/zero",
];

/// The golden cases of all these sources.
pub fn golden() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let mut cases = Vec::new();
        for source in SOURCES {
            let read = |name: &str| std::fs::read(golden_folder(source).join(name)).unwrap();
            let arrays = read_arrays(&read("tensors.safetensors")).unwrap();
            let jsonl = String::from_utf8(read("cases.jsonl")).unwrap();
            cases.extend(read_cases(&jsonl, &arrays).unwrap());
        }
        cases
    })
}

/// The golden cases of one operator.
pub fn golden_of(op: &str) -> Vec<&'static Case> {
    golden().iter().filter(|case| case.op == op).collect()
}

/// Refuses an expectation that an operator which does nothing would meet.
pub fn check_expectation(case: &Case) -> Result<(), String> {
    if case.outputs.is_empty() {
        return Err("nothing is expected".into());
    }
    for (name, expected) in &case.outputs {
        if let CaseArray::F32(array) = &*expected.array {
            let is_nearly_zero = |array: &ArrayD<f32>| {
                array.len() >= 8 && array.iter().filter(|&&x| x != 0.0).count() * 20 < array.len()
            };
            // An input that is updated held something else.
            let was_zero = case.inputs.get(name).is_none_or(|before| match &*before[0] {
                CaseArray::F32(before) => is_nearly_zero(before),
                CaseArray::I64(_) => true,
            });
            if is_nearly_zero(array) && was_zero {
                return Err(format!("{name}: the expectation is nearly all zeros"));
            }
        }
    }
    Ok(())
}

/// Runs cases and returns what is wrong with each that fails.
pub fn failures(cases: &[&Case], run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> Vec<String> {
    let check = |case: &Case| {
        if !case.is_error {
            check_expectation(case)?;
        }
        match judge(case, &run) {
            Verdict::Passed => Ok(()),
            Verdict::Failed(reason) | Verdict::Unsupported(reason) => Err(reason),
        }
    };
    cases.iter().filter_map(|case| check(case).err().map(|reason| format!("{}: {reason}", case.id))).collect()
}

/// Fails the test with all that is wrong.
#[track_caller]
pub fn expect_none(failures: &[String], of: usize) {
    assert!(failures.is_empty(), "{} of {of} cases failed:\n{}", failures.len(), failures.join("\n"));
}

/// Every golden case of an operator on the CPU reference, and with the feature `gpu` by every algorithm on the GPU:
/// eagerly, and recorded on the test's own buffers. An operator whose kernels have barriers names a function of
/// [`Problem`](crate::barriers::Problem)s that go through them.
macro_rules! golden_tests {
    ($op:literal, at_least $count:literal) => {
        $crate::harness::golden_tests!($op, at_least $count, barriers Vec::new);
    };
    ($op:literal, at_least $count:literal, barriers $problems:path) => {
        #[cfg(feature = "gpu-core")]
        pub fn barriers() -> Vec<$crate::barriers::Problem> {
            $problems()
        }

        mod golden {
            use crate::harness;

            #[test]
            fn reference_matches_pytorch() {
                let cases = harness::golden_of($op);
                assert!(cases.len() >= $count, "{} cases", cases.len());
                let failures = harness::failures(&cases, |call| call.run_reference());
                harness::expect_none(&failures, cases.len());
            }

            #[cfg(feature = "gpu-core")]
            #[test]
            fn eager_calls_match_pytorch() {
                let cases = harness::golden_of($op);
                let failures = harness::failures_of_all_algorithms(&cases, |call| call.run_eager(harness::gpu()));
                harness::expect_none(&failures, cases.len());
            }

            /// What is chosen for hardware, wherever these tests run, and what algorithms are there.
            #[cfg(feature = "gpu-core")]
            #[test]
            fn kernels_of_hardware_match_pytorch() {
                let cases = harness::golden_of($op);
                let failures = harness::failures_of_all_algorithms(&cases, |call| {
                    call.run_eager(harness::gpu_taken_for_hardware())
                });
                harness::expect_none(&failures, cases.len());
            }

            #[cfg(feature = "gpu-core")]
            #[test]
            fn recorded_calls_match_pytorch() {
                let cases = harness::golden_of($op);
                let failures =
                    harness::failures_of_all_algorithms(&cases, |call| crate::recorded::run(call, harness::gpu()));
                harness::expect_none(&failures, cases.len());
            }
        }
    };
}
pub(crate) use golden_tests;

#[test]
fn an_expectation_of_zeros_is_refused() {
    use std::sync::Arc;

    let mut case = golden_of("sigmoid")
        .into_iter()
        .find(|case| case.outputs["output"].array.shape().iter().product::<usize>() >= 8)
        .unwrap()
        .clone();
    let shape = case.outputs["output"].array.shape().to_vec();
    case.outputs.get_mut("output").unwrap().array = Arc::new(CaseArray::F32(ArrayD::zeros(shape)));
    assert!(check_expectation(&case).is_err());
    case.outputs.clear();
    assert!(check_expectation(&case).is_err());
}
