use ndarray::{ArrayD, IxDyn};

use super::{AsArray, batch_of, compute, gradient_of, owned, scattered};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::window::Window;
use crate::{AvgPool2d, AvgPool2dInputs, AvgPool2dOutputs, AvgPool2dParams, Result, UnaryBackwardInputs};

/// The mean over sliding windows.
///
/// # Errors
/// As [`AvgPool2d::new`].
pub fn avg_pool2d(input: &dyn AsArray<f32>, params: &AvgPool2dParams) -> Result<ArrayD<f32>> {
    Ok(compute::<AvgPool2d>(&AvgPool2dInputs { input: owned(input) }, params)?.outputs.output)
}

impl AvgPool2d {
    /// What the sum over a window is divided by, if that has so many elements inside the input.
    fn divisor(&self, [y, x]: [usize; 2], inside: usize) -> f64 {
        let [rows, cols] = &self.windows;
        // The padding counts only within the padded input.
        let padded = |window: &Window, out, length| {
            let end = (length + window.padding_after) as i64;
            (window.start(out) + window.kernel as i64).min(end) - window.start(out)
        };
        if let Some(divisor) = self.divisor_override {
            divisor as f64
        } else if self.count_include_pad {
            (padded(rows, y, self.input.rows) * padded(cols, x, self.input.cols)) as f64
        } else {
            inside as f64
        }
    }
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
                        let mean = sum / self.divisor([y, x], inside);
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

/// The gradient of [`avg_pool2d`] with respect to its input, of this shape: see
/// [`avg_pool2d_backward`](crate::avg_pool2d_backward).
///
/// # Errors
/// As [`AvgPool2d::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn avg_pool2d_backward(
    grad_output: &dyn AsArray<f32>,
    input: &[usize],
    params: &AvgPool2dParams,
) -> Result<ArrayD<f32>> {
    gradient_of(&AvgPool2d::new(input, params)?, &UnaryBackwardInputs::new(owned(grad_output)))
}

impl OnCpu for Backward<AvgPool2d> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let AvgPool2d { input, windows: [rows, cols], .. } = &self.forward;
        self.computed(inputs, |_| {
            scattered(input, &inputs.grad_output, |[y, x], grad, plane| {
                let [row_taps, col_taps] = [rows.taps(y, input.rows), cols.taps(x, input.cols)];
                let inside = row_taps.clone().count() * col_taps.clone().count();
                let share = grad / self.forward.divisor([y, x], inside);
                for (_, row) in row_taps {
                    for (_, col) in col_taps.clone() {
                        plane[[row, col]] += share;
                    }
                }
            })
        })
    }
}
