use ndarray::{Array2, Array4, ArrayD, ArrayView2, IxDyn, s};

use super::{AsArray, batch_of, elements_of, matrix_of, pixel_blocks, weight_of};
use crate::{Conv2d, Conv2dParams, Result};

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
    let bias_shape = bias.map(|bias| bias.as_view().shape().to_vec());
    let operator = Conv2d::new(input.as_view().shape(), weight.as_view().shape(), bias_shape.as_deref(), params)?;
    let image = &operator.input;
    let planes = batch_of(input.as_view(), image);
    let weight = weight_of(weight);
    let bias = bias.map_or_else(|| vec![0.0; operator.out_channels], elements_of);
    let in_channels = image.channels / operator.groups;
    let out_channels = operator.out_channels / operator.groups;
    let products = in_channels * operator.windows[0].kernel * operator.windows[1].kernel;
    let pixels = operator.out_rows * operator.out_cols;

    let mut output = Array4::zeros((image.batch, operator.out_channels, operator.out_rows, operator.out_cols));
    for group in 0..operator.groups {
        let channels = group * out_channels..(group + 1) * out_channels;
        let weights = matrix_of(weight.slice(s![channels, .., .., ..]), out_channels);
        for n in 0..image.batch {
            let group_planes = planes.slice(s![n, group * in_channels..(group + 1) * in_channels, .., ..]);
            for block in pixel_blocks(pixels, products) {
                let mut inputs = Array2::zeros((products, block.len()));
                for (element, mut row) in inputs.outer_iter_mut().enumerate() {
                    let [rows, cols] = &operator.windows;
                    let (kernel_row, kernel_col) = (element / cols.kernel % rows.kernel, element % cols.kernel);
                    let plane: ArrayView2<'_, f32> =
                        group_planes.index_axis(ndarray::Axis(0), element / cols.kernel / rows.kernel);
                    for (pixel, cell) in block.clone().zip(&mut row) {
                        let row = rows.position(pixel / operator.out_cols, kernel_row, image.rows);
                        let col = cols.position(pixel % operator.out_cols, kernel_col, image.cols);
                        if let (Some(row), Some(col)) = (row, col) {
                            *cell = f64::from(plane[[row, col]]);
                        }
                    }
                }
                let sums = weights.dot(&inputs);
                for ((channel, pixel), sum) in sums.indexed_iter() {
                    let (channel, pixel) = (group * out_channels + channel, block.start + pixel);
                    let place = [n, channel, pixel / operator.out_cols, pixel % operator.out_cols];
                    output[place] = (sum + bias[channel]) as f32;
                }
            }
        }
    }
    Ok(output.into_shape_with_order(IxDyn(&operator.output_shape())).expect("only the batch dimension may go"))
}
