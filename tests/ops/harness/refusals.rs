//! Calls that must be refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::floats;
#[cfg(feature = "gpu-core")]
use super::{expect_none, failures, golden_of};
use serde_json::json;
use wgdnn::Error;
use wgdnn::cases::{Call, Case, CaseArray, Refusal};

/// Holds refusals against what they must say. An entry is a call and the argument that is wrong with it. A call is refused
/// before it is known on which device it is to run.
#[track_caller]
pub fn expect_refused(op: &str, calls: &[(&str, Result<Call, Refusal>)]) {
    assert!(calls.len() >= 8, "{} bad inputs", calls.len());
    for (argument, call) in calls {
        let reason = match call {
            Err(Refusal::BadInput(reason)) => reason,
            Err(other) => panic!("{op}, {argument}: {other}"),
            Ok(call) => panic!("{op}, {argument}: not refused, gave {:?}", call.run_reference()),
        };
        let start = format!("{op}: {argument}: ");
        assert!(reason.starts_with(&start), "expected {start:?}..., got {reason:?}");
        let is_typed = reason.contains("expected") && reason.contains("got") || reason.contains("exceeds");
        assert!(is_typed, "{reason:?} tells not what was expected and what came");
    }
    // The device must still work.
    #[cfg(feature = "gpu-core")]
    {
        let cases = golden_of(op);
        expect_none(&failures(&cases[..3], |call| call.run_eager(super::gpu())), 3);
    }
}

/// A call out of JSON parameters and inputs, as a case has them.
pub fn call(op: &str, params: serde_json::Value, inputs: &[(&str, CaseArray)]) -> Result<Call, Refusal> {
    Call::of_case(&Case {
        id: "bad".into(),
        op: op.into(),
        params: params.as_object().unwrap().clone(),
        inputs: inputs.iter().map(|(name, array)| (name.to_string(), vec![Arc::new(array.clone())])).collect(),
        lists: Default::default(),
        outputs: BTreeMap::new(),
        is_error: true,
    })
}

/// Holds that an operator on one input refuses shapes of more elements than can be counted, and no others.
#[track_caller]
pub fn expect_overflow_refused<O: std::fmt::Debug>(op: &str, new: fn(&[usize]) -> wgdnn::Result<O>) {
    for shape in [&[1 << 29][..], &[1 << 16, 1 << 16], &[usize::MAX, 2], &[1 << 40]] {
        let error = new(shape).unwrap_err();
        let is_right = matches!(error, Error::LimitExceeded { operator, argument: "input", .. } if operator == op);
        assert!(is_right, "{error}");
    }
    assert!(new(&[(1 << 29) - 1]).is_ok());
}

/// Holds that an elementwise operator refuses what is no array of floats and no argument of its own. Any shape that can
/// be counted is right. Wrong buffers of a recorded call are in sharing.rs.
#[track_caller]
pub fn expect_bad_elementwise_refused(op: &str) {
    let integers = CaseArray::I64(ndarray::arr1(&[1, 2]).into_dyn());
    for (params, inputs) in [
        (json!({}), vec![]),
        (json!({}), vec![("input", integers)]),
        (json!({"inplace": true}), vec![("input", floats(&[2]))]),
        (json!({"dim": 0}), vec![("input", floats(&[2]))]),
        (json!({"slope": 0.1}), vec![("input", floats(&[2]))]),
        (json!({}), vec![("input", floats(&[2])), ("weight", floats(&[2]))]),
        (json!({}), vec![("other", floats(&[2]))]),
        (json!({"out": null, "dim": 1}), vec![("input", floats(&[2]))]),
    ] {
        let refusal = call(op, params, &inputs).unwrap_err();
        let text = match &refusal {
            Refusal::BadInput(text) | Refusal::BadCase(text) | Refusal::Unsupported(text) => text,
        };
        assert!(text.contains(op), "{text}");
    }
}
