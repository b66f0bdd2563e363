use ndarray::ArrayD;

use super::{AsArray, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Relu6, Result, UnaryInputs};

/// min(max(x, 0), 6) of every element.
///
/// # Errors
/// As [`Relu6::new`].
pub fn relu6(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Relu6>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

pub(super) fn of(x: f64) -> f64 {
    x.clamp(0.0, 6.0)
}

impl OnCpu for Relu6 {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
