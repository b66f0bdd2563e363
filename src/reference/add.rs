use ndarray::{ArrayD, Axis, IxDyn, Zip};

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{Add, AddBackwardInputs, AddGradients, AddInputs, AddOutputs, AddParams, Result};

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

/// The gradients of [`add`] with respect to operands of these shapes: see [`add_backward`](crate::add_backward).
///
/// # Errors
/// As [`Add::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn add_backward(
    grad_output: &dyn AsArray<f32>,
    input: &[usize],
    other: &[usize],
    params: &AddParams,
) -> Result<AddGradients<ArrayD<f32>>> {
    let backward = Add::new(input, other, params)?.backward_of_all()?;
    Ok(compute::<Backward<Add>>(&AddBackwardInputs::new(owned(grad_output)), &backward)?.outputs)
}

impl OnCpu for Backward<Add> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        self.computed(inputs, |name| {
            let (shape, factor) = match name.field {
                "grad_input" => (&self.forward.input, 1.0),
                _ => (&self.forward.other, f64::from(self.forward.alpha as f32)),
            };
            let mut sums = inputs.grad_output.mapv(f64::from);
            while sums.ndim() > shape.len() {
                sums = sums.sum_axis(Axis(0));
            }
            for (dim, &length) in shape.iter().enumerate() {
                if length == 1 && sums.len_of(Axis(dim)) != 1 {
                    sums = sums.sum_axis(Axis(dim)).insert_axis(Axis(dim));
                }
            }
            sums * factor
        })
    }
}
