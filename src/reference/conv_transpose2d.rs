use ndarray::{Array4, ArrayD, IxDyn, s};

use super::{AsArray, batch_of, compute, elements_of, finished, matrix_of, owned, pixel_blocks, weight_of};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{ConvTranspose2d, ConvTranspose2dInputs, ConvTranspose2dOutputs, ConvTranspose2dParams, Result};

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

impl OnCpu for ConvTranspose2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let image = &self.input;
        let planes = batch_of(inputs.input.view(), image);
        let weight = weight_of(&inputs.weight);
        let bias = inputs.bias.as_ref().map_or_else(|| vec![0.0; self.out_channels], elements_of);
        let [rows, cols] = &self.windows;
        let in_channels = image.channels / self.groups;
        let out_channels = self.out_channels / self.groups;
        let products = out_channels * rows.kernel * cols.kernel;

        let shape = (image.batch, self.out_channels, self.out_rows, self.out_cols);
        let mut sums = Array4::from_shape_fn(shape, |(_, channel, _, _)| bias[channel]);
        for group in 0..self.groups {
            let channels = group * in_channels..(group + 1) * in_channels;
            let weights = matrix_of(weight.slice(s![channels.clone(), .., .., ..]), in_channels);
            for n in 0..image.batch {
                let inputs = matrix_of(planes.slice(s![n, channels.clone(), .., ..]), in_channels);
                for block in pixel_blocks(image.rows * image.cols, products) {
                    let columns = weights.t().dot(&inputs.slice(s![.., block.clone()]));
                    for ((element, pixel), product) in columns.indexed_iter() {
                        let pixel = block.start + pixel;
                        let (kernel_row, kernel_col) = (element / cols.kernel % rows.kernel, element % cols.kernel);
                        let channel = group * out_channels + element / cols.kernel / rows.kernel;
                        // Where the window that a convolution would read its output's pixel from has this element.
                        let y = rows.position(pixel / image.cols, kernel_row, self.out_rows);
                        let x = cols.position(pixel % image.cols, kernel_col, self.out_cols);
                        if let (Some(y), Some(x)) = (y, x) {
                            sums[[n, channel, y, x]] += product;
                        }
                    }
                }
            }
        }
        let output = sums.into_shape_with_order(IxDyn(self.output_shape())).expect("only the batch dimension may go");
        let arguments = [&inputs.residual, &inputs.activation_weight];
        let output = finished(&self.epilogue, output, arguments, [self.out_channels, self.out_rows * self.out_cols]);
        Ok(Computed::new(ConvTranspose2dOutputs { output }))
    }
}
