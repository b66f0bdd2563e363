//! softmax: scores as shares that add up to 1.

#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, SoftmaxParams, Tensor, UnaryInputs};

use crate::ops::rows::row_operator;

row_operator! {
    /// A validated [`softmax`](crate::softmax) on an input of known shape.
    pub struct Softmax = "softmax";
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
