use ndarray::ArrayD;

use super::{AsArray, compute, gradient_of, owned, row_gradients_of, rows_of};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{LogSoftmax, Result, SoftmaxParams, UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

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

/// The gradient of [`log_softmax`] from its output: see [`log_softmax_backward`](crate::log_softmax_backward).
///
/// # Errors
/// As [`LogSoftmax::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn log_softmax_backward(
    grad_output: &dyn AsArray<f32>,
    output: &dyn AsArray<f32>,
    params: &SoftmaxParams,
) -> Result<ArrayD<f32>> {
    let new = UnaryBackwardInputs::new(owned(grad_output));
    let inputs = UnaryBackwardInputs { output: Some(owned(output)), ..new };
    gradient_of(&LogSoftmax::new(output.as_view().shape(), params)?, &inputs)
}

impl OnCpu for Backward<LogSoftmax> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = inputs.output.as_ref().expect("it was planned");
        let rows = &self.forward.rows;
        let gradient =
            row_gradients_of(rows, &inputs.grad_output, output, |grad, _| grad, |grad, y, sum| grad - y.exp() * sum);
        self.computed(inputs, |_| gradient.clone())
    }
}
