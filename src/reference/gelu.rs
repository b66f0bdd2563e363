use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

use ndarray::ArrayD;

use super::{AsArray, activate, compute, each, owned, sigmoid};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Approximate, Gelu, GeluParams, Result, UnaryInputs};

/// x (1 + erf(x / sqrt(2))) / 2 of every element, or with tanh.
///
/// # Errors
/// As [`Gelu::new`].
pub fn gelu(input: &dyn AsArray<f32>, params: &GeluParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Gelu>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

pub(super) fn of(x: f64, approximate: Approximate) -> f64 {
    match approximate {
        // 1 + erf(x) is erfc(-x), of which no digits cancel.
        Approximate::None => x * 0.5 * libm::erfc(-x * FRAC_1_SQRT_2),
        // And (1 + tanh(x)) / 2 is sigmoid(2 x).
        Approximate::Tanh => x * sigmoid::of(2.0 * FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))),
    }
}

impl OnCpu for Gelu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, |x| activate(self.activation, x, 0.0)))
    }
}
