use ndarray::ArrayD;

use super::{AsArray, compute, difference_backward, difference_gradients, difference_loss, owned};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::ops::losses::{DifferenceLoss, ElementwiseLoss};
use crate::{LossGradients, Result, SmoothL1Loss, SmoothL1LossInputs, SmoothL1LossOutputs, SmoothL1LossParams};

/// With d = |input - target|, d - beta / 2 where d is at least beta, otherwise d^2 / (2 beta); or the mean or sum of that.
///
/// # Errors
/// As [`SmoothL1Loss::new`].
pub fn smooth_l1_loss(
    input: &dyn AsArray<f32>,
    target: &dyn AsArray<f32>,
    params: &SmoothL1LossParams,
) -> Result<ArrayD<f32>> {
    let inputs = SmoothL1LossInputs { input: owned(input), target: owned(target) };
    Ok(compute::<SmoothL1Loss>(&inputs, params)?.outputs.output)
}

impl DifferenceLoss for SmoothL1Loss {
    #[cfg(feature = "gpu-core")]
    const POWER: i32 = 1;

    fn loss(&self) -> &ElementwiseLoss {
        &self.loss
    }

    fn of(&self, difference: f64) -> f64 {
        let (size, beta) = (difference.abs(), f64::from(self.beta));
        if size < beta { 0.5 * size * size / beta } else { size - 0.5 * beta }
    }

    fn slope(&self, difference: f64) -> f64 {
        let beta = f64::from(self.beta);
        match difference {
            // Without beta PyTorch takes the sign of NaN, which is 0.
            x if x.is_nan() => {
                if beta == 0.0 {
                    0.0
                } else {
                    x
                }
            }
            x if x.abs() < beta => x / beta,
            0.0 => 0.0,
            x => x.signum(),
        }
    }
}

impl OnCpu for SmoothL1Loss {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(Computed::new(SmoothL1LossOutputs { output: difference_loss(self, [&inputs.input, &inputs.target]) }))
    }
}

/// The gradients of [`smooth_l1_loss`] with respect to input and target: see [`smooth_l1_loss_backward`](crate::smooth_l1_loss_backward).
///
/// # Errors
/// As [`SmoothL1Loss::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn smooth_l1_loss_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    target: &dyn AsArray<f32>,
    params: &SmoothL1LossParams,
) -> Result<LossGradients<ArrayD<f32>>> {
    let forward = SmoothL1Loss::new(input.as_view().shape(), target.as_view().shape(), params)?;
    difference_backward(&forward, [grad_output, input, target])
}

impl OnCpu for Backward<SmoothL1Loss> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        difference_gradients(self, inputs)
    }
}
