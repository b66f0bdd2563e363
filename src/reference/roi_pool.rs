use ndarray::{Array1, Array4, ArrayD, Ix4};

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{Boxes, Result, RoiPool, RoiPoolBackwardInputs, RoiPoolInputs, RoiPoolOutputs, RoiPoolParams};

/// The maxima of the bins that boxes are cut into; 0 in an empty bin.
///
/// # Errors
/// As [`RoiPool::new`].
pub fn roi_pool(input: &dyn AsArray<f32>, boxes: &Boxes<'_>, params: &RoiPoolParams) -> Result<ArrayD<f32>> {
    let input = owned(input);
    let operator = RoiPool::new(input.shape(), boxes, params)?;
    let bins = Array1::from(operator.bins()).into_dyn();
    Ok(operator.compute(&RoiPoolInputs { input, bins })?.outputs.output)
}

impl OnCpu for RoiPool {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let planes = inputs.input.view().into_dimensionality::<Ix4>().expect("the input has 4 dimensions");
        let [rows, cols] = self.output_size;
        let shape = (self.boxes.len(), self.channels, rows, cols);
        let mut argmax = self.with_argmax.then(|| Array4::from_elem(shape, -1));
        let output = Array4::from_shape_fn(shape, |(k, c, y, x)| {
            let bins = &self.boxes[k];
            let ((top, bottom), (left, right)) = (bins.rows[y], bins.cols[x]);
            if top >= bottom || left >= right {
                return 0.0;
            }
            // The search starts from the lowest finite number, and a NaN is never above, as in torchvision.
            let mut best = f32::MIN;
            for row in top..bottom {
                for col in left..right {
                    let value = planes[[bins.image, c, row, col]];
                    if value > best {
                        best = value;
                        if let Some(argmax) = &mut argmax {
                            argmax[[k, c, y, x]] = (row * self.cols + col) as i32;
                        }
                    }
                }
            }
            best
        });
        let argmax = argmax.map(Array4::into_dyn);
        Ok(Computed::new(RoiPoolOutputs { output: output.into_dyn(), argmax }))
    }
}

/// The gradient of [`roi_pool`] with respect to its input, of this shape: see
/// [`roi_pool_backward`](crate::roi_pool_backward).
///
/// # Errors
/// As [`RoiPool::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays that have not the output's
/// shape.
pub fn roi_pool_backward(
    grad_output: &dyn AsArray<f32>,
    argmax: &dyn AsArray<i32>,
    input: &[usize],
    boxes: &Boxes<'_>,
    params: &RoiPoolParams,
) -> Result<ArrayD<f32>> {
    let backward = RoiPool::new(input, boxes, params)?.backward_of_all()?;
    let bins = Array1::from(backward.forward().bins()).into_dyn();
    let inputs = RoiPoolBackwardInputs::new(owned(grad_output), argmax.as_view().to_owned(), bins);
    Ok(compute::<Backward<RoiPool>>(&inputs, &backward)?.outputs.grad_input.expect("it is wanted"))
}

impl OnCpu for Backward<RoiPool> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let RoiPool { cols, boxes, input, .. } = &self.forward;
        let grad_output = inputs.grad_output.view().into_dimensionality::<Ix4>().expect("the output has 4 dimensions");
        self.computed(inputs, |_| {
            let mut gradient = ArrayD::zeros(input.clone());
            for ((k, c, y, x), &grad) in grad_output.indexed_iter() {
                let bins = &boxes[k];
                let ((top, bottom), (left, right)) = (bins.rows[y], bins.cols[x]);
                // A place outside its bin, as that of an empty one, gets no gradient.
                let Ok(place) = usize::try_from(inputs.argmax[[k, c, y, x]]) else { continue };
                let (row, col) = (place / cols, place % cols);
                if (top..bottom).contains(&row) && (left..right).contains(&col) {
                    gradient[[bins.image, c, row, col]] += f64::from(grad);
                }
            }
            gradient
        })
    }
}
