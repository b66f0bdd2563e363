use ndarray::{Array4, ArrayD, Ix4, IxDyn};

use super::batch_of;
use crate::{Conv2d, Conv2dParams, Result};

/// The convolution of an input with a weight.
///
/// # Errors
/// As [`Conv2d::new`].
pub fn conv2d(
    input: &ArrayD<f32>,
    weight: &ArrayD<f32>,
    bias: Option<&ArrayD<f32>>,
    params: &Conv2dParams,
) -> Result<ArrayD<f32>> {
    let operator = Conv2d::new(input.shape(), weight.shape(), bias.map(ArrayD::shape), params)?;
    let image = &operator.input;
    let planes = batch_of(input, image);
    let weight = weight.view().into_dimensionality::<Ix4>().expect("a weight has 4 dimensions");
    let [rows, cols] = &operator.windows;
    let in_channels = image.channels / operator.groups;
    let out_channels = operator.out_channels / operator.groups;

    let shape = (image.batch, operator.out_channels, operator.out_rows, operator.out_cols);
    let output = Array4::from_shape_fn(shape, |(n, o, y, x)| {
        let first_channel = o / out_channels * in_channels;
        let mut sum = bias.map_or(0.0, |bias| f64::from(bias[[o]]));
        for i in 0..in_channels {
            for (u, row) in rows.taps(y, image.rows) {
                for (v, col) in cols.taps(x, image.cols) {
                    sum += f64::from(weight[[o, i, u, v]]) * f64::from(planes[[n, first_channel + i, row, col]]);
                }
            }
        }
        sum as f32
    });
    Ok(output.into_shape_with_order(IxDyn(&operator.output_shape())).expect("only the batch dimension may go"))
}
