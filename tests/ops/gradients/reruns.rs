//! The same bits every time.

use crate::harness::{bits, by_distinct_algorithms, golden_gradients, gpu, gpu_taken_for_hardware};
use crate::recorded;

/// What outputs and workspace hold before: NaN, zeros, ones, infinity, and one.
const DIRT: [u32; 5] = [0x7FC0_DEAD, 0, u32::MAX, 0x7F80_0000, 0x3F80_0000];

/// Recorded five times, each on other dirt, and eagerly twice; by every algorithm, by the kernels of this adapter and by those
/// of hardware.
#[test]
fn gradients_have_the_same_bits_every_time() {
    let (mut different, mut compared) = (Vec::new(), 0);
    for gradient in golden_gradients() {
        for gpu in [gpu(), gpu_taken_for_hardware()] {
            for (algorithm, call) in by_distinct_algorithms(&gradient.backward, gpu) {
                let recorded: Vec<_> = recorded::run_on_dirt(&call, gpu, &DIRT).unwrap().iter().map(bits).collect();
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
