use ndarray::ArrayD;

use super::{AsArray, compute, owned, rows_of};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Result, Softmax, SoftmaxParams, UnaryInputs, UnaryOutputs};

/// exp(x) / sum exp(x) along a dimension.
///
/// # Errors
/// As [`Softmax::new`].
pub fn softmax(input: &dyn AsArray<f32>, params: &SoftmaxParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Softmax>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

impl OnCpu for Softmax {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = rows_of(&self.rows, &inputs.input, |below, others| below.exp() / (1.0 + others));
        Ok(Computed::new(UnaryOutputs { output }))
    }
}
