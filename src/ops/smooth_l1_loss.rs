//! smooth_l1_loss: the difference of two arrays, squared where it is small, or the mean or sum of that.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, arguments};
use crate::ops::losses::{DifferenceLoss, ElementwiseLoss};
use crate::{DifferenceBackwardInputs, LossGradients, Reduction};

/// Parameters of [`smooth_l1_loss`](crate::smooth_l1_loss), as in `torch.nn.functional.smooth_l1_loss`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothL1LossParams {
    /// Whether the losses are returned as they are, or as their mean or sum. Default: the mean.
    pub reduction: Reduction,
    /// The difference from which on the loss is linear, at least 0. Default: 1.
    pub beta: f64,
}

impl Default for SmoothL1LossParams {
    fn default() -> Self {
        SmoothL1LossParams { reduction: Reduction::Mean, beta: 1.0 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(SmoothL1LossParams: default(), reduction, beta);

/// A validated [`smooth_l1_loss`](crate::smooth_l1_loss) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct SmoothL1Loss {
    pub(crate) loss: ElementwiseLoss,
    pub(crate) beta: f32,
}

arguments! {
    /// The inputs of a [`SmoothL1Loss`].
    #[derive(Copy)]
    pub struct SmoothL1LossInputs<F> {
        /// f32, any shape.
        input: float,
        /// f32, a shape that broadcasts with the input's.
        target: float,
    }
}

arguments! {
    /// The outputs of a [`SmoothL1Loss`].
    #[derive(Copy)]
    pub struct SmoothL1LossOutputs<F> {
        /// f32: the shape that both operands broadcast to, or a scalar with a reduction.
        output: float,
    }
}

impl SmoothL1Loss {
    /// Checks an input and a target, whose shapes broadcast together.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a `target` whose shape does not broadcast with that of `input`, and a `beta` that is
    /// below 0 or NaN; [`Error::LimitExceeded`] for more elements than can be counted, and for shapes that alternate more
    /// than three times between dimensions in which one operand is broadcast and dimensions in which it is not.
    pub fn new(input: &[usize], target: &[usize], params: &SmoothL1LossParams) -> Result<Self> {
        let loss = ElementwiseLoss::of_both(Self::NAME, input, target, params.reduction)?;
        if params.beta.is_nan() || params.beta < 0.0 {
            return Err(Error::invalid(Self::NAME, "beta", "0 or more", params.beta.to_string()));
        }
        // What is 0 in float32 alone is not 0: NaN tells them apart.
        let least = if params.beta == 0.0 { 0.0 } else { f32::MIN_POSITIVE };
        Ok(SmoothL1Loss { loss, beta: (params.beta as f32).max(least) })
    }

    /// The shape of the output: the common shape without a reduction, otherwise that of a scalar.
    pub fn output_shape(&self) -> &[usize] {
        self.loss.output_shape()
    }
}

impl Definition for SmoothL1Loss {
    const NAME: &'static str = "smooth_l1_loss";
    type Params = SmoothL1LossParams;
    type Inputs = SmoothL1LossInputs<()>;
    type Outputs = SmoothL1LossOutputs<()>;

    fn of_shapes(inputs: &SmoothL1LossInputs<Vec<usize>>, params: &SmoothL1LossParams) -> Result<Self> {
        SmoothL1Loss::new(&inputs.input, &inputs.target, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for SmoothL1Loss {
    const BACKWARD: &'static str = "smooth_l1_loss_backward";
    type BackwardInputs = DifferenceBackwardInputs<()>;
    type Gradients = LossGradients<()>;

    fn gradient_shapes(&self) -> LossGradients<Vec<usize>> {
        self.shapes_of_gradients()
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> DifferenceBackwardInputs<Vec<usize>> {
        self.shapes_of_backward(backward)
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::{SmoothL1Loss, SmoothL1LossInputs, SmoothL1LossOutputs, SmoothL1LossParams};
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::work::Part;
    use crate::operator::replay::{largest, rounding, unless_overflown};
    use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slot, Slots, Tolerance};
    use crate::ops::losses::{DifferenceLoss, LossBackwardPlan, LossConstants, LossPlan, difference_loss};
    use crate::{DifferenceBackwardInputs, LossGradients, Result, Tensor};

    difference_loss!(SmoothL1Loss, SmoothL1LossInputs, SmoothL1LossOutputs, "smooth_l1_loss", |of: &SmoothL1Loss| {
        LossConstants { beta: of.beta, ..Default::default() }
    });

    /// With d = |input - target|, of two arrays that broadcast together, d - beta / 2 where d is at least beta, otherwise
    /// d^2 / (2 beta); or the mean or sum of that. As
    /// [`torch.nn.functional.smooth_l1_loss`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.smooth_l1_loss.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, SmoothL1LossParams, Tensor, smooth_l1_loss};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::array![1.0, 2.0])?;
    /// let target = Tensor::from_array(&gpu, &ndarray::array![2.0, 4.0])?;
    /// let loss = smooth_l1_loss(&input, &target, &SmoothL1LossParams::default())?.read_blocking()?;
    /// assert_eq!(loss.first(), Some(&1.0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`SmoothL1Loss::new`] and [`Operator::call`].
    pub fn smooth_l1_loss(input: &Tensor, target: &Tensor, params: &SmoothL1LossParams) -> Result<Tensor> {
        let operator = SmoothL1Loss::new(input.shape(), target.shape(), params)?;
        Ok(operator.call(&SmoothL1LossInputs { input, target })?.output)
    }

    /// The gradients of [`smooth_l1_loss`] with respect to input and target, as PyTorch's autograd of
    /// [`torch.nn.functional.smooth_l1_loss`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.smooth_l1_loss.html):
    /// grad_output times the sign of input - target, or times (input - target) / beta where that is smaller, divided by the
    /// number of elements for the mean; and its negative. An operand that was broadcast gets the sums over what it was
    /// broadcast to. With a beta of 0 the gradient of a NaN is 0, as in PyTorch.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, SmoothL1LossParams, Tensor, smooth_l1_loss_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::array![1.0, 2.0])?;
    /// let target = Tensor::from_array(&gpu, &ndarray::array![1.5, 4.0])?;
    /// let grad_output = Tensor::from_slice(&gpu, &[2.0], &[])?;
    /// let gradients = smooth_l1_loss_backward(&grad_output, &input, &target, &SmoothL1LossParams::default())?;
    /// assert_eq!(gradients.grad_input.unwrap().read_vec_blocking()?, [-0.5, -1.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`SmoothL1Loss::new`] and [`Operator::call`].
    pub fn smooth_l1_loss_backward(
        grad_output: &Tensor,
        input: &Tensor,
        target: &Tensor,
        params: &SmoothL1LossParams,
    ) -> Result<LossGradients<Tensor>> {
        let operator = SmoothL1Loss::new(input.shape(), target.shape(), params)?;
        operator.backward_of_all()?.call(&DifferenceBackwardInputs::new(grad_output, input, target))
    }
}
