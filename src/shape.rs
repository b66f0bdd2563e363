//! Shapes and checked sizes.

use crate::error::{Error, Result};

/// The most bytes a tensor may have: shaders count in 32 bits, and an index past 2^29 elements would wrap.
pub const MAX_TENSOR_BYTES: u64 = (1 << 31) - 4;

/// Bytes of an element; every tensor holds f32 or i32.
pub(crate) const ELEMENT_BYTES: u64 = 4;

/// The invocations of a workgroup that adds up a part of a reduction.
pub(crate) const REDUCTION_LANES: usize = 64;

/// How many elements each of them adds.
pub(crate) const REDUCTION_ITEMS: usize = 32;

/// How many parts a reduction over `count` elements is cut into.
pub(crate) fn reduction_parts(count: usize) -> usize {
    count.div_ceil(REDUCTION_LANES * REDUCTION_ITEMS)
}

/// The number of elements of `shape`, refused from 2^31 bytes on.
///
/// The other dimensions of an empty shape count as well: what is made of them must be countable too.
pub(crate) fn element_count(operator: &'static str, argument: &'static str, shape: &[usize]) -> Result<usize> {
    // Saturating is exact here: whatever saturates is refused.
    let bytes = shape.iter().fold(ELEMENT_BYTES, |bytes, &length| bytes.saturating_mul(length.max(1) as u64));
    if bytes > MAX_TENSOR_BYTES {
        return Err(Error::LimitExceeded {
            operator,
            argument,
            limit: "the bytes of a tensor",
            maximum: MAX_TENSOR_BYTES,
            actual: bytes,
        });
    }
    Ok(shape.iter().product())
}

/// A picture or a batch of pictures: (C,H,W) or (N,C,H,W).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageShape {
    /// Whether the shape has the leading N.
    pub batched: bool,
    pub batch: usize,
    pub channels: usize,
    pub rows: usize,
    pub cols: usize,
}

impl ImageShape {
    /// Reads an operator's `input` shape. Only the batch may be empty.
    pub fn new(operator: &'static str, shape: &[usize]) -> Result<Self> {
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
        if image.contains(&0) {
            return Err(Error::invalid(
                operator,
                "input",
                "no empty dimension but the batch",
                format!("shape {shape:?}"),
            ));
        }
        element_count(operator, "input", shape)?;
        let [channels, rows, cols] = image;
        Ok(ImageShape { batched, batch, channels, rows, cols })
    }

    /// The number of elements.
    #[cfg(feature = "gpu")]
    pub fn count(&self) -> usize {
        self.batch * self.channels * self.rows * self.cols
    }

    /// The shape of an output with this batch: `[N,] channels, rows, cols`.
    pub fn with_plane(&self, channels: usize, rows: usize, cols: usize) -> Vec<usize> {
        let mut shape = vec![channels, rows, cols];
        if self.batched {
            shape.insert(0, self.batch);
        }
        shape
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
