use ndarray::ArrayD;

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Relu, Result, UnaryInputs, UnaryOutputs};

/// max(x, 0) of every element. NaN stays NaN, and -0 stays -0.
///
/// # Errors
/// As [`Relu::new`].
pub fn relu(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Relu>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

impl OnCpu for Relu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = inputs.input.mapv(|x| if x < 0.0 { 0.0 } else { x });
        Ok(Computed::new(UnaryOutputs { output }))
    }
}
