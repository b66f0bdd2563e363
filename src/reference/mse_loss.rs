use ndarray::ArrayD;

use super::{AsArray, compute, difference_backward, difference_gradients, difference_loss, owned};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::ops::losses::{DifferenceLoss, ElementwiseLoss};
use crate::{LossGradients, MseLoss, MseLossInputs, MseLossOutputs, MseLossParams, Result};

/// The squares (input - target)^2, or their mean or sum.
///
/// # Errors
/// As [`MseLoss::new`].
pub fn mse_loss(input: &dyn AsArray<f32>, target: &dyn AsArray<f32>, params: &MseLossParams) -> Result<ArrayD<f32>> {
    let inputs = MseLossInputs { input: owned(input), target: owned(target) };
    Ok(compute::<MseLoss>(&inputs, params)?.outputs.output)
}

impl DifferenceLoss for MseLoss {
    #[cfg(feature = "gpu-core")]
    const POWER: i32 = 2;

    fn loss(&self) -> &ElementwiseLoss {
        &self.loss
    }

    fn of(&self, difference: f64) -> f64 {
        difference * difference
    }

    fn slope(&self, difference: f64) -> f64 {
        2.0 * difference
    }
}

impl OnCpu for MseLoss {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Ok(Computed::new(MseLossOutputs { output: difference_loss(self, [&inputs.input, &inputs.target]) }))
    }
}

/// The gradients of [`mse_loss`] with respect to input and target: see [`mse_loss_backward`](crate::mse_loss_backward).
///
/// # Errors
/// As [`MseLoss::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn mse_loss_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    target: &dyn AsArray<f32>,
    params: &MseLossParams,
) -> Result<LossGradients<ArrayD<f32>>> {
    let forward = MseLoss::new(input.as_view().shape(), target.as_view().shape(), params)?;
    difference_backward(&forward, [grad_output, input, target])
}

impl OnCpu for Backward<MseLoss> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        difference_gradients(self, inputs)
    }
}
