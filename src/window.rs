//! Sliding windows: kernel, stride, padding and dilation along one axis, and the lengths that follow.
//!
//! Pools, convolutions, transposed convolutions and their references all use it.

use crate::error::{Error, Result};

/// Shaders cannot count positions beyond this.
const MAX_POSITION: u64 = i32::MAX as u64;

/// The padding around an input: zeros for a convolution and a mean, positions that are never chosen for a maximum.
/// Default: 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Padding {
    /// The number of rows before and after, and of columns before and after: `[rows, columns]`. PyTorch's `0` is
    /// `Explicit([0, 0])`.
    Explicit([usize; 2]),
    /// `[[rows before, rows after], [columns before, columns after]]`. In PyTorch only `torch.nn.functional.pad` has
    /// this.
    Sides([[usize; 2]; 2]),
    /// The padding that gives an output of the input's size; if its sum is odd, one more after than before. Only for
    /// convolutions with stride 1.
    Same,
    /// No padding.
    Valid,
}

impl Default for Padding {
    fn default() -> Self {
        Padding::Explicit([0, 0])
    }
}

impl From<[usize; 2]> for Padding {
    fn from(padding: [usize; 2]) -> Self {
        Padding::Explicit(padding)
    }
}

impl Padding {
    /// The padding before and after rows, and before and after columns, unless it depends on the kernel.
    pub(crate) fn amounts(self) -> Option<[[usize; 2]; 2]> {
        match self {
            Padding::Explicit(padding) => Some(padding.map(|both| [both, both])),
            Padding::Sides(sides) => Some(sides),
            Padding::Valid => Some([[0, 0]; 2]),
            Padding::Same => None,
        }
    }

    /// A pool's padding, which PyTorch limits to half of the window without its dilation.
    pub(crate) fn of_pool(self, operator: &'static str, kernel_size: [usize; 2]) -> Result<[[usize; 2]; 2]> {
        let Some(amounts) = self.amounts() else {
            return Err(Error::invalid(operator, "padding", "numbers of positions", "\"same\""));
        };
        let most = kernel_size.map(|length| length / 2);
        if (0..2).any(|axis| amounts[axis].iter().any(|&amount| amount > most[axis])) {
            let actual = match self {
                Padding::Explicit(padding) => format!("{padding:?}"),
                _ => format!("{amounts:?}"),
            };
            return Err(Error::invalid(operator, "padding", format!("at most half of kernel_size, {most:?}"), actual));
        }
        Ok(amounts)
    }
}

/// A window along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    kernel_argument: &'static str,
    pub kernel: usize,
    pub stride: usize,
    pub padding_before: usize,
    pub padding_after: usize,
    pub dilation: usize,
}

/// Checks that both of a pair are at least 1.
pub(crate) fn expect_positive(operator: &'static str, argument: &'static str, pair: [usize; 2]) -> Result<()> {
    if pair.contains(&0) {
        return Err(Error::invalid(operator, argument, "at least 1", format!("{pair:?}")));
    }
    Ok(())
}

impl Window {
    /// The window of one element.
    #[cfg(feature = "gpu-core")]
    pub const POINT: Self =
        Window { kernel_argument: "weight", kernel: 1, stride: 1, padding_before: 0, padding_after: 0, dilation: 1 };

    /// The windows along rows and columns, with padding before and after each. `kernel_argument` is the operator's name
    /// for the argument that gives the kernel's size.
    pub fn pair(
        operator: &'static str,
        kernel_argument: &'static str,
        kernel_size: [usize; 2],
        stride: [usize; 2],
        padding: [[usize; 2]; 2],
        dilation: [usize; 2],
    ) -> Result<[Window; 2]> {
        expect_positive(operator, kernel_argument, kernel_size)?;
        expect_positive(operator, "stride", stride)?;
        expect_positive(operator, "dilation", dilation)?;
        Ok([0, 1].map(|axis| Window {
            kernel_argument,
            kernel: kernel_size[axis],
            stride: stride[axis],
            padding_before: padding[axis][0],
            padding_after: padding[axis][1],
            // A single element has no neighbour for a dilation to move.
            dilation: if kernel_size[axis] == 1 { 1 } else { dilation[axis] },
        }))
    }

    /// The number of positions that the dilated kernel spans.
    pub fn extent(&self) -> u64 {
        (self.dilation as u64).saturating_mul(self.kernel as u64 - 1).saturating_add(1)
    }

    /// The padded length of an input. Fails if positions cannot be counted.
    fn padded_length(&self, operator: &'static str, input: usize) -> Result<u64> {
        let padding = (self.padding_before as u64).saturating_add(self.padding_after as u64);
        let padded = (input as u64).saturating_add(padding);
        let reach = padded.saturating_add(self.extent()).saturating_add(self.stride as u64);
        if reach > MAX_POSITION {
            let parts = [
                ("input", input as u64),
                ("padding", padding),
                ("dilation", self.dilation as u64),
                (self.kernel_argument, self.kernel as u64),
                ("stride", self.stride as u64),
            ];
            let (argument, actual) = parts.into_iter().max_by_key(|part| part.1).unwrap_or(parts[0]);
            return Err(Error::LimitExceeded {
                operator,
                argument,
                item: None,
                limit: "what leaves padded input, dilated kernel and stride together countable",
                maximum: MAX_POSITION.saturating_sub(reach - actual.min(reach)),
                actual,
            });
        }
        Ok(padded)
    }

