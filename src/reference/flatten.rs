use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};

use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Flatten, FlattenParams, Result, UnaryOutputs};

/// Merges the dimensions from `start_dim` to `end_dim`.
///
/// # Errors
/// As [`Flatten::new`].
pub fn flatten<T: Clone>(
    input: &ArrayBase<impl Data<Elem = T>, impl Dimension>,
    params: &FlattenParams,
) -> Result<ArrayD<T>> {
    Ok(reshaped(input, Flatten::new(input.shape(), params)?.output_shape()))
}

fn reshaped<T: Clone>(input: &ArrayBase<impl Data<Elem = T>, impl Dimension>, shape: &[usize]) -> ArrayD<T> {
    let data = input.iter().cloned().collect();
    ArrayD::from_shape_vec(IxDyn(shape), data).expect("flattening keeps the number of elements")
}

impl OnCpu for Flatten {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(Computed::new(UnaryOutputs { output: reshaped(&inputs.input, self.output_shape()) }))
    }
}
