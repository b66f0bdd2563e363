//! hardswish: a piecewise swish.

#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::Activation;
use crate::ops::elementwise::elementwise;

elementwise! {
    /// A validated [`hardswish`](crate::hardswish) on an input of known shape.
    pub struct Hardswish = "hardswish", Activation::Hardswish;
}

/// x min(max(x + 3, 0), 6) / 6 of every element of an input of any shape, as
/// [`torch.nn.functional.hardswish`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.hardswish.html). Of -infinity it is NaN.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, hardswish};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// assert_eq!(hardswish(&input)?.read_blocking()?[1], 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Hardswish::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn hardswish(input: &Tensor) -> Result<Tensor> {
    Ok(Hardswish::new(input.shape())?.call(&UnaryInputs { input })?.output)
}

/// [`hardswish`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`Hardswish::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn hardswish_(input: &Tensor) -> Result<()> {
    Hardswish::new(input.shape())?.call_in_place(&UnaryInputs { input })
}
