//! mse_loss: the squared difference of two arrays, or its mean or sum.

use crate::error::Result;
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, arguments};
use crate::ops::losses::{DifferenceLoss, ElementwiseLoss};
use crate::{DifferenceBackwardInputs, LossGradients, Reduction};

/// Parameters of [`mse_loss`](crate::mse_loss), as in `torch.nn.functional.mse_loss`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MseLossParams {
    /// Whether the squares are returned as they are, or as their mean or sum. Default: the mean.
    pub reduction: Reduction,
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(MseLossParams: default(), reduction);

/// A validated [`mse_loss`](crate::mse_loss) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MseLoss {
    pub(crate) loss: ElementwiseLoss,
}

arguments! {
    /// The inputs of an [`MseLoss`].
    #[derive(Copy)]
    pub struct MseLossInputs<F> {
        /// f32, any shape.
        input: float,
        /// f32, a shape that broadcasts with the input's.
        target: float,
    }
}

arguments! {
    /// The outputs of an [`MseLoss`].
    #[derive(Copy)]
    pub struct MseLossOutputs<F> {
        /// f32: the shape that both operands broadcast to, or a scalar with a reduction.
        output: float,
    }
}

impl MseLoss {
    /// Checks an input and a target, whose shapes broadcast together.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `target` whose shape does not broadcast with that of `input`;
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted, and for shapes that alternate more than three
    /// times between dimensions in which one operand is broadcast and dimensions in which it is not.
    pub fn new(input: &[usize], target: &[usize], params: &MseLossParams) -> Result<Self> {
        Ok(MseLoss { loss: ElementwiseLoss::of_both(Self::NAME, input, target, params.reduction)? })
    }

    /// The shape of the output: the common shape without a reduction, otherwise that of a scalar.
    pub fn output_shape(&self) -> &[usize] {
        self.loss.output_shape()
    }
}

impl Definition for MseLoss {
    const NAME: &'static str = "mse_loss";
    type Params = MseLossParams;
    type Inputs = MseLossInputs<()>;
    type Outputs = MseLossOutputs<()>;

    fn of_shapes(inputs: &MseLossInputs<Vec<usize>>, params: &MseLossParams) -> Result<Self> {
        MseLoss::new(&inputs.input, &inputs.target, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for MseLoss {
    const BACKWARD: &'static str = "mse_loss_backward";
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
    use super::{MseLoss, MseLossInputs, MseLossOutputs, MseLossParams};
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::work::Part;
    use crate::operator::replay::{largest, rounding, unless_overflown};
    use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slot, Slots, Tolerance};
    use crate::ops::losses::{DifferenceLoss, LossBackwardPlan, LossConstants, LossPlan, difference_loss};
    use crate::{DifferenceBackwardInputs, LossGradients, Result, Tensor};

    difference_loss!(MseLoss, MseLossInputs, MseLossOutputs, "mse_loss", |_: &MseLoss| LossConstants {
        halved: true,
        ..Default::default()
    });

    /// The squares (input - target)^2 of two arrays that broadcast together, or their mean or sum, as
    /// [`torch.nn.functional.mse_loss`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.mse_loss.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, MseLossParams, Tensor, mse_loss};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::array![1.0, 2.0])?;
    /// let target = Tensor::from_array(&gpu, &ndarray::array![1.0, 4.0])?;
    /// let loss = mse_loss(&input, &target, &MseLossParams::default())?.read_blocking()?;
    /// assert_eq!(loss.first(), Some(&2.0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`MseLoss::new`] and [`Operator::call`].
    pub fn mse_loss(input: &Tensor, target: &Tensor, params: &MseLossParams) -> Result<Tensor> {
        let operator = MseLoss::new(input.shape(), target.shape(), params)?;
        Ok(operator.call(&MseLossInputs { input, target })?.output)
    }

    /// The gradients of [`mse_loss`] with respect to input and target, as PyTorch's autograd of
    /// [`torch.nn.functional.mse_loss`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.mse_loss.html):
    /// 2 (input - target) grad_output, divided by the number of elements for the mean, and its negative. An operand that was
    /// broadcast gets the sums over what it was broadcast to.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, MseLossParams, Tensor, mse_loss_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::array![1.0, 2.0])?;
    /// let target = Tensor::from_array(&gpu, &ndarray::array![1.0, 4.0])?;
    /// let grad_output = Tensor::from_slice(&gpu, &[1.0], &[])?;
    /// let gradients = mse_loss_backward(&grad_output, &input, &target, &MseLossParams::default())?;
    /// assert_eq!(gradients.grad_input.unwrap().read_vec_blocking()?, [0.0, -2.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`MseLoss::new`] and [`Operator::call`].
    pub fn mse_loss_backward(
        grad_output: &Tensor,
        input: &Tensor,
        target: &Tensor,
        params: &MseLossParams,
    ) -> Result<LossGradients<Tensor>> {
        let operator = MseLoss::new(input.shape(), target.shape(), params)?;
        operator.backward_of_all()?.call(&DifferenceBackwardInputs::new(grad_output, input, target))
    }
}
