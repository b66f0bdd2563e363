use ndarray::{ArrayD, Axis, IxDyn};

use super::conv2d::products::{channel_sums, convolved, transposed, weight_gradient};
use super::{AsArray, batch_of, compute, elements_of, finished, owned, weight_of};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{
    Conv2dBackwardInputs, Conv2dGradients, ConvTranspose2d, ConvTranspose2dInputs, ConvTranspose2dOutputs,
    ConvTranspose2dParams, Result,
};

/// The transposed convolution of an input with a weight, as PyTorch does it on the CPU: every input pixel's product with
/// the weights, a product of matrices, is added where it belongs.
///
/// # Errors
/// As [`ConvTranspose2d::new`].
pub fn conv_transpose2d(
    input: &dyn AsArray<f32>,
    weight: &dyn AsArray<f32>,
    bias: Option<&dyn AsArray<f32>>,
    params: &ConvTranspose2dParams,
) -> Result<ArrayD<f32>> {
    let [input, weight] = [input, weight].map(owned);
    let inputs = ConvTranspose2dInputs { bias: bias.map(owned), ..ConvTranspose2dInputs::new(input, weight) };
    Ok(compute::<ConvTranspose2d>(&inputs, params)?.outputs.output)
}

/// The gradients of [`conv_transpose2d`] with respect to its input, its weight and, `has_bias`, its bias: see
/// [`conv_transpose2d_backward`](crate::conv_transpose2d_backward).
///
/// # Errors
/// As [`ConvTranspose2d::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has
/// not the output's shape.
pub fn conv_transpose2d_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    weight: &dyn AsArray<f32>,
    has_bias: bool,
    params: &ConvTranspose2dParams,
) -> Result<Conv2dGradients<ArrayD<f32>>> {
    let [grad_output, input, weight] = [grad_output, input, weight].map(owned);
    let channels = [weight.shape().get(1).map_or(0, |channels| channels.saturating_mul(params.groups))];
    let bias = has_bias.then_some(&channels[..]);
    let backward = ConvTranspose2d::new(input.shape(), weight.shape(), bias, params)?.backward_of_all()?;
    let (input, weight) = (Some(input), Some(weight));
    let inputs = Conv2dBackwardInputs { input, weight, ..Conv2dBackwardInputs::new(grad_output) };
    Ok(compute::<Backward<ConvTranspose2d>>(&inputs, &backward)?.outputs)
}

impl OnCpu for ConvTranspose2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let image = &self.input;
        let planes = batch_of(inputs.input.view(), image);
        let weight = weight_of(&inputs.weight);
        let bias = inputs.bias.as_ref().map_or_else(|| vec![0.0; self.out_channels], elements_of);
        let mut sums = transposed(planes, weight, &self.windows, [self.out_rows, self.out_cols], self.groups);
        for (mut channel, bias) in sums.axis_iter_mut(Axis(1)).zip(bias) {
            channel += bias;
        }
        let output = sums.into_shape_with_order(IxDyn(self.output_shape())).expect("only the batch dimension may go");
        let arguments = [&inputs.residual, &inputs.activation_weight];
        let output = finished(&self.epilogue, output, arguments, [self.out_channels, self.out_rows * self.out_cols]);
        Ok(Computed::new(ConvTranspose2dOutputs { output }))
    }
}

impl OnCpu for Backward<ConvTranspose2d> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let ConvTranspose2d { input: image, windows, groups, .. } = &self.forward;
        let planes = batch_of(inputs.grad_output.view(), image);
        let wrong = "it was planned";
        self.computed(inputs, |name| match name.field {
            "grad_input" => {
                let weight = weight_of(inputs.weight.as_ref().expect(wrong));
                let gradient = convolved(planes, weight, windows, [image.rows, image.cols]);
                gradient.into_shape_with_order(IxDyn(&image.shape)).expect("only the batch dimension may go")
            }
            "grad_weight" => {
                let pixels = batch_of(inputs.input.as_ref().expect(wrong).view(), image);
                weight_gradient(planes, pixels, windows, *groups).into_dyn()
            }
            _ => channel_sums(planes),
        })
    }
}
