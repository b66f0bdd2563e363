use ndarray::{ArrayD, IxDyn};

use super::{AsArray, batch_of};
use crate::{MaxPool2d, MaxPool2dParams, Result};

/// What [`max_pool2d`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct MaxPool2dOutput {
    /// The maxima.
    pub output: ArrayD<f32>,
    /// With `return_indices`: where each is, as row * width + column in its plane of the input.
    pub indices: Option<ArrayD<i32>>,
}

/// The maximum over sliding windows.
///
/// # Errors
/// As [`MaxPool2d::new`].
pub fn max_pool2d(input: &dyn AsArray<f32>, params: &MaxPool2dParams) -> Result<MaxPool2dOutput> {
    let input = input.as_view();
    let operator = MaxPool2d::new(input.shape(), params)?;
    let image = &operator.input;
    let planes = batch_of(input, image);
    let [rows, cols] = &operator.windows;

    let shape = operator.output_shape();
    let (mut output, mut indices) = (Vec::new(), Vec::new());
    for n in 0..image.batch {
        for c in 0..image.channels {
            for y in 0..operator.out_rows {
                for x in 0..operator.out_cols {
                    // Where PyTorch's search starts: the first position of the window that is not in the padding
                    // before the input. A window may have none at all inside.
                    let first = |start: i64, step: i64| {
                        if start < 0 { start.rem_euclid(step) } else { start }
                    };
                    let mut best = f32::NEG_INFINITY;
                    let mut index = first(rows.start(y), rows.dilation as i64) * image.cols as i64
                        + first(cols.start(x), cols.dilation as i64);
                    for (_, row) in rows.taps(y, image.rows) {
                        for (_, col) in cols.taps(x, image.cols) {
                            let value = planes[[n, c, row, col]];
                            if value > best || value.is_nan() {
                                best = value;
                                index = (row * image.cols + col) as i64;
                            }
                        }
                    }
                    output.push(best);
                    indices.push(index as i32);
                }
            }
        }
    }
    let wrong = "one value for each element of the output";
    Ok(MaxPool2dOutput {
        output: ArrayD::from_shape_vec(IxDyn(&shape), output).expect(wrong),
        indices: operator.return_indices.then(|| ArrayD::from_shape_vec(IxDyn(&shape), indices).expect(wrong)),
    })
}
