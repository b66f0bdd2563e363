use ndarray::ArrayD;

use super::AsArray;
use crate::{Result, Sigmoid};

/// 1 / (1 + exp(-x)) of every element.
///
/// # Errors
/// As [`Sigmoid::new`].
pub fn sigmoid(input: &dyn AsArray<f32>) -> Result<ArrayD<f32>> {
    let input = input.as_view();
    Sigmoid::new(input.shape())?;
    Ok(input.mapv(|x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32))
}
