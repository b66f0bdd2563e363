use ndarray::{ArrayD, IxDyn, Slice};

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Cat, CatInputs, CatOutputs, CatParams, Result};

/// Arrays joined along a dimension.
///
/// # Errors
/// As [`Cat::new`].
pub fn cat(tensors: &[&dyn AsArray<f32>], params: &CatParams) -> Result<ArrayD<f32>> {
    let tensors = tensors.iter().map(|tensor| owned(*tensor)).collect();
    Ok(compute::<Cat>(&CatInputs { tensors }, params)?.outputs.output)
}

impl OnCpu for Cat {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let axis = ndarray::Axis(self.dim);
        let mut output = ArrayD::zeros(IxDyn(self.output_shape()));
        let mut begin = 0;
        for tensor in inputs.tensors.iter().filter(|tensor| *tensor.shape() != [0]) {
            let end = begin + tensor.len_of(axis);
            output.slice_axis_mut(axis, Slice::from(begin..end)).assign(tensor);
            begin = end;
        }
        Ok(Computed::new(CatOutputs { output }))
    }
}
