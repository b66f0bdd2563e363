use ndarray::ArrayD;

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Result, Sigmoid, UnaryInputs, UnaryOutputs};

/// 1 / (1 + exp(-x)) of every element.
///
/// # Errors
/// As [`Sigmoid::new`].
pub fn sigmoid(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Sigmoid>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

impl OnCpu for Sigmoid {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = inputs.input.mapv(|x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32);
        Ok(Computed::new(UnaryOutputs { output }))
    }
}
