//! Calls that must be refused.

use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "gpu-core")]
use super::{expect_none, failures, golden_of};
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
