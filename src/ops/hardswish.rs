//! hardswish: a piecewise swish.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
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

/// The gradient of [`hardswish`], of input and gradient of one shape, as PyTorch's autograd of
/// [`torch.nn.functional.hardswish`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.hardswish.html):
/// 0 where input <= -3, grad_output (input / 3 + 1/2) where -3 < input < 3, otherwise grad_output, also where input is NaN, as in
/// PyTorch on CUDA and in its scalar code on the CPU.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, hardswish_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, input] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = hardswish_backward(&grad_output?, &input?)?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Hardswish::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn hardswish_backward(grad_output: &Tensor, input: &Tensor) -> Result<Tensor> {
    activation_backward(&Hardswish::new(input.shape())?, grad_output, input)
}
