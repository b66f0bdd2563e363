use ndarray::ArrayD;

use super::{AsArray, activation_backward, compute, each, owned, relu6};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Hardswish, Result, UnaryInputs};

/// x min(max(x + 3, 0), 6) / 6 of every element.
///
/// # Errors
/// As [`Hardswish::new`].
pub fn hardswish(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Hardswish>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

/// The gradient of [`hardswish`]: see [`hardswish_backward`](crate::hardswish_backward).
///
/// # Errors
/// As [`Hardswish::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn hardswish_backward(grad_output: &dyn AsArray<f32>, input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    activation_backward(&Hardswish::new(input.as_view().shape())?, grad_output, input)
}

pub(super) fn of(x: f64) -> f64 {
    x * (relu6::of(x + 3.0) / 6.0)
}

pub(super) fn derivative(grad: f64, x: f64) -> f64 {
    if x <= -3.0 {
        0.0
    } else if x < 3.0 {
        grad * (x / 3.0 + 0.5)
    } else {
        grad
    }
}

impl OnCpu for Hardswish {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
