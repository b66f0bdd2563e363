//! How many dispatches a backward pass is.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use wgdnn::cases::{Call, Case, CaseArray, GRAD_OUTPUT};
use wgdnn::{AdapterClass, Capabilities, wgpu};

use crate::harness::golden_gradients;

/// Zeros of an array's shape, several times as long in one dimension.
fn stretched(array: &CaseArray, axis: usize, times: usize) -> CaseArray {
    let mut shape = array.shape().to_vec();
    shape[axis] *= times;
    match array {
        CaseArray::F32(_) => ArrayD::<f32>::zeros(IxDyn(&shape)).into(),
        CaseArray::I64(_) => ArrayD::<i32>::zeros(IxDyn(&shape)).into(),
    }
}

/// The case with several times as many items of its batch, which is the first dimension of all inputs that have as many.
fn with_batch(case: &Case, times: usize) -> Option<Case> {
    let batch = *case.inputs["input"][0].shape().first()?;
    let mut case = case.clone();
    case.inputs.remove(GRAD_OUTPUT);
    for (name, arrays) in &mut case.inputs {
        for array in arrays {
            let is_of_batch = name != "weight" && name != "bias" && array.shape().first() == Some(&batch);
            if is_of_batch {
                *array = Arc::new(stretched(array, 0, times));
            }
        }
    }
    (batch > 0).then_some(case)
}

/// The case with several times as many groups, each as it was.
fn with_groups(case: &Case, times: usize) -> Option<Case> {
    let mut case = case.clone();
    case.inputs.remove(GRAD_OUTPUT);
    let groups = case.params.get("groups").map_or(Some(1), |groups| groups.as_u64())? * times as u64;
    case.params.insert("groups".into(), groups.into());
    for (name, axis_from_end) in [("input", 3), ("weight", 4), ("bias", 1)] {
        for array in case.inputs.get_mut(name).into_iter().flatten() {
            let axis = array.shape().len().checked_sub(axis_from_end)?;
            *array = Arc::new(stretched(array, axis, times));
        }
    }
    Some(case)
}

/// Dispatches of the backward passes for all gradients and for each alone.
fn dispatches(case: &Case, on: &Capabilities) -> Option<Vec<(String, usize)>> {
    let calls = Call::of_case(case).ok()?.planned_backward().ok()?;
    let each = calls.iter().flat_map(Call::by_every_algorithm);
    let count = |(algorithm, call): (String, Call)| Some((algorithm, call.operator().dispatch_count_on(on).ok()?));
    each.map(count).collect()
}

/// Neither images nor groups have dispatches of their own. From some size on a sum may be added up in two steps, which is a
/// dispatch for each gradient.
#[test]
fn dispatches_do_not_depend_on_batch_or_groups() {
    let devices = [AdapterClass::Hardware, AdapterClass::Llvmpipe]
        .map(|class| Capabilities::new(class, wgpu::Features::empty(), wgpu::Limits::defaults()));
    let mut counts = BTreeMap::<(&str, &str), usize>::new();
    for gradient in golden_gradients().iter().filter(|gradient| gradient.case.inputs.contains_key("input")) {
        let (case, op) = (gradient.case, gradient.forward.op());
        let has_groups = wgdnn::cases::parameters_of(op).is_some_and(|names| names.contains(&"groups"));
        type Multiplied = fn(&Case, usize) -> Option<Case>;
        let kinds: [(_, Multiplied, _); 2] = [("batch", with_batch, 64), ("groups", with_groups, 4)];
        for (what, with, times) in kinds.into_iter().filter(|(what, ..)| *what == "batch" || has_groups) {
            let (Some(once), Some(often)) = (with(case, 1), with(case, times)) else { continue };
            if counts.get(&(op, what)) >= Some(&20) {
                continue;
            }
            for on in &devices {
                let (Some(once), Some(often)) = (dispatches(&once, on), dispatches(&often, on)) else { continue };
                for ((algorithm, once), (_, often)) in once.iter().zip(&often) {
                    let most = once + gradient.forward.differentiable().unwrap().gradient_shapes_by_name().len();
                    let class = on.class;
                    assert!(
                        *often <= most,
                        "{}, {algorithm}, {class:?}: {once} dispatches, {often} with {times} times the {what}",
                        case.id
                    );
                }
                *counts.entry((op, what)).or_default() += 1;
            }
        }
    }
    println!("{counts:#?}");
    assert!(!counts.is_empty() && counts.values().all(|&count| count >= 10), "{counts:#?}");
}
