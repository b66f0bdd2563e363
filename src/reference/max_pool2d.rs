use ndarray::{ArrayD, IxDyn};

use super::{AsArray, batch_of, compute, owned, scattered};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{MaxPool2d, MaxPool2dBackwardInputs, MaxPool2dInputs, MaxPool2dOutputs, MaxPool2dParams, Result};

/// The maximum over sliding windows.
///
/// # Errors
/// As [`MaxPool2d::new`].
pub fn max_pool2d(
    input: &dyn AsArray<f32>,
    params: &MaxPool2dParams,
) -> Result<MaxPool2dOutputs<ArrayD<f32>, ArrayD<i32>>> {
    Ok(compute::<MaxPool2d>(&MaxPool2dInputs { input: owned(input) }, params)?.outputs)
}

impl OnCpu for MaxPool2d {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let image = &self.input;
        let planes = batch_of(inputs.input.view(), image);
        let [rows, cols] = &self.windows;

        let shape = self.output_shape();
        let (mut output, mut indices) = (Vec::new(), Vec::new());
        for n in 0..image.batch {
            for c in 0..image.channels {
                for y in 0..self.out_rows {
                    for x in 0..self.out_cols {
                        // PyTorch's search starts here: the first position of the window that is not in the padding
                        // before the input. A window may have no position inside.
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
        Ok(Computed::new(MaxPool2dOutputs {
            output: ArrayD::from_shape_vec(IxDyn(shape), output).expect(wrong),
            indices: self.return_indices.then(|| ArrayD::from_shape_vec(IxDyn(shape), indices).expect(wrong)),
        }))
    }
}

/// The gradient of [`max_pool2d`] with respect to its input, of this shape: see
/// [`max_pool2d_backward`](crate::max_pool2d_backward).
///
/// # Errors
/// As [`MaxPool2d::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays that have not the
/// output's shape.
pub fn max_pool2d_backward(
    grad_output: &dyn AsArray<f32>,
    indices: &dyn AsArray<i32>,
    input: &[usize],
    params: &MaxPool2dParams,
) -> Result<ArrayD<f32>> {
    let backward = MaxPool2d::new(input, params)?.backward_of_all()?;
    let inputs = MaxPool2dBackwardInputs::new(owned(grad_output), indices.as_view().to_owned());
    Ok(compute::<Backward<MaxPool2d>>(&inputs, &backward)?.outputs.grad_input.expect("it is wanted"))
}

impl OnCpu for Backward<MaxPool2d> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let MaxPool2d { input, windows: [rows, cols], .. } = &self.forward;
        let mut indices = inputs.indices.iter();
        self.computed(inputs, |_| {
            scattered(input, &inputs.grad_output, |[y, x], grad, plane| {
                let index = indices.next().expect("one for each element of the output");
                // An index that lies in no window, as that of a window without elements, gets no gradient.
                for (_, row) in rows.taps(y, input.rows) {
                    for (_, col) in cols.taps(x, input.cols) {
                        if (row * input.cols + col) as i32 == *index {
                            plane[[row, col]] += grad;
                        }
                    }
                }
            })
        })
    }
}
