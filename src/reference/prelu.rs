use ndarray::ArrayD;

use super::{AsArray, compute, elements_of, leaky_relu, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Prelu, PreluInputs, PreluOutputs, Result};

/// x where x > 0, otherwise weight x, of every element.
///
/// # Errors
/// As [`Prelu::new`].
pub fn prelu(input: &dyn AsArray<f32>, weight: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    let inputs = PreluInputs { input: owned(input), weight: owned(weight) };
    Ok(compute::<Prelu>(&inputs, &NoParams {})?.outputs.output)
}

impl OnCpu for Prelu {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let slopes = elements_of(&inputs.weight);
        let mut output = inputs.input.as_standard_layout().into_owned();
        for (index, x) in output.iter_mut().enumerate() {
            *x = leaky_relu::of(f64::from(*x), slopes[index / self.inner % self.channels]) as f32;
        }
        Ok(Computed::new(PreluOutputs { output }))
    }
}
