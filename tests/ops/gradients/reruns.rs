//! The same bits every time.

use crate::harness::{bits, golden_gradients, gpu, gpu_taken_for_hardware};
use crate::recorded;

/// What outputs and workspace hold before: NaN, zeros, ones, infinity, and one.
const DIRT: [u32; 5] = [0x7FC0_DEAD, 0, u32::MAX, 0x7F80_0000, 0x3F80_0000];

/// Recorded five times, each on other dirt, and eagerly twice; by every algorithm, by the kernels of this adapter and by those
/// of hardware.
#[test]
fn gradients_have_the_same_bits_every_time() {
    let (mut different, mut compared) = (Vec::new(), 0);
    for gradient in golden_gradients() {
        for (algorithm, call) in gradient.backward.by_every_algorithm() {
            for gpu in [gpu(), gpu_taken_for_hardware()] {
                let recorded = DIRT.map(|dirt| bits(&recorded::run_once(&call, gpu, dirt).unwrap()));
                let eager = [(); 2].map(|()| bits(&call.run_eager(gpu).unwrap()));
                compared += 1;
                if recorded.iter().chain(&eager).any(|run| *run != recorded[0]) {
                    different.push(format!("{}, {algorithm}", gradient.case.id));
                }
            }
        }
    }
    assert!(compared >= 2 * golden_gradients().len() && compared > 1000, "{compared}");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
