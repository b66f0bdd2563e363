//! softmax: scores as shares that add up to 1.

#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, SoftmaxParams, Tensor, UnaryInputs};

use crate::ops::rows::row_operator;

row_operator! {
    /// A validated [`softmax`](crate::softmax) on an input of known shape.
    pub struct Softmax = "softmax";
    backward = "softmax_backward";
    term = |grad, y| grad * y;
    size = |grad, y, sum| (grad + sum) * y.abs();
}

/// exp(x) / sum exp(x) along a dimension of an input of any shape, as
/// [`torch.nn.functional.softmax`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.softmax.html). A row
/// with NaN or infinity, or of negative infinity alone, becomes NaN.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, SoftmaxParams, Tensor, softmax};
///
/// let gpu = Gpu::new_blocking()?;
/// let scores = Tensor::from_array(&gpu, &ndarray::array![[2.0, 2.0]])?;
/// let output = softmax(&scores, &SoftmaxParams::new(-1))?;
/// assert_eq!(output.read_vec_blocking()?, [0.5, 0.5]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Softmax::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn softmax(input: &Tensor, params: &SoftmaxParams) -> Result<Tensor> {
    Ok(Softmax::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
}

/// The gradient of [`softmax`] with respect to its input, from its output: (grad_output - s) output along the dimension, where s is the sum of grad_output output, as PyTorch's autograd of
/// [`torch.nn.functional.softmax`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.softmax.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, SoftmaxParams, Tensor, softmax, softmax_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let scores = Tensor::from_array(&gpu, &ndarray::array![[2.0, 2.0]])?;
/// let params = SoftmaxParams::new(-1);
/// let output = softmax(&scores, &params)?;
/// let grad_output = Tensor::from_array(&gpu, &ndarray::array![[1.0, 0.0]])?;
/// let grad_input = softmax_backward(&grad_output, &output, &params)?;
/// assert_eq!(grad_input.shape(), scores.shape());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Softmax::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn softmax_backward(grad_output: &Tensor, output: &Tensor, params: &SoftmaxParams) -> Result<Tensor> {
    on_gpu::backward(&Softmax::new(output.shape(), params)?, grad_output, output)
}
