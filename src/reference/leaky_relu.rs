use ndarray::ArrayD;

use super::{AsArray, activate, compute, each, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{LeakyRelu, LeakyReluParams, Result, UnaryInputs};

/// x where x > 0, otherwise `negative_slope` x, of every element.
///
/// # Errors
/// As [`LeakyRelu::new`].
pub fn leaky_relu(input: &dyn AsArray<f32>, params: &LeakyReluParams) -> Result<ArrayD<f32>> {
    Ok(compute::<LeakyRelu>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

pub(super) fn of(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

impl OnCpu for LeakyRelu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, |x| activate(self.activation, x, 0.0)))
    }
}
