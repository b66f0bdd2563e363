use ndarray::{Array2, Array4, ArrayD, ArrayView2, IxDyn, s};

use super::{AsArray, batch_of, compute, elements_of, finished, matrix_of, owned, pixel_blocks, weight_of};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Conv2d, Conv2dInputs, Conv2dOutputs, Conv2dParams, Result};

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

impl OnCpu for Conv2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let image = &self.input;
        let planes = batch_of(inputs.input.view(), image);
        let weight = weight_of(&inputs.weight);
        let bias = inputs.bias.as_ref().map_or_else(|| vec![0.0; self.out_channels], elements_of);
        let in_channels = image.channels / self.groups;
        let out_channels = self.out_channels / self.groups;
        let products = in_channels * self.windows[0].kernel * self.windows[1].kernel;
        let pixels = self.out_rows * self.out_cols;

        let mut output = Array4::zeros((image.batch, self.out_channels, self.out_rows, self.out_cols));
        for group in 0..self.groups {
            let channels = group * out_channels..(group + 1) * out_channels;
            let weights = matrix_of(weight.slice(s![channels, .., .., ..]), out_channels);
            for n in 0..image.batch {
                let group_planes = planes.slice(s![n, group * in_channels..(group + 1) * in_channels, .., ..]);
                for block in pixel_blocks(pixels, products) {
                    let mut inputs = Array2::zeros((products, block.len()));
                    for (element, mut row) in inputs.outer_iter_mut().enumerate() {
                        let [rows, cols] = &self.windows;
                        let (kernel_row, kernel_col) = (element / cols.kernel % rows.kernel, element % cols.kernel);
                        let plane: ArrayView2<'_, f32> =
                            group_planes.index_axis(ndarray::Axis(0), element / cols.kernel / rows.kernel);
                        for (pixel, cell) in block.clone().zip(&mut row) {
                            let row = rows.position(pixel / self.out_cols, kernel_row, image.rows);
                            let col = cols.position(pixel % self.out_cols, kernel_col, image.cols);
                            if let (Some(row), Some(col)) = (row, col) {
                                *cell = f64::from(plane[[row, col]]);
                            }
                        }
                    }
                    let sums = weights.dot(&inputs);
                    for ((channel, pixel), sum) in sums.indexed_iter() {
                        let (channel, pixel) = (group * out_channels + channel, block.start + pixel);
                        let place = [n, channel, pixel / self.out_cols, pixel % self.out_cols];
                        output[place] = sum + bias[channel];
                    }
                }
            }
        }
        let output = output.into_shape_with_order(IxDyn(self.output_shape())).expect("only the batch dimension may go");
        let arguments = [&inputs.residual, &inputs.activation_weight];
        let output = finished(&self.epilogue, output, arguments, [self.out_channels, pixels]);
        Ok(Computed::new(Conv2dOutputs { output }))
    }
}
