use ndarray::ArrayD;

use super::{AsArray, compute, each, owned, relu6};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Hardswish, Result, UnaryInputs};

/// x min(max(x + 3, 0), 6) / 6 of every element.
///
/// # Errors
/// As [`Hardswish::new`].
pub fn hardswish(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    Ok(compute::<Hardswish>(&UnaryInputs { input: owned(input) }, &NoParams {})?.outputs.output)
}

pub(super) fn of(x: f64) -> f64 {
    x * (relu6::of(x + 3.0) / 6.0)
}

impl OnCpu for Hardswish {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(each(&inputs.input, of))
    }
}
