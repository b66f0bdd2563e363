use ndarray::{ArrayD, IxDyn, Zip};

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Add, AddInputs, AddOutputs, AddParams, Result};

/// input + alpha other, of two arrays that broadcast together.
///
/// # Errors
/// As [`Add::new`].
pub fn add(input: &dyn AsArray<f32>, other: &dyn AsArray<f32>, params: &AddParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Add>(&AddInputs { input: owned(input), other: owned(other) }, params)?.outputs.output)
}

impl OnCpu for Add {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let common = IxDyn(&self.common);
        let [input, other] =
            [&inputs.input, &inputs.other].map(|array| array.broadcast(common.clone()).expect("the shapes broadcast"));
        // As PyTorch's float32 has it, and the GPU.
        let alpha = f64::from(self.alpha as f32);
        let sum = |&x: &f32, &y: &f32| (f64::from(x) + alpha * f64::from(y)) as f32;
        Ok(Computed::new(AddOutputs { output: Zip::from(input).and(other).map_collect(sum) }))
    }
}
