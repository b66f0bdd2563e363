//! Random problems: what their strategies share, and the GPU held against the CPU reference. Each operator's stand beside
//! its other tests.

use ndarray::{ArrayD, ArrayViewD, Axis, concatenate};
use proptest::prelude::*;
use wgdnn::{Gpu, Reduction};

use crate::epilogues::EXACT;
use crate::harness::{gpu, gpu_taken_for_hardware};
use wgdnn::cases::{Call, CaseArray, Refusal, difference};

/// Random problems per operator and run. `WGDNN_TEST_PROBLEMS` is another number, for runs on further devices.
const PROBLEMS: u32 = 300;

pub fn config() -> ProptestConfig {
    let problems = match std::env::var("WGDNN_TEST_PROBLEMS") {
        Ok(number) => number.parse().expect("WGDNN_TEST_PROBLEMS is a number"),
        Err(_) => PROBLEMS,
    };
    // A failure prints its problem, smallest first; nothing is written into the repository.
    let max_global_rejects = 20 * problems;
    ProptestConfig { failure_persistence: None, max_global_rejects, ..ProptestConfig::with_cases(problems) }
}

pub fn pair(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 2]> {
    [range.clone(), range]
}

prop_compose! {
    /// (N,C,H,W), now and then with an empty batch.
    pub fn image()(batch in 0..4_usize, channels in 1..4_usize, size in pair(1..20)) -> Vec<usize> {
        vec![batch, channels, size[0], size[1]]
    }
}

pub fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..8_usize, 0..5)
}

pub fn reduction() -> impl Strategy<Value = Reduction> {
    prop_oneof![Just(Reduction::None), Just(Reduction::Mean), Just(Reduction::Sum)]
}

/// A bound for results that a few hundred f32 of up to `size` go into.
pub fn rounding(size: f64) -> f64 {
    size * f64::from(f32::EPSILON) * 2.0
}

/// What a call gives on the GPU.
pub fn eager(call: &Call) -> ArrayD<f32> {
    match call.run_eager(gpu()).unwrap_or_else(|refusal| panic!("{refusal}")).remove("output") {
        Some(CaseArray::F32(output)) => output,
        other => panic!("no output but {other:?}"),
    }
}

/// Holds all outputs of a call on the GPU, by every algorithm, against the CPU reference, also with an activation where the
/// operator can apply one, and on a device that is taken for hardware. What is no problem does not count as one.
pub fn agree(call: Result<Call, Refusal>, atol: f64) -> Result<(), TestCaseError> {
    let call = match call {
        Ok(call) => call,
        Err(Refusal::BadInput(_)) => return Err(TestCaseError::reject("no problem")),
        Err(other) => return Err(TestCaseError::fail(other.to_string())),
    };
    let activated = match call.activated(EXACT) {
        Ok(activated) => activated,
        // In training there is none.
        Err(refusal) if refusal.to_string().contains("training: expected false") => None,
        Err(refusal) => return Err(TestCaseError::fail(refusal.to_string())),
    };
    crate::gradients::agree(&call, call.arrays().len() as u64 ^ atol.to_bits())?;
    for call in [Some(call), activated].into_iter().flatten() {
        agree_on(gpu(), &call, atol)?;
        // Other adapters compile their kernels for minutes.
        if std::env::var_os("WGDNN_TEST_ADAPTER").is_none() {
            agree_on(gpu_taken_for_hardware(), &call, atol)?;
        }
    }
    Ok(())
}

fn agree_on(gpu: &Gpu, call: &Call, atol: f64) -> Result<(), TestCaseError> {
    let reference = call.run_reference().unwrap();
    for (algorithm, call) in call.by_every_algorithm() {
        let got = call.run_eager(gpu).unwrap();
        prop_assert_eq!(reference.len(), got.len());
        for (name, expected) in &reference {
            match (&got[name], expected) {
                (CaseArray::F32(got), CaseArray::F32(expected)) => {
                    prop_assert_eq!(got.shape(), expected.shape());
                    let largest = difference(got, expected).largest;
                    prop_assert!(largest <= atol, "{}, {}: {} above {}", algorithm, name, largest, atol);
                }
                (got, expected) => prop_assert_eq!(got, expected),
            }
        }
    }
    Ok(())
}

/// That images of a batch are computed apart.
pub fn commutes_with_a_split(
    call: impl Fn(ArrayD<f32>) -> Result<Call, Refusal>,
    input: &ArrayD<f32>,
    cut: usize,
) -> Result<(), TestCaseError> {
    let Ok(whole) = call(input.clone()) else { return Err(TestCaseError::reject("no problem")) };
    let (first, second) = input.view().split_at(Axis(0), cut.min(input.shape()[0]));
    // Not to_owned, whose own checks fail on an empty part.
    let own =
        |part: ArrayViewD<'_, f32>| ArrayD::from_shape_vec(part.raw_dim(), part.iter().copied().collect()).unwrap();
    let parts = [first, second].map(|part| eager(&call(own(part)).unwrap()));
    prop_assert_eq!(eager(&whole), concatenate![Axis(0), parts[0], parts[1]]);
    Ok(())
}
