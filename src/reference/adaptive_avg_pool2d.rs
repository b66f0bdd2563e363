use ndarray::ArrayD;

use super::{AsArray, compute, means_of, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{AdaptiveAvgPool2d, AdaptiveAvgPool2dParams, Result, UnaryInputs, UnaryOutputs};

/// The means of `output_size` areas of every plane.
///
/// # Errors
/// As [`AdaptiveAvgPool2d::new`].
pub fn adaptive_avg_pool2d(input: &dyn AsArray<f32>, params: &AdaptiveAvgPool2dParams) -> Result<ArrayD<f32>> {
    Ok(compute::<AdaptiveAvgPool2d>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

impl OnCpu for AdaptiveAvgPool2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(Computed::new(UnaryOutputs { output: means_of(&self.areas, &inputs.input, self.output_shape()) }))
    }
}
