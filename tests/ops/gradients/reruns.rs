//! The same bits every time.

use crate::harness::{bits, distinct_runs, golden_gradients, gpu, gpu_taken_for_hardware};
use crate::recorded::{DIRT, run_on_dirt};

/// Recorded five times, each on other dirt, and eagerly twice; by every algorithm, by the kernels of this adapter and by those
/// of hardware.
#[test]
fn gradients_have_the_same_bits_every_time() {
    let (mut different, mut compared) = (Vec::new(), 0);
    for gradient in golden_gradients() {
        for (gpu, algorithm, call) in distinct_runs(&gradient.backward, [gpu(), gpu_taken_for_hardware()]) {
            let recorded: Vec<_> = run_on_dirt(&call, gpu, &DIRT).unwrap().iter().map(bits).collect();
            let eager = [(); 2].map(|()| bits(&call.run_eager(gpu).unwrap()));
            compared += 1;
            if recorded.iter().chain(&eager).any(|run| *run != recorded[0]) {
                different.push(format!("{}, {algorithm}", gradient.case.id));
            }
        }
    }
    assert!(compared > golden_gradients().len() && compared > 1000, "{compared}");
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
