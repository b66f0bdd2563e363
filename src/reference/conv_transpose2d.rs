use ndarray::{Array4, ArrayD, Ix4, IxDyn};

use super::batch_of;
use crate::{ConvTranspose2d, ConvTranspose2dParams, Result};

/// The transposed convolution of an input with a weight: every input element's products, added where they belong.
///
/// # Errors
/// As [`ConvTranspose2d::new`].
pub fn conv_transpose2d(
    input: &ArrayD<f32>,
    weight: &ArrayD<f32>,
    bias: Option<&ArrayD<f32>>,
    params: &ConvTranspose2dParams,
) -> Result<ArrayD<f32>> {
    let operator = ConvTranspose2d::new(input.shape(), weight.shape(), bias.map(ArrayD::shape), params)?;
    let image = &operator.input;
    let planes = batch_of(input, image);
    let weight = weight.view().into_dimensionality::<Ix4>().expect("a weight has 4 dimensions");
    let [rows, cols] = &operator.windows;
    let in_channels = image.channels / operator.groups;
    let out_channels = operator.out_channels / operator.groups;

    let shape = (image.batch, operator.out_channels, operator.out_rows, operator.out_cols);
    let mut sums = Array4::from_shape_fn(shape, |(_, o, _, _)| bias.map_or(0.0, |bias| f64::from(bias[[o]])));
    for ((n, i, row, col), &value) in planes.indexed_iter() {
        let first_channel = i / in_channels * out_channels;
        for o in 0..out_channels {
            // The window that a convolution would read input element (row, col) of its output from.
            for (u, y) in rows.taps(row, operator.out_rows) {
                for (v, x) in cols.taps(col, operator.out_cols) {
                    sums[[n, first_channel + o, y, x]] += f64::from(value) * f64::from(weight[[i, o, u, v]]);
                }
            }
        }
    }
    Ok(sums
        .mapv(|sum| sum as f32)
        .into_shape_with_order(IxDyn(&operator.output_shape()))
        .expect("only the batch dimension may go"))
}
