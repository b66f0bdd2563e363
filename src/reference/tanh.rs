use ndarray::ArrayD;

use super::{AsArray, activation_backward, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Result, Tanh, UnaryInputs};

/// tanh(x) of every element.
///
/// # Errors
/// As [`Tanh::new`].
pub fn tanh(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Tanh>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

/// The gradient of [`tanh`]: see [`tanh_backward`](crate::tanh_backward).
///
/// # Errors
/// As [`Tanh::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn tanh_backward(grad_output: &dyn AsArray<f32>, output: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    activation_backward(&Tanh::new(output.as_view().shape())?, grad_output, output)
}

pub(super) fn of(x: f64) -> f64 {
    x.tanh()
}

pub(super) fn derivative(grad: f64, y: f64) -> f64 {
    grad * (1.0 - y * y)
}

impl OnCpu for Tanh {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
