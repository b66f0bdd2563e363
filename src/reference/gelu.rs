use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI, PI};

use ndarray::ArrayD;

use super::{AsArray, activate, activation_backward, compute, each, owned, sigmoid};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Approximate, Gelu, GeluParams, Result, UnaryInputs};

/// x (1 + erf(x / sqrt(2))) / 2 of every element, or with tanh.
///
/// # Errors
/// As [`Gelu::new`].
pub fn gelu(input: &dyn AsArray<f32>, params: &GeluParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Gelu>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

/// The gradient of [`gelu`]: see [`gelu_backward`](crate::gelu_backward).
///
/// # Errors
/// As [`Gelu::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays of two shapes.
pub fn gelu_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    params: &GeluParams,
) -> Result<ArrayD<f32>> {
    activation_backward(&Gelu::new(input.as_view().shape(), params)?, grad_output, input)
}

pub(super) fn of(x: f64, approximate: Approximate) -> f64 {
    match approximate {
        // 1 + erf(x) is erfc(-x), of which no digits cancel.
        Approximate::None => x * 0.5 * libm::erfc(-x * FRAC_1_SQRT_2),
        // And (1 + tanh(x)) / 2 is sigmoid(2 x).
        Approximate::Tanh => x * sigmoid::of(2.0 * FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))),
    }
}

pub(super) fn derivative(grad: f64, x: f64, approximate: Approximate) -> f64 {
    grad * match approximate {
        Approximate::None => {
            let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
            0.5 * libm::erfc(-x * FRAC_1_SQRT_2) + x * density
        }
        Approximate::Tanh => {
            let s = sigmoid::of(2.0 * FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3)));
            s + x * s * (1.0 - s) * 2.0 * FRAC_2_PI.sqrt() * (1.0 + 3.0 * 0.044715 * x * x)
        }
    }
}

impl OnCpu for Gelu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, |x| activate(self.activation, x, 0.0)))
    }
}
