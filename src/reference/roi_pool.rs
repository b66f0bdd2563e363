use ndarray::{Array1, Array4, ArrayD, Ix4};

use super::{AsArray, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{Boxes, Result, RoiPool, RoiPoolInputs, RoiPoolOutputs, RoiPoolParams};

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
