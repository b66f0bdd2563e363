use ndarray::ArrayD;

use super::{AsArray, activation_backward, compute, each, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Result, Sigmoid, UnaryInputs};

/// 1 / (1 + exp(-x)) of every element.
///
/// # Errors
/// As [`Sigmoid::new`].
pub fn sigmoid(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Sigmoid>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

/// The gradient of [`sigmoid`]: see [`sigmoid_backward`](crate::sigmoid_backward).
///
/// # Errors
/// As [`Sigmoid::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn sigmoid_backward(grad_output: &dyn AsArray<f32>, output: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    activation_backward(&Sigmoid::new(output.as_view().shape())?, grad_output, output)
}

pub(super) fn of(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) fn derivative(grad: f64, y: f64) -> f64 {
    grad * (1.0 - y) * y
}

impl OnCpu for Sigmoid {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
