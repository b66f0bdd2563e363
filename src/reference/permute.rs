use ndarray::{ArrayD, IxDyn};

use super::{AsArray, compute, gradient_of, owned};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{Permute, PermuteParams, Result, UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

/// The elements with the dimensions in another order.
///
/// # Errors
/// As [`Permute::new`].
pub fn permute(input: &dyn AsArray<f32>, params: &PermuteParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Permute>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

impl OnCpu for Permute {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = inputs.input.view().permuted_axes(self.dims.clone());
        Ok(Computed::new(UnaryOutputs { output: output.as_standard_layout().into_owned() }))
    }
}

/// The gradient of [`permute`] with respect to its input, of this shape: see [`permute_backward`](crate::permute_backward).
///
/// # Errors
/// As [`Permute::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn permute_backward(
    grad_output: &dyn AsArray<f32>,
    input: &[usize],
    params: &PermuteParams,
) -> Result<ArrayD<f32>> {
    gradient_of(&Permute::new(input, params)?, &UnaryBackwardInputs::new(owned(grad_output)))
}

impl OnCpu for Backward<Permute> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        self.computed(inputs, |_| {
            // The element at each place of the output came from the place with the coordinates in the other order.
            let mut gradient = ArrayD::zeros(IxDyn(&self.forward.input));
            let mut permuted = gradient.view_mut().permuted_axes(self.forward.dims.clone());
            permuted.zip_mut_with(&inputs.grad_output, |gradient, &grad| *gradient = f64::from(grad));
            gradient
        })
    }
}
