use ndarray::{Array4, ArrayD, IxDyn};

use super::{AsArray, batch_of, compute, gradient_of, gradient_of_means, means_of, owned, scattered};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{Interpolate, InterpolateMode, InterpolateParams, Result, UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

/// Images of another size.
///
/// # Errors
/// As [`Interpolate::new`].
pub fn interpolate(input: &dyn AsArray<f32>, params: &InterpolateParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Interpolate>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

impl Interpolate {
    /// The position of the input for one of the output, which PyTorch computes in float32 if it is to be the nearest.
    fn nearest(&self, position: usize, axis: usize, length: usize) -> usize {
        let center = if self.mode == InterpolateMode::NearestExact { 0.5 } else { 0.0 };
        (((position as f32 + center) * self.scales[axis] as f32).floor() as usize).min(length - 1)
    }

    /// The two positions around one of the output, with how much of each.
    fn around(&self, position: usize, axis: usize, length: usize) -> [(usize, f64); 2] {
        if length == self.areas.out[axis] {
            // Not the next one, which may be infinite.
            return [(position, 1.0), (position, 0.0)];
        }
        let (position, scale) = (position as f64, self.scales[axis]);
        let source = if self.align_corners { position * scale } else { ((position + 0.5) * scale - 0.5).max(0.0) };
        let first = (source.floor() as usize).min(length - 1);
        let share = (source - first as f64).clamp(0.0, 1.0);
        [(first, 1.0 - share), ((first + 1).min(length - 1), share)]
    }
}

impl OnCpu for Interpolate {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        if self.mode == InterpolateMode::Area {
            let output = means_of(&self.areas, &inputs.input, self.output_shape());
            return Ok(Computed::new(UnaryOutputs { output }));
        }
        let image = &self.areas.input;
        let planes = batch_of(inputs.input.view(), image);
        let [out_rows, out_cols] = self.areas.out;
        let output = Array4::from_shape_fn((image.batch, image.channels, out_rows, out_cols), |(n, c, y, x)| {
            if self.mode != InterpolateMode::Bilinear {
                return planes[[n, c, self.nearest(y, 0, image.rows), self.nearest(x, 1, image.cols)]];
            }
            let cols = self.around(x, 1, image.cols);
            let along = |row: usize| -> f64 {
                cols.iter().map(|&(col, share)| share * f64::from(planes[[n, c, row, col]])).sum()
            };
            let rows = self.around(y, 0, image.rows);
            rows.iter().map(|&(row, share)| share * along(row)).sum::<f64>() as f32
        });
        let output = output.into_shape_with_order(IxDyn(self.output_shape())).expect("an image has 4 dimensions");
        Ok(Computed::new(UnaryOutputs { output }))
    }
}

/// The gradient of [`interpolate`] with respect to its input, of this shape: see
/// [`interpolate_backward`](crate::interpolate_backward).
///
/// # Errors
/// As [`Interpolate::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn interpolate_backward(
    grad_output: &dyn AsArray<f32>,
    input: &[usize],
    params: &InterpolateParams,
) -> Result<ArrayD<f32>> {
    gradient_of(&Interpolate::new(input, params)?, &UnaryBackwardInputs::new(owned(grad_output)))
}

impl OnCpu for Backward<Interpolate> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let forward = &self.forward;
        let image = &forward.areas.input;
        self.computed(inputs, |_| match forward.mode {
            InterpolateMode::Area => gradient_of_means(&forward.areas, &inputs.grad_output),
            InterpolateMode::Nearest | InterpolateMode::NearestExact => {
                scattered(image, &inputs.grad_output, |[y, x], grad, plane| {
                    plane[[forward.nearest(y, 0, image.rows), forward.nearest(x, 1, image.cols)]] += grad;
                })
            }
            InterpolateMode::Bilinear => scattered(image, &inputs.grad_output, |[y, x], grad, plane| {
                for (row, row_share) in forward.around(y, 0, image.rows) {
                    for (col, col_share) in forward.around(x, 1, image.cols) {
                        plane[[row, col]] += row_share * col_share * grad;
                    }
                }
            }),
        })
    }
}
