use ndarray::{ArrayD, IxDyn};

use super::{AsArray, compute, elements_of, leaky_relu, owned};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, NoParams, OnCpu};
use crate::{Prelu, PreluBackwardInputs, PreluGradients, PreluInputs, PreluOutputs, Result};

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

/// The gradients of [`prelu`]: see [`prelu_backward`](crate::prelu_backward).
///
/// # Errors
/// As [`Prelu::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` of another shape.
pub fn prelu_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    weight: &dyn AsArray<f32>,
) -> Result<PreluGradients<ArrayD<f32>>> {
    let forward = Prelu::new(input.as_view().shape(), weight.as_view().shape())?;
    let inputs = PreluBackwardInputs {
        weight: Some(owned(weight)),
        ..PreluBackwardInputs::new(owned(grad_output), owned(input))
    };
    Ok(compute::<Backward<Prelu>>(&inputs, &forward.backward_of_all()?)?.outputs)
}

impl OnCpu for Backward<Prelu> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let Prelu { channels, inner, .. } = self.forward;
        let channel = |index: usize| index / inner % channels;
        self.computed(inputs, |name| match &inputs.weight {
            Some(weight) if name.field == "grad_input" => {
                let slopes = elements_of(weight);
                let mut gradient = inputs.grad_output.mapv(f64::from).as_standard_layout().into_owned();
                for ((index, grad), &x) in gradient.iter_mut().enumerate().zip(&inputs.input) {
                    *grad = leaky_relu::derivative(*grad, f64::from(x), slopes[channel(index)]);
                }
                gradient
            }
            _ => {
                let mut gradient = ArrayD::zeros(IxDyn(&self.forward.weight));
                let slopes = gradient.as_slice_mut().expect("it is new");
                for ((index, &grad), &x) in inputs.grad_output.iter().enumerate().zip(&inputs.input) {
                    if x.is_nan() || x <= 0.0 {
                        slopes[channel(index)] += f64::from(grad) * f64::from(x);
                    }
                }
                gradient
            }
        })
    }
}
