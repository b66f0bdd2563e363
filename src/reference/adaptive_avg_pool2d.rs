use ndarray::ArrayD;

use super::{AsArray, compute, gradient_of, gradient_of_means, means_of, owned};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{AdaptiveAvgPool2d, AdaptiveAvgPool2dParams, Result, UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

/// The means of `output_size` areas of every plane.
///
/// # Errors
/// As [`AdaptiveAvgPool2d::new`].
pub fn adaptive_avg_pool2d(input: &dyn AsArray<f32>, params: &AdaptiveAvgPool2dParams) -> Result<ArrayD<f32>> {
    Ok(compute::<AdaptiveAvgPool2d>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

impl OnCpu for AdaptiveAvgPool2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(Computed::new(UnaryOutputs { output: means_of(&self.areas, &inputs.input, self.output_shape()) }))
    }
}

/// The gradient of [`adaptive_avg_pool2d`] with respect to its input, of this shape: see
/// [`adaptive_avg_pool2d_backward`](crate::adaptive_avg_pool2d_backward).
///
/// # Errors
/// As [`AdaptiveAvgPool2d::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not
/// the output's shape.
pub fn adaptive_avg_pool2d_backward(
    grad_output: &dyn AsArray<f32>,
    input: &[usize],
    params: &AdaptiveAvgPool2dParams,
) -> Result<ArrayD<f32>> {
    gradient_of(&AdaptiveAvgPool2d::new(input, params)?, &UnaryBackwardInputs::new(owned(grad_output)))
}

impl OnCpu for Backward<AdaptiveAvgPool2d> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        self.computed(inputs, |_| gradient_of_means(&self.forward.areas, &inputs.grad_output))
    }
}
