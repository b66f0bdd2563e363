use ndarray::ArrayD;

use super::{AsArray, activation_backward, compute, each, owned, sigmoid};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Result, Silu, UnaryInputs};

/// x / (1 + exp(-x)) of every element.
///
/// # Errors
/// As [`Silu::new`].
pub fn silu(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Silu>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

/// The gradient of [`silu`]: see [`silu_backward`](crate::silu_backward).
///
/// # Errors
/// As [`Silu::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn silu_backward(grad_output: &dyn AsArray<f32>, input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    activation_backward(&Silu::new(input.as_view().shape())?, grad_output, input)
}

pub(super) fn of(x: f64) -> f64 {
    x * sigmoid::of(x)
}

pub(super) fn derivative(grad: f64, x: f64) -> f64 {
    grad * sigmoid::of(x) * (1.0 + x * sigmoid::of(-x))
}

impl OnCpu for Silu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
