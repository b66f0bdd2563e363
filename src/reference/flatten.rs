use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};

use super::{AsArray, gradient_of, owned};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{Flatten, FlattenParams, Result, UnaryBackwardInputs, UnaryOutputs};

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

/// The gradient of [`flatten`] with respect to its input, of this shape: see [`flatten_backward`](crate::flatten_backward).
///
/// # Errors
/// As [`Flatten::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn flatten_backward(
    grad_output: &dyn AsArray<f32>,
    input: &[usize],
    params: &FlattenParams,
) -> Result<ArrayD<f32>> {
    gradient_of(&Flatten::new(input, params)?, &UnaryBackwardInputs::new(owned(grad_output)))
}

impl OnCpu for Backward<Flatten> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        self.computed(inputs, |_| reshaped(&inputs.grad_output, &self.forward.input).mapv(f64::from))
    }
}
