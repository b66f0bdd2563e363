use ndarray::{Array4, ArrayD, Ix4};

use super::AsArray;
use crate::{Boxes, Result, RoiPool, RoiPoolParams};

/// The maxima of the bins that boxes are cut into; 0 in an empty bin.
///
/// # Errors
/// As [`RoiPool::new`].
pub fn roi_pool(input: &dyn AsArray<f32>, boxes: &Boxes<'_>, params: &RoiPoolParams) -> Result<ArrayD<f32>> {
    let input = input.as_view();
    let operator = RoiPool::new(input.shape(), boxes, params)?;
    let planes = input.into_dimensionality::<Ix4>().expect("the input has 4 dimensions");
    let [rows, cols] = operator.output_size;
    let shape = (operator.boxes.len(), operator.channels, rows, cols);
    let output = Array4::from_shape_fn(shape, |(k, c, y, x)| {
        let bins = &operator.boxes[k];
        let ((top, bottom), (left, right)) = (bins.rows[y], bins.cols[x]);
        if top >= bottom || left >= right {
            return 0.0;
        }
        // A NaN is above nothing, and the search starts from the lowest finite number, as in torchvision.
        let mut best = f32::MIN;
        for row in top..bottom {
            for col in left..right {
                let value = planes[[bins.image, c, row, col]];
                if value > best {
                    best = value;
                }
            }
        }
        best
    });
    Ok(output.into_dyn())
}
