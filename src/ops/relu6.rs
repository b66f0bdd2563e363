//! relu6: numbers are held between 0 and 6.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::Activation;
use crate::ops::elementwise::elementwise;

elementwise! {
    /// A validated [`relu6`](crate::relu6) on an input of known shape.
    pub struct Relu6 = "relu6", Activation::Relu6;
}

/// min(max(x, 0), 6) of every element of an input of any shape, as
/// [`torch.nn.functional.relu6`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.relu6.html). NaN stays NaN.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, relu6};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// assert_eq!(relu6(&input)?.read_vec_blocking()?, [0.0, 0.0, 1.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Relu6::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn relu6(input: &Tensor) -> Result<Tensor> {
    Ok(Relu6::new(input.shape())?.call(&UnaryInputs { input })?.output)
}

/// [`relu6`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`Relu6::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn relu6_(input: &Tensor) -> Result<()> {
    Relu6::new(input.shape())?.call_in_place(&UnaryInputs { input })
}

/// The gradient of [`relu6`], of output and gradient of one shape, as PyTorch's autograd of
/// [`torch.nn.functional.relu6`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.relu6.html):
/// grad_output where 0 < output < 6, otherwise 0. NaN counts as between them, as in PyTorch on CUDA and in its scalar code on
/// the CPU.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, relu6_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, output] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = relu6_backward(&grad_output?, &output?)?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Relu6::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn relu6_backward(grad_output: &Tensor, output: &Tensor) -> Result<Tensor> {
    activation_backward(&Relu6::new(output.shape())?, grad_output, output)
}
