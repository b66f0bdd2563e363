use ndarray::{ArrayD, Zip};

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, NoOutputs, OnCpu};
use crate::{Adam, AdamInputs, AdamParams, Result};

/// The arrays that a step of adam updates.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamResult {
    /// The parameter.
    pub param: ArrayD<f32>,
    /// The average of the gradient.
    pub exp_avg: ArrayD<f32>,
    /// The average of its square.
    pub exp_avg_sq: ArrayD<f32>,
    /// How many steps were made.
    pub step: ArrayD<f32>,
}

/// One step of Adam or AdamW: see [`adam`](crate::adam()).
///
/// # Errors
/// As [`Adam::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an array of another shape.
pub fn adam(inputs: &AdamInputs<&dyn AsArray<f32>>, params: &AdamParams) -> Result<AdamResult> {
    let inputs = AdamInputs {
        param: owned(inputs.param),
        grad: owned(inputs.grad),
        exp_avg: owned(inputs.exp_avg),
        exp_avg_sq: owned(inputs.exp_avg_sq),
        lr: owned(inputs.lr),
        step: owned(inputs.step),
    };
    let mut computed = compute::<Adam>(&inputs, params)?;
    Ok(AdamResult {
        param: computed.take_updated("param").unwrap_or(inputs.param),
        exp_avg: computed.take_updated("exp_avg").unwrap_or(inputs.exp_avg),
        exp_avg_sq: computed.take_updated("exp_avg_sq").unwrap_or(inputs.exp_avg_sq),
        step: computed.take_updated("step").unwrap_or(inputs.step),
    })
}

impl OnCpu for Adam {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let params = &self.params;
        let [beta_1, beta_2] = params.betas;
        let (lr, step) = (f64::from(inputs.lr[[]]), inputs.step[[]] + 1.0);
        let [correction_1, correction_2] = params.betas.map(|beta| 1.0 - beta.powf(f64::from(step)));
        let [mut param, mut average, mut square] =
            [&inputs.param, &inputs.exp_avg, &inputs.exp_avg_sq].map(|array| array.mapv(f64::from));
        Zip::from(&mut param).and(&mut average).and(&mut square).and(&inputs.grad).for_each(
            |param, average, square, &grad| {
                let mut grad = if params.maximize { -f64::from(grad) } else { f64::from(grad) };
                if params.weight_decay != 0.0 {
                    if params.decoupled_weight_decay {
                        *param *= 1.0 - lr * params.weight_decay;
                    } else {
                        grad += params.weight_decay * *param;
                    }
                }
                // The two forms of PyTorch's lerp, which differ where infinities cancel.
                let difference = grad - *average;
                *average = if 1.0 - beta_1 < 0.5 {
                    *average + (1.0 - beta_1) * difference
                } else {
                    grad - difference * beta_1
                };
                *square = beta_2 * *square + (1.0 - beta_2) * grad * grad;
                *param -= lr / correction_1 * *average / (square.sqrt() / correction_2.sqrt() + params.eps);
            },
        );
        let mut computed = Computed::new(NoOutputs {});
        for (name, array) in [("param", param), ("exp_avg", average), ("exp_avg_sq", square)] {
            computed.update(name, array.mapv(|x| x as f32));
        }
        computed.update("step", ndarray::arr0(step).into_dyn());
        Ok(computed)
    }
}
