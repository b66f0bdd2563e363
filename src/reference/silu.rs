use ndarray::ArrayD;

use super::{AsArray, compute, each, owned, sigmoid};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Result, Silu, UnaryInputs};

/// x / (1 + exp(-x)) of every element.
///
/// # Errors
/// As [`Silu::new`].
pub fn silu(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Silu>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

pub(super) fn of(x: f64) -> f64 {
    x * sigmoid::of(x)
}

impl OnCpu for Silu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
