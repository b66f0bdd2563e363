//! Eager calls replayed on the CPU reference, for [`Gpu::set_validation`](crate::Gpu::set_validation).

use ndarray::ArrayD;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::tensor::{Element, Tensor};

/// A call whose results are held against the reference's.
pub(crate) struct Replay {
    pub operator: &'static str,
    /// The shapes of its arguments.
    pub shapes: Vec<(&'static str, Vec<usize>)>,
}

/// Reads a tensor back, waiting for it.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn read<T: Element>(tensor: &Tensor<T>) -> Result<ArrayD<T>> {
    tensor.read_blocking()
}

#[cfg(target_arch = "wasm32")]
pub(crate) fn read<T: Element>(_: &Tensor<T>) -> Result<ArrayD<T>> {
    Err(Error::Validation { reason: "a browser does not let validation wait for results".into() })
}

/// The magnitudes of an array's finite elements, and 0 for others: what comes of those is the same on both.
pub(crate) fn magnitudes(array: &ArrayD<f32>) -> ArrayD<f32> {
    array.mapv(|x| if x.is_finite() { x.abs() } else { 0.0 })
}

/// The largest magnitude of an array's finite elements.
pub(crate) fn largest(array: &ArrayD<f32>) -> f64 {
    array.iter().filter(|x| x.is_finite()).fold(0.0, |largest, &x| f64::from(x.abs()).max(largest))
}

/// Runs a replay, if the device's calls are validated. One that cannot be made, of a buffer that cannot be read back or of class indices that the reference
/// refuses, is left out with a warning: validation must not stop what runs without it.
pub(crate) fn replay(gpu: &Gpu, operator: &'static str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    if !gpu.validates() {
        return Ok(());
    }
    match check() {
        Err(error @ Error::InvalidArgument { .. }) => {
            log::warn!("{operator} was not validated: {error}");
            Ok(())
        }
        result => result,
    }
}

/// How far `operations` roundings to float32 may bring a result whose terms add up to `magnitude`.
///
/// Infinite where float32 itself may have overflown on the way: then everything is right.
pub(crate) fn rounding(operations: usize, magnitude: f64) -> f64 {
    let magnitude = if magnitude.is_nan() { f64::INFINITY } else { magnitude };
    // Denormal numbers may be taken for 0.
    let tolerance = operations as f64 * magnitude / f64::from(1 << 24) + f64::from(f32::MIN_POSITIVE);
    unless_overflown(magnitude, tolerance)
}

/// A tolerance, or an infinite one if a float32 as large as `peak` comes up on the way.
pub(crate) fn unless_overflown(peak: f64, tolerance: f64) -> f64 {
    if peak > f64::from(f32::MAX) { f64::INFINITY } else { tolerance }
}

impl Replay {
    /// Holds floats against the reference's; `tolerance` is told the row-major index.
    pub fn floats(
        &self,
        output: &'static str,
        actual: &Tensor,
        expected: &ArrayD<f32>,
        tolerance: impl Fn(usize) -> f64,
    ) -> Result<()> {
        let differs = |index: usize, actual: f32, expected: f32| {
            let both_nan = actual.is_nan() && expected.is_nan();
            let tolerance = tolerance(index);
            // Infinities are equal to themselves only.
            let distance = (f64::from(actual) - f64::from(expected)).abs();
            !(actual == expected || both_nan || distance <= tolerance || tolerance == f64::INFINITY)
        };
        self.elements(output, actual, expected, differs, &tolerance)
    }

    /// Holds integers against the reference's.
    pub fn integers(&self, output: &'static str, actual: &Tensor<i32>, expected: &ArrayD<i32>) -> Result<()> {
        self.elements(output, actual, expected, |_, actual, expected| actual != expected, |_| 0.0)
    }

    fn elements<T: Element + Into<f64>>(
        &self,
        output: &'static str,
        actual: &Tensor<T>,
        expected: &ArrayD<T>,
        differs: impl Fn(usize, T, T) -> bool,
        tolerance: impl Fn(usize) -> f64,
    ) -> Result<()> {
        let actual = read(actual)?;
        let mut pairs = actual.iter().zip(expected.indexed_iter()).enumerate();
        match pairs.find(|&(index, (&actual, (_, &expected)))| differs(index, actual, expected)) {
            None => Ok(()),
            Some((index, (&actual, (position, &expected)))) => Err(Error::Mismatch {
                operator: self.operator,
                output,
                shapes: self.shapes.clone(),
                index: ndarray::Dimension::slice(&position).to_vec(),
                expected: expected.into(),
                actual: actual.into(),
                tolerance: tolerance(index),
            }),
        }
    }
}
