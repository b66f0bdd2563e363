//! leaky_relu: numbers below 0 become small.

#[cfg(feature = "gpu-core")]
use crate::ops::elementwise::activation_backward;
#[cfg(feature = "gpu-core")]
use crate::{Operator, Result, Tensor, UnaryInputs};

use crate::Activation;
use crate::ops::elementwise::elementwise;

/// Parameters of [`leaky_relu`](crate::leaky_relu), as in `torch.nn.functional.leaky_relu`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeakyReluParams {
    /// The slope below 0. Default: 0.01.
    pub negative_slope: f64,
}

impl Default for LeakyReluParams {
    fn default() -> Self {
        LeakyReluParams { negative_slope: 0.01 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(LeakyReluParams: default(), negative_slope);

elementwise! {
    /// A validated [`leaky_relu`](crate::leaky_relu) on an input of known shape.
    pub struct LeakyRelu = "leaky_relu", LeakyReluParams,
        |params| Activation::LeakyRelu { negative_slope: params.negative_slope };
}

/// x where x > 0, otherwise `negative_slope` x, of every element of an input of any shape, as
/// [`torch.nn.functional.leaky_relu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.leaky_relu.html). The
/// slope is rounded to float32.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, LeakyReluParams, Tensor, leaky_relu};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
/// let output = leaky_relu(&input, &LeakyReluParams { negative_slope: 0.5 })?;
/// assert_eq!(output.read_vec_blocking()?, [-0.5, 0.0, 1.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`LeakyRelu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn leaky_relu(input: &Tensor, params: &LeakyReluParams) -> Result<Tensor> {
    Ok(LeakyRelu::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
}

/// [`leaky_relu`] in the input's own buffer, which it and its clones then hold.
///
/// # Errors
/// As [`LeakyRelu::new`] and [`Operator::call_in_place`].
#[cfg(feature = "gpu-core")]
pub fn leaky_relu_(input: &Tensor, params: &LeakyReluParams) -> Result<()> {
    LeakyRelu::new(input.shape(), params)?.call_in_place(&UnaryInputs { input })
}

/// The gradient of [`leaky_relu`], of input and gradient of one shape, as PyTorch's autograd of
/// [`torch.nn.functional.leaky_relu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.leaky_relu.html):
/// grad_output where input > 0, otherwise `negative_slope` grad_output.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, LeakyReluParams, Tensor, leaky_relu_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let [grad_output, input] = [[1.0, 1.0], [0.0, 0.5]].map(|x| Tensor::from_slice(&gpu, &x, &[2]));
/// let grad_input = leaky_relu_backward(&grad_output?, &input?, &LeakyReluParams { negative_slope: 0.5 })?;
/// assert_eq!(grad_input.shape(), [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`LeakyRelu::new`] and [`Operator::call`].
#[cfg(feature = "gpu-core")]
pub fn leaky_relu_backward(grad_output: &Tensor, input: &Tensor, params: &LeakyReluParams) -> Result<Tensor> {
    activation_backward(&LeakyRelu::new(input.shape(), params)?, grad_output, input)
}
