//! silu: the sigmoid linear unit, or swish.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::Activation;
use crate::ops::elementwise::elementwise;

elementwise! {
    /// A validated [`silu`](crate::silu) on an input of known shape.
    pub struct Silu = "silu", Activation::Silu;
}

/// x / (1 + exp(-x)) of every element of an input of any shape, as
/// [`torch.nn.functional.silu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.silu.html). Of -infinity it is NaN.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, silu};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// assert_eq!(silu(&input)?.read_blocking()?[1], 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Silu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn silu(input: &Tensor) -> Result<Tensor> {
    Ok(Silu::new(input.shape())?.call(&UnaryInputs { input })?.output)
}

/// [`silu`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`Silu::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn silu_(input: &Tensor) -> Result<()> {
    Silu::new(input.shape())?.call_in_place(&UnaryInputs { input })
}

/// The gradient of [`silu`], of input and gradient of one shape, as PyTorch's autograd of
/// [`torch.nn.functional.silu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.silu.html):
/// grad_output s (1 + input (1 - s)), where s is sigmoid(input).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, silu_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, input] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = silu_backward(&grad_output?, &input?)?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Silu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn silu_backward(grad_output: &Tensor, input: &Tensor) -> Result<Tensor> {
    activation_backward(&Silu::new(input.shape())?, grad_output, input)
}
