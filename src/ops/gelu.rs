//! gelu: the Gaussian error linear unit.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::ops::elementwise::elementwise;
use crate::{Activation, Approximate};

/// Parameters of [`gelu`](crate::gelu), as in `torch.nn.functional.gelu`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GeluParams {
    /// By the error function, or by the hyperbolic tangent. Default: the error function.
    pub approximate: Approximate,
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(GeluParams: default(), approximate);

elementwise! {
    /// A validated [`gelu`](crate::gelu) on an input of known shape.
    pub struct Gelu = "gelu", GeluParams, |params| Activation::Gelu { approximate: params.approximate };
}

/// x (1 + erf(x / sqrt(2))) / 2 of every element of an input of any shape, or [with tanh](Approximate::Tanh), as
/// [`torch.nn.functional.gelu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.gelu.html). Of -infinity it
/// is NaN.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Approximate, GeluParams, Gpu, Tensor, gelu};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// let output = gelu(&input, &GeluParams { approximate: Approximate::Tanh })?;
/// assert_eq!(output.read_blocking()?[1], 0.0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Gelu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn gelu(input: &Tensor, params: &GeluParams) -> Result<Tensor> {
    Ok(Gelu::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
}

/// [`gelu`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`Gelu::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn gelu_(input: &Tensor, params: &GeluParams) -> Result<()> {
    Gelu::new(input.shape(), params)?.call_in_place(&UnaryInputs { input })
}

/// The gradient of [`gelu`], of input and gradient of one shape, as PyTorch's autograd of
/// [`torch.nn.functional.gelu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.gelu.html):
/// grad_output f'(input), with x the input: f'(x) = P(x) + x p(x), where P is the distribution function of normal numbers and
/// p(x) = exp(-x² / 2) / sqrt(2 pi) their density; with `approximate` tanh, and u = sqrt(2 / pi) (x + 0.044715 x³),
/// f'(x) = (1 + tanh(u)) / 2 + x (1 - tanh(u)²) sqrt(2 / pi) (1 + 0.134145 x²) / 2.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{GeluParams, Gpu, Tensor, gelu_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, input] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = gelu_backward(&grad_output?, &input?, &GeluParams::default())?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Gelu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn gelu_backward(grad_output: &Tensor, input: &Tensor, params: &GeluParams) -> Result<Tensor> {
    activation_backward(&Gelu::new(input.shape(), params)?, grad_output, input)
}
