//! Calls that must be refused: the same typed error on the CPU and on the GPU, no panic, and a device that still works.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cases::{Call, Case, Outputs, Refusal};
use crate::harness::golden;

fn bad_inputs() -> Vec<&'static Case> {
    golden().iter().filter(|case| case.is_error).collect()
}

/// The refusal of a case, or what came instead; `None` for a panic.
fn refusal(case: &Case, run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> Option<Result<String, String>> {
    let outcome = catch_unwind(AssertUnwindSafe(|| Call::new(case).and_then(|call| run(&call)))).ok()?;
    Some(match outcome {
        Err(Refusal::BadInput(reason)) => Ok(reason),
        Err(other) => Err(other.to_string()),
        Ok(outputs) => Err(format!("gave {outputs:?}")),
    })
}

#[test]
fn every_bad_input_is_refused_alike_and_none_panics() {
    let cases = bad_inputs();
    assert!(cases.len() >= 250, "{} cases", cases.len());
    let (mut panics, mut wrong) = (0, Vec::new());
    for case in cases {
        let Some(on_cpu) = refusal(case, Call::run_reference) else {
            panics += 1;
            continue;
        };
        match &on_cpu {
            Ok(reason) => {
                let names_both = reason.starts_with(&format!("{}: ", case.op)) && reason.matches(": ").count() >= 2;
                let tells_both = reason.contains("expected") && reason.contains("got") || reason.contains("exceeds");
                if !names_both || !tells_both {
                    wrong.push(format!("{}: {reason}", case.id));
                }
            }
            Err(instead) => wrong.push(format!("{}: {instead}", case.id)),
        }
        #[cfg(feature = "gpu")]
        match refusal(case, |call| call.run_eager(crate::harness::gpu())) {
            None => panics += 1,
            Some(on_gpu) if on_gpu != on_cpu => {
                // An index that is no i32 cannot be handed to the GPU as it is.
                let is_foreign_index = case.op == "cross_entropy" && format!("{on_cpu:?}").contains("1099511627776");
                if !is_foreign_index || on_gpu.is_err() {
                    wrong.push(format!("{}: {on_cpu:?} on the CPU, {on_gpu:?} on the GPU", case.id));
                }
            }
            Some(_) => {}
        }
        #[cfg(feature = "gpu")]
        {
            use wgdnn::{Tensor, sigmoid};
            let zero = Tensor::from_slice(crate::harness::gpu(), &[0.0], &[1]).unwrap();
            assert_eq!(sigmoid(&zero).unwrap().read_blocking().unwrap()[0], 0.5, "after {}", case.id);
        }
    }
    assert_eq!(panics, 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
