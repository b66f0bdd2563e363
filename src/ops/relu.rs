//! relu: numbers below 0 become 0.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::Activation;
use crate::ops::elementwise::elementwise;

elementwise! {
    /// A validated [`relu`](crate::relu) on an input of known shape.
    pub struct Relu = "relu", Activation::Relu;
}

/// max(x, 0) of every element of an input of any shape, as
/// [`torch.relu`](https://pytorch.org/docs/2.11/generated/torch.relu.html). NaN stays NaN, and -0 stays -0.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, relu};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// assert_eq!(relu(&input)?.read_vec_blocking()?, [0.0, 0.0, 1.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Relu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn relu(input: &Tensor) -> Result<Tensor> {
    Ok(Relu::new(input.shape())?.call(&UnaryInputs { input })?.output)
}

/// [`relu`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`Relu::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn relu_(input: &Tensor) -> Result<()> {
    Relu::new(input.shape())?.call_in_place(&UnaryInputs { input })
}

/// The gradient of [`relu`], of output and gradient of one shape, as PyTorch's autograd of
/// [`torch.relu`](https://pytorch.org/docs/2.11/generated/torch.relu.html):
/// grad_output where output > 0, otherwise 0. NaN counts as above 0, as in PyTorch.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, relu_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, output] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = relu_backward(&grad_output?, &output?)?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Relu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn relu_backward(grad_output: &Tensor, output: &Tensor) -> Result<Tensor> {
    activation_backward(&Relu::new(output.shape())?, grad_output, output)
}
