use ndarray::ArrayD;

use super::{AsArray, activation_backward, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Relu6, Result, UnaryInputs};

/// min(max(x, 0), 6) of every element.
///
/// # Errors
/// As [`Relu6::new`].
pub fn relu6(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Relu6>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

/// The gradient of [`relu6`]: see [`relu6_backward`](crate::relu6_backward).
///
/// # Errors
/// As [`Relu6::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn relu6_backward(grad_output: &dyn AsArray<f32>, output: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    activation_backward(&Relu6::new(output.as_view().shape())?, grad_output, output)
}

pub(super) fn of(x: f64) -> f64 {
    x.clamp(0.0, 6.0)
}

pub(super) fn derivative(grad: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 6.0 { 0.0 } else { grad }
}

impl OnCpu for Relu6 {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
