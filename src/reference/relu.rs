use ndarray::ArrayD;

use super::{AsArray, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Relu, Result, UnaryInputs};

/// max(x, 0) of every element. NaN stays NaN, and -0 stays -0.
///
/// # Errors
/// As [`Relu::new`].
pub fn relu(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Relu>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

pub(super) fn of(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

impl OnCpu for Relu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
