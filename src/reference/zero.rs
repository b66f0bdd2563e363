use ndarray::ArrayD;

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, NoOutputs, OnCpu};
use crate::{Result, Zero, ZeroInputs};

/// 0 in every element: see [`zero_`](crate::zero_).
///
/// # Errors
/// As [`Zero::new`].
pub fn zero(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    let inputs = ZeroInputs { input: owned(input) };
    let mut computed = compute::<Zero>(&inputs, &Default::default())?;
    Ok(computed.take_updated("input").unwrap_or(inputs.input))
}

impl OnCpu for Zero {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let mut computed = Computed::new(NoOutputs {});
        computed.update("input", ArrayD::zeros(inputs.input.raw_dim()));
        Ok(computed)
    }
}
