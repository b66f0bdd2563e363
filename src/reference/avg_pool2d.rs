use ndarray::{ArrayD, IxDyn};

use super::{AsArray, batch_of};
use crate::{AvgPool2d, AvgPool2dParams, Result};

/// The mean over sliding windows.
///
/// # Errors
/// As [`AvgPool2d::new`].
pub fn avg_pool2d(input: &dyn AsArray<f32>, params: &AvgPool2dParams) -> Result<ArrayD<f32>> {
    let input = input.as_view();
    let operator = AvgPool2d::new(input.shape(), params)?;
    let image = &operator.input;
    let planes = batch_of(input, image);
    let [rows, cols] = &operator.windows;

    let mut output = Vec::new();
    for n in 0..image.batch {
        for c in 0..image.channels {
            for y in 0..operator.out_rows {
                for x in 0..operator.out_cols {
                    let (mut sum, mut inside) = (0.0, 0);
                    for (_, row) in rows.taps(y, image.rows) {
                        for (_, col) in cols.taps(x, image.cols) {
                            sum += f64::from(planes[[n, c, row, col]]);
                            inside += 1;
                        }
                    }
                    // The padding counts as far as the padded input reaches.
                    let padded = |window: &crate::window::Window, out, length| {
                        let end = (length + window.padding_after) as i64;
                        (window.start(out) + window.kernel as i64).min(end) - window.start(out)
                    };
                    let divisor = if let Some(divisor) = operator.divisor_override {
                        divisor
                    } else if operator.count_include_pad {
                        padded(rows, y, image.rows) * padded(cols, x, image.cols)
                    } else {
                        inside
                    };
                    let mean = sum / divisor as f64;
                    output.push(if inside == 0 { 0.0 } else { mean as f32 });
                }
            }
        }
    }
    Ok(ArrayD::from_shape_vec(IxDyn(&operator.output_shape()), output)
        .expect("one value for each element of the output"))
}
