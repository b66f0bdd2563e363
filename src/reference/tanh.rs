use ndarray::ArrayD;

use super::{AsArray, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Result, Tanh, UnaryInputs};

/// tanh(x) of every element.
///
/// # Errors
/// As [`Tanh::new`].
pub fn tanh(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Tanh>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

pub(super) fn of(x: f64) -> f64 {
    x.tanh()
}

impl OnCpu for Tanh {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
