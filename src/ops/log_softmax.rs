//! log_softmax: the logarithm of softmax, which keeps the digits of small shares.

#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, SoftmaxParams, Tensor, UnaryInputs};

use crate::ops::rows::row_operator;

row_operator! {
    /// A validated [`log_softmax`](crate::log_softmax) on an input of known shape.
    pub struct LogSoftmax = "log_softmax";
    backward = "log_softmax_backward";
    term = |grad, _| grad;
    size = |grad, y, sum| grad + y.exp() * sum;
}

/// x - log(sum exp(x)) along a dimension of an input of any shape, as
/// [`torch.nn.functional.log_softmax`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.log_softmax.html). A row
/// with NaN or infinity, or of negative infinity alone, becomes NaN.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, SoftmaxParams, Tensor, log_softmax};
///
/// let gpu = Gpu::new_blocking()?;
/// let scores = Tensor::from_array(&gpu, &ndarray::array![[2.0, 2.0]])?;
/// let output = log_softmax(&scores, &SoftmaxParams::new(-1))?;
/// assert_eq!(output.read_vec_blocking()?, [-std::f32::consts::LN_2; 2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`LogSoftmax::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn log_softmax(input: &Tensor, params: &SoftmaxParams) -> Result<Tensor> {
    Ok(LogSoftmax::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
}

/// The gradient of [`log_softmax`] with respect to its input, from its output: grad_output - exp(output) s along the dimension, where s is the sum of grad_output, as PyTorch's autograd of
/// [`torch.nn.functional.log_softmax`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.log_softmax.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, SoftmaxParams, Tensor, log_softmax, log_softmax_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let scores = Tensor::from_array(&gpu, &ndarray::array![[2.0, 2.0]])?;
/// let params = SoftmaxParams::new(-1);
/// let output = log_softmax(&scores, &params)?;
/// let grad_output = Tensor::from_array(&gpu, &ndarray::array![[1.0, 0.0]])?;
/// let grad_input = log_softmax_backward(&grad_output, &output, &params)?;
/// assert_eq!(grad_input.shape(), scores.shape());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`LogSoftmax::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn log_softmax_backward(grad_output: &Tensor, output: &Tensor, params: &SoftmaxParams) -> Result<Tensor> {
    on_gpu::backward(&LogSoftmax::new(output.shape(), params)?, grad_output, output)
}
