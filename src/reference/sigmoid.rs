use ndarray::ArrayD;

use super::{AsArray, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Result, Sigmoid, UnaryInputs};

/// 1 / (1 + exp(-x)) of every element.
///
/// # Errors
/// As [`Sigmoid::new`].
pub fn sigmoid(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Sigmoid>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

pub(super) fn of(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl OnCpu for Sigmoid {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
