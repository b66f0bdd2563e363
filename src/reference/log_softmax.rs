use ndarray::ArrayD;

use super::{AsArray, compute, owned, rows_of};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{LogSoftmax, Result, SoftmaxParams, UnaryInputs, UnaryOutputs};

/// x - log(sum exp(x)) along a dimension.
///
/// # Errors
/// As [`LogSoftmax::new`].
pub fn log_softmax(input: &dyn AsArray<f32>, params: &SoftmaxParams) -> Result<ArrayD<f32>> {
    Ok(compute::<LogSoftmax>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

impl OnCpu for LogSoftmax {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = rows_of(&self.rows, &inputs.input, |below, others| below - others.ln_1p());
        Ok(Computed::new(UnaryOutputs { output }))
    }
}
