//! flatten: several dimensions as one. It has no shader: the data stays where it is and only the shape changes.

use crate::error::{Error, Result};
use crate::shape;

const NAME: &str = "flatten";

/// Parameters of [`flatten`](crate::flatten), as in `torch.flatten`. Negative dimensions count from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlattenParams {
    /// The first dimension to flatten.
    pub start_dim: isize,
    /// The last dimension to flatten.
    pub end_dim: isize,
}

impl Default for FlattenParams {
    fn default() -> Self {
        FlattenParams { start_dim: 0, end_dim: -1 }
    }
}

/// A validated [`flatten`](crate::flatten) of an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flatten {
    output: Vec<usize>,
}

impl Flatten {
    /// Checks the dimensions against an input of any shape; a scalar becomes one element.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a dimension that the input has not, and a `start_dim` behind `end_dim`;
    /// [`Error::LimitExceeded`] for more elements than can be counted.
    pub fn new(input: &[usize], params: &FlattenParams) -> Result<Self> {
        shape::element_count(NAME, "input", input)?;
        // A scalar counts as one dimension here, as in PyTorch.
        let rank = input.len().max(1) as isize;
        let resolve = |argument, dim: isize| {
            let resolved = if dim < 0 { dim + rank } else { dim };
            if !(0..rank).contains(&resolved) {
                return Err(Error::invalid(
                    NAME,
                    argument,
                    format!("a dimension from {} to {} of shape {input:?}", -rank, rank - 1),
                    format!("{dim}"),
                ));
            }
            Ok(resolved as usize)
        };
        let start = resolve("start_dim", params.start_dim)?;
        let end = resolve("end_dim", params.end_dim)?;
        if start > end {
            return Err(Error::invalid(
                NAME,
                "start_dim",
                format!("no later than end_dim, {}", params.end_dim),
                format!("{}", params.start_dim),
            ));
        }
        let mut output = input.to_vec();
        if input.is_empty() {
            output.push(1);
        } else {
            let merged = &input[start..=end];
            output.splice(start..=end, [merged.iter().product::<usize>()]);
        }
        Ok(Flatten { output })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        self.output.clone()
    }

    /// Bytes of workspace: none. There is nothing to record either.
    pub fn workspace_size(&self) -> u64 {
        0
    }
}

/// An input of any shape and element with the dimensions from `start_dim` to `end_dim` as one, as
/// [`torch.flatten`](https://pytorch.org/docs/2.11/generated/torch.flatten.html). The output shares the input's buffer.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{FlattenParams, Gpu, Tensor, flatten};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((2, 3, 4, 5)))?;
/// let flat = flatten(&input, &FlattenParams { start_dim: 1, ..Default::default() })?;
/// assert_eq!(flat.shape(), [2, 60]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Flatten::new`].
#[cfg(feature = "gpu")]
pub fn flatten<T: crate::Element>(input: &crate::Tensor<T>, params: &FlattenParams) -> Result<crate::Tensor<T>> {
    Ok(input.with_shape(Flatten::new(input.shape(), params)?.output))
}

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::{Flatten, NAME};
    use crate::gpu::Gpu;
    use crate::gpu::kernel::Dispatch;
    use crate::gpu::operator::{Operator, Part, Sealed, Split};

    impl Sealed for Flatten {}

    impl Operator for Flatten {
        fn name(&self) -> &'static str {
            NAME
        }

        fn split(&self) -> Split {
            Split::none()
        }

        fn dispatches(&self, _: &Gpu, _: &Part) -> Vec<Dispatch> {
            Vec::new()
        }
    }
}
