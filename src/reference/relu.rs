use ndarray::ArrayD;

use super::{AsArray, activation_backward, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Relu, Result, UnaryInputs};

/// max(x, 0) of every element. NaN stays NaN, and -0 stays -0.
///
/// # Errors
/// As [`Relu::new`].
pub fn relu(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Relu>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

/// The gradient of [`relu`]: see [`relu_backward`](crate::relu_backward).
///
/// # Errors
/// As [`Relu::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn relu_backward(grad_output: &dyn AsArray<f32>, output: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    activation_backward(&Relu::new(output.as_view().shape())?, grad_output, output)
}

pub(super) fn of(x: f64) -> f64 {
    if x < 0.0 { 0.0 } else { x }
}

pub(super) fn derivative(grad: f64, x: f64) -> f64 {
    if x <= 0.0 { 0.0 } else { grad }
}

impl OnCpu for Relu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
