//! sigmoid: the logistic function of every element.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::Activation;
use crate::ops::elementwise::elementwise;

elementwise! {
    /// A validated [`sigmoid`](crate::sigmoid) on an input of known shape.
    pub struct Sigmoid = "sigmoid", Activation::Sigmoid;
}

/// 1 / (1 + exp(-x)) of every element of an input of any shape, as
/// [`torch.sigmoid`](https://pytorch.org/docs/2.11/generated/torch.sigmoid.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, sigmoid};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// assert_eq!(sigmoid(&input)?.read_blocking()?[1], 0.5);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Sigmoid::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn sigmoid(input: &Tensor) -> Result<Tensor> {
    Ok(Sigmoid::new(input.shape())?.call(&UnaryInputs { input })?.output)
}

/// [`sigmoid`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`Sigmoid::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn sigmoid_(input: &Tensor) -> Result<()> {
    Sigmoid::new(input.shape())?.call_in_place(&UnaryInputs { input })
}

/// The gradient of [`sigmoid`], of output and gradient of one shape, as PyTorch's autograd of
/// [`torch.sigmoid`](https://pytorch.org/docs/2.11/generated/torch.sigmoid.html):
/// grad_output output (1 - output).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, sigmoid_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, output] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = sigmoid_backward(&grad_output?, &output?)?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Sigmoid::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn sigmoid_backward(grad_output: &Tensor, output: &Tensor) -> Result<Tensor> {
    activation_backward(&Sigmoid::new(output.shape())?, grad_output, output)
}
