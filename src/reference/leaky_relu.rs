use ndarray::ArrayD;

use super::{AsArray, activate, activation_backward, compute, each, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{LeakyRelu, LeakyReluParams, Result, UnaryInputs};

/// x where x > 0, otherwise `negative_slope` x, of every element.
///
/// # Errors
/// As [`LeakyRelu::new`].
pub fn leaky_relu(input: &dyn AsArray<f32>, params: &LeakyReluParams) -> Result<ArrayD<f32>> {
    Ok(compute::<LeakyRelu>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

/// The gradient of [`leaky_relu`]: see [`leaky_relu_backward`](crate::leaky_relu_backward).
///
/// # Errors
/// As [`LeakyRelu::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn leaky_relu_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    params: &LeakyReluParams,
) -> Result<ArrayD<f32>> {
    activation_backward(&LeakyRelu::new(input.as_view().shape(), params)?, grad_output, input)
}

pub(super) fn of(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

pub(super) fn derivative(grad: f64, x: f64, slope: f64) -> f64 {
    if x > 0.0 { grad } else { grad * slope }
}

impl OnCpu for LeakyRelu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, |x| activate(self.activation, x, 0.0)))
    }
}
