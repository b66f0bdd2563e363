use ndarray::{ArrayD, ArrayViewD, IxDyn};

use super::{AsArray, reduce};
use crate::{MseLoss, MseLossParams, Result};

/// The squares (input - target)^2, or their mean or sum.
///
/// # Errors
/// As [`MseLoss::new`].
pub fn mse_loss(input: &dyn AsArray<f32>, target: &dyn AsArray<f32>, params: &MseLossParams) -> Result<ArrayD<f32>> {
    let (input, target) = (input.as_view(), target.as_view());
    let operator = MseLoss::new(input.shape(), target.shape(), params)?;
    let common = IxDyn(&operator.common);
    let broadcast = |array: ArrayViewD<'_, f32>| {
        let array = array.broadcast(common.clone()).expect("the shapes broadcast");
        array.mapv(f64::from)
    };
    let squares = (broadcast(input) - broadcast(target)).mapv(|difference| difference.powi(2));
    let count = squares.len() as f64;
    Ok(reduce(squares, count, operator.reduction))
}
