use ndarray::{ArrayD, IxDyn};

use super::{AsArray, compute, owned, reduce};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{MseLoss, MseLossInputs, MseLossOutputs, MseLossParams, Result};

/// The squares (input - target)^2, or their mean or sum.
///
/// # Errors
/// As [`MseLoss::new`].
pub fn mse_loss(input: &dyn AsArray<f32>, target: &dyn AsArray<f32>, params: &MseLossParams) -> Result<ArrayD<f32>> {
    let inputs = MseLossInputs { input: owned(input), target: owned(target) };
    Ok(compute::<MseLoss>(&inputs, params)?.outputs.output)
}

impl OnCpu for MseLoss {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let common = IxDyn(&self.common);
        let broadcast = |array: &ArrayD<f32>| {
            let array = array.broadcast(common.clone()).expect("the shapes broadcast");
            array.mapv(f64::from)
        };
        let squares = (broadcast(&inputs.input) - broadcast(&inputs.target)).mapv(|difference| difference.powi(2));
        let count = squares.len() as f64;
        Ok(Computed::new(MseLossOutputs { output: reduce(squares, count, self.reduction) }))
    }
}
