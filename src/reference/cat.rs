use ndarray::{ArrayD, IxDyn, Slice};

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{Cat, CatBackwardInputs, CatInputs, CatOutputs, CatParams, Result};

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

/// The gradients of [`cat`] with respect to tensors of these shapes: see [`cat_backward`](crate::cat_backward).
///
/// # Errors
/// As [`Cat::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn cat_backward(
    grad_output: &dyn AsArray<f32>,
    tensors: &[&[usize]],
    params: &CatParams,
) -> Result<Vec<ArrayD<f32>>> {
    let backward = Cat::new(tensors, params)?.backward_of_all()?;
    let computed = compute::<Backward<Cat>>(&CatBackwardInputs::new(owned(grad_output)), &backward)?;
    Ok(computed.outputs.grad_tensors.into_iter().flatten().collect())
}

impl OnCpu for Backward<Cat> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let Cat { tensors, dim, .. } = &self.forward;
        let length = |shape: &[usize]| if *shape == [0] { 0 } else { shape[*dim] };
        self.computed(inputs, |name| {
            let index = name.index.expect("it is of a list");
            if *tensors[index] == [0] {
                return ArrayD::zeros(IxDyn(&[0]));
            }
            let begin: usize = tensors[..index].iter().map(|shape| length(shape)).sum();
            let part = Slice::from(begin..begin + length(&tensors[index]));
            inputs.grad_output.slice_axis(ndarray::Axis(*dim), part).mapv(f64::from)
        })
    }
}
