//! tanh: the hyperbolic tangent.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::Activation;
use crate::ops::elementwise::elementwise;

elementwise! {
    /// A validated [`tanh`](crate::tanh) on an input of known shape.
    pub struct Tanh = "tanh", Activation::Tanh;
}

/// tanh(x) of every element of an input of any shape, as
/// [`torch.tanh`](https://pytorch.org/docs/2.11/generated/torch.tanh.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, tanh};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// assert_eq!(tanh(&input)?.read_blocking()?[1], 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Tanh::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn tanh(input: &Tensor) -> Result<Tensor> {
    Ok(Tanh::new(input.shape())?.call(&UnaryInputs { input })?.output)
}

/// [`tanh`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`Tanh::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn tanh_(input: &Tensor) -> Result<()> {
    Tanh::new(input.shape())?.call_in_place(&UnaryInputs { input })
}

/// The gradient of [`tanh`], of output and gradient of one shape, as PyTorch's autograd of
/// [`torch.tanh`](https://pytorch.org/docs/2.11/generated/torch.tanh.html):
/// grad_output (1 - output^2).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, tanh_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, output] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = tanh_backward(&grad_output?, &output?)?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Tanh::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn tanh_backward(grad_output: &Tensor, output: &Tensor) -> Result<Tensor> {
    activation_backward(&Tanh::new(output.shape())?, grad_output, output)
}
