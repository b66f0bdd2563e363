use ndarray::{ArrayD, IxDyn};

use super::{AsArray, batch_of, compute, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{AvgPool2d, AvgPool2dInputs, AvgPool2dOutputs, AvgPool2dParams, Result};

/// The mean over sliding windows.
///
/// # Errors
/// As [`AvgPool2d::new`].
pub fn avg_pool2d(input: &dyn AsArray<f32>, params: &AvgPool2dParams) -> Result<ArrayD<f32>> {
    Ok(compute::<AvgPool2d>(&AvgPool2dInputs { input: owned(input) }, params)?.outputs.output)
}

impl OnCpu for AvgPool2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let image = &self.input;
        let planes = batch_of(inputs.input.view(), image);
        let [rows, cols] = &self.windows;

        let mut output = Vec::new();
        for n in 0..image.batch {
            for c in 0..image.channels {
                for y in 0..self.out_rows {
                    for x in 0..self.out_cols {
                        let (mut sum, mut inside) = (0.0, 0);
                        for (_, row) in rows.taps(y, image.rows) {
                            for (_, col) in cols.taps(x, image.cols) {
                                sum += f64::from(planes[[n, c, row, col]]);
                                inside += 1;
                            }
                        }
                        // The padding counts only within the padded input.
                        let padded = |window: &crate::window::Window, out, length| {
                            let end = (length + window.padding_after) as i64;
                            (window.start(out) + window.kernel as i64).min(end) - window.start(out)
                        };
                        let divisor = if let Some(divisor) = self.divisor_override {
                            divisor
                        } else if self.count_include_pad {
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
        let output = ArrayD::from_shape_vec(IxDyn(self.output_shape()), output)
            .expect("one value for each element of the output");
        Ok(Computed::new(AvgPool2dOutputs { output }))
    }
}
