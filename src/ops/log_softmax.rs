//! log_softmax: the logarithm of softmax, which keeps the digits of small shares.

#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, SoftmaxParams, Tensor, UnaryInputs};

use crate::ops::rows::row_operator;

row_operator! {
    /// A validated [`log_softmax`](crate::log_softmax) on an input of known shape.
    pub struct LogSoftmax = "log_softmax";
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
