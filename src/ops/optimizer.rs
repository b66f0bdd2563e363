//! What optimisers share.

use crate::error::{Error, Result};

/// Fails for a parameter that is below 0, or no finite number in float32.
pub(crate) fn expect_not_negative(operator: &'static str, argument: &'static str, number: f64) -> Result<()> {
    if number >= 0.0 && (number as f32).is_finite() {
        return Ok(());
    }
    Err(Error::invalid(operator, argument, "a finite float32 of 0 or more", number.to_string()))
}

/// Fails for an array of another shape than the parameter, or of a number that is an array.
pub(crate) fn expect_shape(
    operator: &'static str,
    argument: &'static str,
    expected: &[usize],
    shape: &[usize],
) -> Result<()> {
    if shape == expected {
        return Ok(());
    }
    Err(Error::invalid(operator, argument, format!("shape {expected:?}"), format!("shape {shape:?}")))
}

/// As [`expect_shape`], of an argument that is present exactly if it is `needed`.
pub(crate) fn expect_optional(
    operator: &'static str,
    argument: &'static str,
    needed: Option<&[usize]>,
    shape: Option<&Vec<usize>>,
    when: &'static str,
) -> Result<()> {
    match (needed, shape) {
        (None, None) => Ok(()),
        (Some(expected), Some(shape)) => expect_shape(operator, argument, expected, shape),
        (Some(expected), None) => {
            Err(Error::invalid(operator, argument, format!("shape {expected:?}, {when}"), "none"))
        }
        (None, Some(shape)) => Err(Error::invalid(operator, argument, "none", format!("shape {shape:?}"))),
    }
}
