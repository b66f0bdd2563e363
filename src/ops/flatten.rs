//! flatten: merges several dimensions into one. It has no shader: the data stays where it is and only the shape
//! changes.

use crate::error::{Error, Result};
use crate::operator::Definition;
use crate::ops::elementwise::{UnaryInputs, UnaryOutputs};
use crate::shape;

/// Parameters of [`flatten`](crate::flatten), as in `torch.flatten`. Negative dimensions count from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlattenParams {
    /// The first dimension to merge. Default: 0.
    pub start_dim: isize,
    /// The last dimension to merge; not before `start_dim`. Default: -1, the last of the input.
    pub end_dim: isize,
}

impl Default for FlattenParams {
    fn default() -> Self {
        FlattenParams { start_dim: 0, end_dim: -1 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(FlattenParams: default(), start_dim, end_dim);

/// A validated [`flatten`](crate::flatten) of an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flatten {
    input: Vec<usize>,
    output: Vec<usize>,
}

impl Flatten {
    /// Checks the dimensions against an input of any shape; a scalar becomes one element.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a dimension that the input does not have, and a `start_dim` after `end_dim`;
    /// [`Error::LimitExceeded`] for more elements than can be counted.
    pub fn new(input: &[usize], params: &FlattenParams) -> Result<Self> {
        shape::element_count(Self::NAME, "input", input)?;
        let start = shape::dimension(Self::NAME, "start_dim", params.start_dim, input)?;
        let end = shape::dimension(Self::NAME, "end_dim", params.end_dim, input)?;
        if start > end {
            return Err(Error::invalid(
                Self::NAME,
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
        Ok(Flatten { input: input.to_vec(), output })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for Flatten {
    const NAME: &'static str = "flatten";
    type Params = FlattenParams;
    type Inputs = UnaryInputs<()>;
    type Outputs = UnaryOutputs<()>;

    fn of_shapes(inputs: &UnaryInputs<Vec<usize>>, params: &FlattenParams) -> Result<Self> {
        Flatten::new(&inputs.input, params)
    }
}

/// Merges the dimensions from `start_dim` to `end_dim` of an input of any shape and element type, as
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
#[cfg(feature = "gpu-core")]
pub fn flatten<T: crate::Element>(input: &crate::Tensor<T>, params: &FlattenParams) -> Result<crate::Tensor<T>> {
    Ok(input.with_shape(Flatten::new(input.shape(), params)?.output))
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::{Flatten, UnaryInputs, UnaryOutputs};
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::work::Part;
    use crate::operator::{Bound, Operator, Slot, Slots};

    /// Nothing runs.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Nothing;

    impl fmt::Display for Nothing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("nothing runs")
        }
    }

    impl Operator for Flatten {
        type Plan = Nothing;
        const KERNELS: &'static [&'static [Kernel]] = &[];

        fn plan(&self, _: &Capabilities) -> Nothing {
            Nothing
        }

        fn declare(&self, _: &Nothing) -> Slots<Self> {
            let inputs = UnaryInputs { input: Slot::read(&self.input) };
            Slots::new(inputs, UnaryOutputs { output: Slot::view(&self.output) })
        }

        fn dispatches(&self, _: &Nothing, _: &Part, _: &Bound<Self>, _: &mut dyn FnMut(Dispatch)) {}
    }
}
