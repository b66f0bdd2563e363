pub(super) mod products;

use ndarray::{ArrayD, Axis, IxDyn};
use products::{channel_sums, convolved, transposed, weight_gradient};

use super::{AsArray, batch_of, compute, elements_of, finished, owned, weight_of};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{Conv2d, Conv2dBackwardInputs, Conv2dGradients, Conv2dInputs, Conv2dOutputs, Conv2dParams, Result};

/// The convolution of an input with a weight, as PyTorch does it on the CPU: a product of matrices, of which one has the
/// weights and the other the inputs that meet them, or the zeros around the input.
///
/// # Errors
/// As [`Conv2d::new`].
pub fn conv2d(
    input: &dyn AsArray<f32>,
    weight: &dyn AsArray<f32>,
    bias: Option<&dyn AsArray<f32>>,
    params: &Conv2dParams,
) -> Result<ArrayD<f32>> {
    let [input, weight] = [input, weight].map(owned);
    let inputs = Conv2dInputs { bias: bias.map(owned), ..Conv2dInputs::new(input, weight) };
    Ok(compute::<Conv2d>(&inputs, params)?.outputs.output)
}

/// The gradients of [`conv2d`] with respect to its input, its weight and, `has_bias`, its bias: see
/// [`conv2d_backward`](crate::conv2d_backward).
///
/// # Errors
/// As [`Conv2d::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn conv2d_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    weight: &dyn AsArray<f32>,
    has_bias: bool,
    params: &Conv2dParams,
) -> Result<Conv2dGradients<ArrayD<f32>>> {
    let [grad_output, input, weight] = [grad_output, input, weight].map(owned);
    let channels = [weight.shape().first().copied().unwrap_or(0)];
    let bias = has_bias.then_some(&channels[..]);
    let backward = Conv2d::new(input.shape(), weight.shape(), bias, params)?.backward_of_all()?;
    let (input, weight) = (Some(input), Some(weight));
    let inputs = Conv2dBackwardInputs { input, weight, ..Conv2dBackwardInputs::new(grad_output) };
    Ok(compute::<Backward<Conv2d>>(&inputs, &backward)?.outputs)
}

impl OnCpu for Conv2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let image = &self.input;
        let planes = batch_of(inputs.input.view(), image);
        let weight = weight_of(&inputs.weight);
        let bias = inputs.bias.as_ref().map_or_else(|| vec![0.0; self.out_channels], elements_of);
        let mut output = convolved(planes, weight, &self.windows, [self.out_rows, self.out_cols]);
        for (mut channel, bias) in output.axis_iter_mut(Axis(1)).zip(bias) {
            channel += bias;
        }
        let output = output.into_shape_with_order(IxDyn(self.output_shape())).expect("only the batch dimension may go");
        let arguments = [&inputs.residual, &inputs.activation_weight];
        let output = finished(&self.epilogue, output, arguments, [self.out_channels, self.out_rows * self.out_cols]);
        Ok(Computed::new(Conv2dOutputs { output }))
    }
}

impl OnCpu for Backward<Conv2d> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let Conv2d { input: image, windows, groups, .. } = &self.forward;
        let pixels = batch_of(inputs.grad_output.view(), image);
        let wrong = "it was planned";
        self.computed(inputs, |name| match name.field {
            "grad_input" => {
                let weight = weight_of(inputs.weight.as_ref().expect(wrong));
                let gradient = transposed(pixels, weight, windows, [image.rows, image.cols], *groups);
                gradient.into_shape_with_order(IxDyn(&image.shape)).expect("only the batch dimension may go")
            }
            "grad_weight" => {
                let planes = batch_of(inputs.input.as_ref().expect(wrong).view(), image);
                weight_gradient(planes, pixels, windows, *groups).into_dyn()
            }
            _ => channel_sums(pixels),
        })
    }
}
