use ndarray::ArrayD;

use super::{AsArray, compute, gradient_of, owned, row_gradients_of, rows_of};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{Result, Softmax, SoftmaxParams, UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

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

/// The gradient of [`softmax`] from its output: see [`softmax_backward`](crate::softmax_backward).
///
/// # Errors
/// As [`Softmax::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn softmax_backward(
    grad_output: &dyn AsArray<f32>,
    output: &dyn AsArray<f32>,
    params: &SoftmaxParams,
) -> Result<ArrayD<f32>> {
    let new = UnaryBackwardInputs::new(owned(grad_output));
    let inputs = UnaryBackwardInputs { output: Some(owned(output)), ..new };
    gradient_of(&Softmax::new(output.as_view().shape(), params)?, &inputs)
}

impl OnCpu for Backward<Softmax> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = inputs.output.as_ref().expect("it was planned");
        let rows = &self.forward.rows;
        let gradient =
            row_gradients_of(rows, &inputs.grad_output, output, |grad, y| grad * y, |grad, y, sum| (grad - sum) * y);
        self.computed(inputs, |_| gradient.clone())
    }
}
