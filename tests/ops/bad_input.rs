//! Calls that must be refused: a typed error, no panic, and a device that still works.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::harness::golden;
use wgdnn::cases::{Call, Case, Refusal};

fn bad_inputs() -> Vec<&'static Case> {
    golden().iter().filter(|case| case.is_error).collect()
}

/// The refusal of a case, or what came instead; `None` for a panic.
fn refusal(case: &Case) -> Option<Result<String, String>> {
    let outcome = catch_unwind(AssertUnwindSafe(|| Call::of_case(case))).ok()?;
    Some(match outcome {
        Err(Refusal::BadInput(reason)) => Ok(reason),
        Err(other) => Err(other.to_string()),
        Ok(call) => Err(format!("gave {:?}", call.run_reference())),
    })
}

/// A call is refused before it is known on which device it is to run.
#[test]
fn every_bad_input_is_refused_and_none_panics() {
    let cases = bad_inputs();
    assert!(cases.len() >= 250, "{} cases", cases.len());
    let (mut panics, mut wrong) = (0, Vec::new());
    for case in cases {
        match refusal(case) {
            None => panics += 1,
            Some(Ok(reason)) => {
                let names_both = reason.starts_with(&format!("{}: ", case.op)) && reason.matches(": ").count() >= 2;
                let tells_both = reason.contains("expected") && reason.contains("got") || reason.contains("exceeds");
                if !names_both || !tells_both {
                    wrong.push(format!("{}: {reason}", case.id));
                }
            }
            Some(Err(instead)) => wrong.push(format!("{}: {instead}", case.id)),
        }
        #[cfg(feature = "gpu-core")]
        {
            use wgdnn::{Tensor, sigmoid};
            let zero = Tensor::from_slice(crate::harness::gpu(), &[0.0], &[1]).unwrap();
            assert_eq!(sigmoid(&zero).unwrap().read_blocking().unwrap()[0], 0.5, "after {}", case.id);
        }
    }
    assert_eq!(panics, 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