    /// The output length of pooling and convolution over an input of `input` elements, at least 1.
    ///
    /// With `ceil_mode` a last, partial window counts if it starts inside the input or the padding before it.
    pub fn output_length(&self, operator: &'static str, input: usize, ceil_mode: bool) -> Result<usize> {
        let padded = self.padded_length(operator, input)?;
        let (extent, stride) = (self.extent(), self.stride as u64);
        let slack = if ceil_mode { stride - 1 } else { 0 };
        let Some(room) = (padded + slack).checked_sub(extent) else {
            return Err(Error::invalid(
                operator,
                "input",
                format!("at least the {extent} positions that the kernel spans along each axis"),
                format!("{padded} with padding"),
            ));
        };
        let mut output = room / stride + 1;
        if ceil_mode && (output - 1) * stride >= input as u64 + self.padding_before as u64 {
            output -= 1;
        }
        Ok(output as usize)
    }

    /// The output length of transposed convolution, at least 1.
    pub fn transposed_output_length(
        &self,
        operator: &'static str,
        input: usize,
        output_padding: usize,
    ) -> Result<usize> {
        self.padded_length(operator, input)?;
        let strided = (input as u64 - 1).saturating_mul(self.stride as u64);
        let full = strided.saturating_add(self.extent()).saturating_add(output_padding as u64);
        let trimmed = self.padding_before as u64 + self.padding_after as u64;
        if full > MAX_POSITION {
            return Err(Error::LimitExceeded {
                operator,
                argument: if output_padding as u64 > strided { "output_padding" } else { "stride" },
                item: None,
                limit: "the length of an output",
                maximum: MAX_POSITION,
                actual: full,
            });
        }
        if full <= trimmed {
            return Err(Error::invalid(
                operator,
                "padding",
                format!("less than the {full} positions of the unpadded output in all"),
                format!("{trimmed}"),
            ));
        }
        Ok((full - trimmed) as usize)
    }

    /// The input position where the window of output `out` starts; negative in the padding.
    pub fn start(&self, out: usize) -> i64 {
        (out * self.stride) as i64 - self.padding_before as i64
    }

    /// The input position of a kernel element of output `out`, if it is inside an input of `input` elements.
    pub fn position(&self, out: usize, element: usize, input: usize) -> Option<usize> {
        let position = self.start(out) + (element * self.dilation) as i64;
        usize::try_from(position).ok().filter(|&position| position < input)
    }

    /// The kernel elements of output `out` that fall inside an input of `input` elements: (kernel index, position).
    pub fn taps(&self, out: usize, input: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        let (start, dilation) = (self.start(out), self.dilation as i64);
        // Computed, not searched: a kernel may have very many elements in the padding.
        let first = if start < 0 { (-start + dilation - 1) / dilation } else { 0 };
        let end = if start < input as i64 { (input as i64 - 1 - start) / dilation + 1 } else { 0 };
        let taps = first as usize..(end as usize).min(self.kernel);
        taps.map(move |tap| (tap, (start + tap as i64 * dilation) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(kernel: usize, stride: usize, padding: usize, dilation: usize) -> Window {
        Window {
            kernel_argument: "kernel_size",
            kernel,
            stride,
            padding_before: padding,
            padding_after: padding,
            dilation,
        }
    }

    #[test]
    fn output_lengths() {
        assert_eq!(window(3, 2, 1, 1).output_length("op", 7, false), Ok(4));
        assert_eq!(window(2, 2, 0, 1).output_length("op", 5, true), Ok(3));
        // The third window would start in the padding after the input.
        assert_eq!(window(2, 3, 1, 1).output_length("op", 5, true), Ok(2));
        assert_eq!(window(7, 3, 0, 1).output_length("op", 5, true), Ok(1));
        assert_eq!(window(5, 2, 0, 2).output_length("op", 32, false), Ok(12));
        assert!(window(3, 1, 0, 3).output_length("op", 6, false).is_err());
        assert!(window(usize::MAX, 1, 0, usize::MAX).output_length("op", 6, false).is_err());
    }

    #[test]
    fn transposed_output_lengths() {
        assert_eq!(window(3, 1, 0, 1).transposed_output_length("op", 32, 0), Ok(34));
        assert_eq!(window(4, 2, 1, 1).transposed_output_length("op", 8, 1), Ok(17));
        assert!(window(1, 1, 1, 1).transposed_output_length("op", 2, 0).is_err());
        assert!(window(1, 1 << 30, 0, 1).transposed_output_length("op", 3, 0).is_err());
    }

    #[test]
    fn taps_stay_inside() {
        let taps: Vec<_> = window(3, 2, 1, 2).taps(0, 4).collect();
        assert_eq!(taps, [(1, 1), (2, 3)]);
    }
}
