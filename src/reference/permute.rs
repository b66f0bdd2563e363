use ndarray::ArrayD;

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Permute, PermuteParams, Result, UnaryInputs, UnaryOutputs};

/// The elements with the dimensions in another order.
///
/// # Errors
/// As [`Permute::new`].
pub fn permute(input: &dyn AsArray<f32>, params: &PermuteParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Permute>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

impl OnCpu for Permute {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let output = inputs.input.view().permuted_axes(self.dims.clone());
        Ok(Computed::new(UnaryOutputs { output: output.as_standard_layout().into_owned() }))
    }
}
