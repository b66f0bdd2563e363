//! Shapes and checked sizes.

use crate::error::{Error, Result};

/// The most bytes that a tensor may have. Shaders count in 32 bits, and an index past 2^29 elements would wrap.
pub const MAX_TENSOR_BYTES: u64 = (1 << 31) - 4;

/// The bytes of an element: every tensor holds f32 or i32.
pub(crate) const ELEMENT_BYTES: u64 = 4;

/// The number of elements of `shape`; an error from 2^31 bytes on.
///
/// The other dimensions of an empty shape count too, since shapes that follow from them must be countable.
pub(crate) fn element_count(operator: &'static str, argument: &'static str, shape: &[usize]) -> Result<usize> {
    // Saturating is exact here: any size that saturates is refused.
    let bytes = shape.iter().fold(ELEMENT_BYTES, |bytes, &length| bytes.saturating_mul(length.max(1) as u64));
    if bytes > MAX_TENSOR_BYTES {
        return Err(Error::LimitExceeded {
            operator,
            argument,
            item: None,
            limit: "the bytes of a tensor",
            maximum: MAX_TENSOR_BYTES,
            actual: bytes,
        });
    }
    Ok(shape.iter().product())
}

/// A dimension of a shape, which may be counted from the end. A scalar counts as one dimension here, as in PyTorch.
pub(crate) fn dimension(operator: &'static str, argument: &'static str, dim: isize, shape: &[usize]) -> Result<usize> {
    let rank = shape.len().max(1) as isize;
    let resolved = if dim < 0 { dim + rank } else { dim };
    if !(0..rank).contains(&resolved) {
        let expected = format!("a dimension from {} to {} of shape {shape:?}", -rank, rank - 1);
        return Err(Error::invalid(operator, argument, expected, dim.to_string()));
    }
    Ok(resolved as usize)
}

/// Reads a weight's shape: four dimensions, none of them empty.
pub(crate) fn weight(operator: &'static str, weight: &[usize]) -> Result<[usize; 4]> {
    let shape = <[usize; 4]>::try_from(weight)
        .map_err(|_| Error::invalid(operator, "weight", "4 dimensions", format!("shape {weight:?}")))?;
    if shape.contains(&0) {
        return Err(Error::invalid(operator, "weight", "no empty dimension", format!("shape {weight:?}")));
    }
    element_count(operator, "weight", weight)?;
    Ok(shape)
}

/// An image or a batch of images: (C,H,W) or (N,C,H,W).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageShape {
    /// The shape as given.
    pub shape: Vec<usize>,
    /// Whether the shape has a leading N.
    pub batched: bool,
    pub batch: usize,
    pub channels: usize,
    pub rows: usize,
    pub cols: usize,
}

impl ImageShape {
    /// Reads the shape of an operator's `input`. Only the batch may be empty.
    pub fn new(operator: &'static str, shape: &[usize]) -> Result<Self> {
        Self::unless_empty(operator, shape, "no empty dimension but the batch", |image| image.contains(&0))
    }

    /// The same of an operator that computes planes apart: there may be none.
    pub fn of_planes(operator: &'static str, shape: &[usize]) -> Result<Self> {
        Self::unless_empty(operator, shape, "rows and columns", |image| image[1..].contains(&0))
    }

    fn unless_empty(
        operator: &'static str,
        shape: &[usize],
        expected: &str,
        is_empty: impl Fn(&[usize; 3]) -> bool,
    ) -> Result<Self> {
        let (batched, batch, image) = match *shape {
            [channels, rows, cols] => (false, 1, [channels, rows, cols]),
            [batch, channels, rows, cols] => (true, batch, [channels, rows, cols]),
            _ => {
                return Err(Error::invalid(
                    operator,
                    "input",
                    "3 dimensions (C,H,W) or 4 (N,C,H,W)",
                    format!("shape {shape:?}"),
                ));
            }
        };
        if is_empty(&image) {
            return Err(Error::invalid(operator, "input", expected, format!("shape {shape:?}")));
        }
        element_count(operator, "input", shape)?;
        let [channels, rows, cols] = image;
        Ok(ImageShape { shape: shape.to_vec(), batched, batch, channels, rows, cols })
    }

    /// The output of these sizes, as the input of another operator.
    #[cfg(feature = "gpu-core")]
    pub fn of_output(&self, channels: usize, rows: usize, cols: usize) -> ImageShape {
        let shape = self.with_plane(channels, rows, cols);
        ImageShape { shape, batched: self.batched, batch: self.batch, channels, rows, cols }
    }

    /// The shape of an output with this batch: `[N,] channels, rows, cols`.
    pub fn with_plane(&self, channels: usize, rows: usize, cols: usize) -> Vec<usize> {
        let shape = [self.batch, channels, rows, cols];
        shape[usize::from(!self.batched)..].to_vec()
    }
}

/// Checks that an optional per-channel argument has exactly `[length]`.
pub(crate) fn expect_vector(
    operator: &'static str,
    argument: &'static str,
    length: usize,
    shape: Option<&[usize]>,
) -> Result<()> {
    match shape {
        Some(shape) if shape != [length] => {
            Err(Error::invalid(operator, argument, format!("shape [{length}]"), format!("shape {shape:?}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_limit() {
        assert_eq!(element_count("op", "input", &[]), Ok(1));
        assert_eq!(element_count("op", "input", &[3, 0, 5]), Ok(0));
        assert_eq!(element_count("op", "input", &[(1 << 29) - 1]), Ok((1 << 29) - 1));
        for shape in [&[1 << 29][..], &[usize::MAX, usize::MAX], &[1 << 32, 1 << 32], &[0, 1 << 30]] {
            assert!(matches!(
                element_count("op", "input", shape),
                Err(Error::LimitExceeded { maximum: MAX_TENSOR_BYTES, .. })
            ));
        }
    }
}
