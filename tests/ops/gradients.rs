//! Gradients: the GPU held against the CPU reference, the references against finite differences, and the same bits every
//! time. That they are PyTorch's show the golden cases with a `grad_output`, which run as all others do.

mod accumulation;
mod accuracy;
mod adjointness;
mod differences;
mod plans;
mod refusals;
mod reruns;

use proptest::prelude::*;
use wgdnn::cases::{Call, Refusal};
use wgdnn::operator::{AnyArray, FloatOrInteger, Gradient, Name};

use crate::harness::{random, validating_gpus};

/// The backward pass of a call with a random gradient of the output, for all gradients or this one, and with random numbers
/// to add to. `None` if the operator has no gradient.
pub fn backward_of(call: &Call, seed: u64, how: Gradient, only: Option<Name>) -> Option<Call> {
    let forward = call.saving().unwrap();
    let known = forward.differentiable()?.gradient_shapes_by_name();
    let outputs = forward.run_reference().unwrap();
    let mut others: Vec<(Name, AnyArray)> =
        vec![("grad_output".into(), FloatOrInteger::Float(random(outputs["output"].shape(), seed)))];
    let wanted: Vec<_> = known.iter().filter(|(name, _)| only.is_none_or(|only| *name == only)).collect();
    if how == Gradient::Accumulate {
        let array = |shape: &[usize]| FloatOrInteger::Float(random(shape, seed ^ 1));
        others.extend(wanted.iter().map(|(name, shape)| (*name, array(shape))));
    }
    let gradients: Vec<_> = wanted.iter().map(|(name, _)| (*name, how)).collect();
    match forward.backward(&gradients, &outputs, &others) {
        Ok(call) => Some(call),
        // Of an activation that is applied to the output.
        Err(Refusal::BadInput(reason)) if reason.contains("activation") => None,
        Err(refusal) => panic!("{refusal}"),
    }
}

/// Holds the gradients of a random problem on the GPU, by every algorithm, against the CPU reference: all of them as outputs,
/// all added to what is there, and each alone.
pub fn agree(call: &Call, seed: u64) -> Result<(), TestCaseError> {
    let Some(differentiable) = call.differentiable() else { return Ok(()) };
    let names = differentiable.gradient_shapes_by_name();
    let mut problems = vec![(Gradient::Write, None), (Gradient::Accumulate, None)];
    if names.len() > 1 {
        let (name, _) = names[seed as usize % names.len()];
        problems.push((if seed & 1 == 0 { Gradient::Write } else { Gradient::Accumulate }, Some(name)));
    }
    for (how, only) in problems {
        let Some(backward) = backward_of(call, seed, how, only) else { return Ok(()) };
        for gpu in validating_gpus() {
            for (algorithm, call) in backward.by_every_algorithm() {
                let result = call.run_eager(gpu);
                prop_assert!(result.is_ok(), "{}, {:?} {:?}: {}", algorithm, how, only, result.unwrap_err());
            }
        }
    }
    Ok(())
}
