use ndarray::ArrayD;

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, NoOutputs, OnCpu};
use crate::{Result, Sgd, SgdInputs, SgdParams};

/// The arrays that a step of sgd updates.
#[derive(Debug, Clone, PartialEq)]
pub struct SgdResult {
    /// The parameter.
    pub param: ArrayD<f32>,
    /// The last direction, with momentum.
    pub momentum_buffer: Option<ArrayD<f32>>,
    /// How many steps were made, with momentum.
    pub step: Option<ArrayD<f32>>,
}

/// One step of stochastic gradient descent: see [`sgd`](crate::sgd()).
///
/// # Errors
/// As [`Sgd::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an array that is missing, not needed or
/// of another shape.
pub fn sgd(inputs: &SgdInputs<&dyn AsArray<f32>>, params: &SgdParams) -> Result<SgdResult> {
    let inputs = SgdInputs {
        param: owned(inputs.param),
        grad: owned(inputs.grad),
        lr: owned(inputs.lr),
        momentum_buffer: inputs.momentum_buffer.map(owned),
        step: inputs.step.map(owned),
    };
    let mut computed = compute::<Sgd>(&inputs, params)?;
    let param = computed.take_updated("param").unwrap_or(inputs.param);
    let [momentum_buffer, step] = ["momentum_buffer", "step"].map(|name| computed.take_updated(name));
    Ok(SgdResult { param, momentum_buffer, step })
}

impl OnCpu for Sgd {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let params = &self.params;
        let lr = f64::from(inputs.lr[[]]);
        let mut param = inputs.param.mapv(f64::from);
        let mut direction = inputs.grad.mapv(|grad| if params.maximize { -f64::from(grad) } else { f64::from(grad) });
        if params.weight_decay != 0.0 {
            direction.zip_mut_with(&param, |direction, param| *direction += params.weight_decay * param);
        }
        let mut computed = Computed::new(NoOutputs {});
        if let (Some(before), Some(step)) = (&inputs.momentum_buffer, &inputs.step) {
            let mut buffer = direction.clone();
            if step[[]] != 0.0 {
                buffer.zip_mut_with(before, |buffer, &before| {
                    *buffer = params.momentum * f64::from(before) + (1.0 - params.dampening) * *buffer;
                });
            }
            direction.zip_mut_with(&buffer, |direction, buffer| {
                *direction = if params.nesterov { *direction + params.momentum * buffer } else { *buffer };
            });
            computed.update("momentum_buffer", buffer.mapv(|x| x as f32));
            computed.update("step", step + 1.0);
        }
        param.zip_mut_with(&direction, |param, direction| *param -= lr * direction);
        computed.update("param", param.mapv(|x| x as f32));
        Ok(computed)
    }
}
