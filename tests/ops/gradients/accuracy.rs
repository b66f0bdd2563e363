//! How exact gradients are, beside PyTorch's own float32.

use std::collections::BTreeMap;

use wgdnn::cases::{CaseArray, difference};

use crate::harness::{floats_of, golden_gradients, gpu, gpu_taken_for_hardware};

/// The root mean square error over an operator's gradients of each source, relative to the size of each, is at most 4 times
/// PyTorch's.
#[test]
fn gradients_are_as_exact_as_pytorchs() {
    // The squares of our errors on both devices, and of PyTorch's, and how many they are.
    let mut errors = BTreeMap::<String, [f64; 4]>::new();
    for gradient in golden_gradients() {
        let made = [gpu(), gpu_taken_for_hardware()].map(|gpu| gradient.backward.run_eager(gpu).unwrap());
        for (name, expected) in gradient.case.outputs.iter().filter(|(name, _)| name.starts_with("grad_")) {
            let (CaseArray::F32(array), Some(theirs)) = (&*expected.array, expected.rmse_float32) else {
                panic!("{}: {name}", gradient.case.id)
            };
            let size = array.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / array.len() as f64;
            let ours = made.each_ref().map(|made| difference(floats_of(&made[name]), array).rmse);
            if size > 0.0 && size.is_finite() && ours.iter().all(|error| error.is_finite()) {
                let (field, _) = name.split_once('.').unwrap_or((name, ""));
                // Apart, so that terms that nearly cancel in a corner hide nothing elsewhere.
                let (source, _) = gradient.case.id.split_once('/').unwrap();
                let sums = errors.entry(format!("{}, {field}, {source}", gradient.backward.op())).or_default();
                let squares = [ours[0].powi(2) / size, ours[1].powi(2) / size, theirs.powi(2) / size, 1.0];
                sums.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
            }
        }
    }
    assert!(!errors.is_empty());
    for (gradient, [ours, of_hardware, theirs, count]) in errors {
        let [ours, of_hardware, theirs] = [ours, of_hardware, theirs].map(|squares| (squares / count).sqrt());
        println!("{gradient}: {ours:.2e}, {of_hardware:.2e} beside {theirs:.2e}, {count} gradients");
        if count < 10.0 {
            assert!(!gradient.ends_with("random"), "{gradient}: {count}");
            continue;
        }
        // Where PyTorch has the exact result, once rounded, one more rounding is no matter.
        let most = 4.0 * theirs + f64::from(f32::EPSILON) / 4.0;
        assert!(ours <= most && of_hardware <= most, "{gradient}: {ours:e}, {of_hardware:e}, beside {theirs:e}");
    }
}
