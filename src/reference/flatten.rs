use ndarray::{ArrayBase, ArrayD, Data, Dimension, IxDyn};

use crate::{Flatten, FlattenParams, Result};

/// The dimensions from `start_dim` to `end_dim` as one.
///
/// # Errors
/// As [`Flatten::new`].
pub fn flatten<T: Clone>(
    input: &ArrayBase<impl Data<Elem = T>, impl Dimension>,
    params: &FlattenParams,
) -> Result<ArrayD<T>> {
    let operator = Flatten::new(input.shape(), params)?;
    let data = input.iter().cloned().collect();
    Ok(ArrayD::from_shape_vec(IxDyn(&operator.output_shape()), data).expect("flattening keeps the number of elements"))
}
