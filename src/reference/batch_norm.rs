use ndarray::{Array1, Array3, ArrayD, IxDyn};

use super::{AsArray, compute, elements_of, finished, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{BatchNorm, BatchNormInputs, BatchNormOutputs, BatchNormParams, Result};

/// The results of [`batch_norm`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BatchNormResult {
    /// The normalized input.
    pub output: ArrayD<f32>,
    /// The running mean after the call, if there is one.
    pub running_mean: Option<ArrayD<f32>>,
    /// The running variance after the call, if there is one.
    pub running_var: Option<ArrayD<f32>>,
}

/// Every channel shifted and scaled to mean 0 and variance 1, then by weight and bias.
///
/// # Errors
/// As [`BatchNorm::new`].
pub fn batch_norm(inputs: &BatchNormInputs<&dyn AsArray<f32>>, params: &BatchNormParams) -> Result<BatchNormResult> {
    let inputs = BatchNormInputs {
        input: owned(inputs.input),
        running_mean: inputs.running_mean.map(owned),
        running_var: inputs.running_var.map(owned),
        weight: inputs.weight.map(owned),
        bias: inputs.bias.map(owned),
        activation_weight: inputs.activation_weight.map(owned),
    };
    let computed = compute::<BatchNorm>(&inputs, params)?;
    let updated = |name: &'static str, given: Option<ArrayD<f32>>| {
        computed.updated.iter().find(|(updated, _)| *updated == name.into()).map(|(_, array)| array.clone()).or(given)
    };
    Ok(BatchNormResult {
        running_mean: updated("running_mean", inputs.running_mean),
        running_var: updated("running_var", inputs.running_var),
        output: computed.outputs.output,
    })
}

impl OnCpu for BatchNorm {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let params = &self.params;
        let mut running_mean = inputs.running_mean.clone();
        let mut running_var = inputs.running_var.clone();
        let elements = |array: &Option<ArrayD<f32>>| array.as_ref().map(elements_of);
        let given = BatchNormInputs {
            running_mean: elements(&inputs.running_mean),
            running_var: elements(&inputs.running_var),
            weight: elements(&inputs.weight),
            bias: elements(&inputs.bias),
            ..BatchNormInputs::new(elements_of(&inputs.input))
        };
        let channels = if inputs.input.is_empty() { 0 } else { self.channels };
        // PyTorch's statistics of no values.
        let mut saved = self.with_saved.then(|| [Array1::zeros(self.channels), Array1::zeros(self.channels)]);
        let shape = (self.batch, self.channels, self.inner);
        let values =
            Array3::from_shape_vec(shape, given.input.clone()).expect("batch, channels and the rest make up the input");
        let mut output = values.clone();
        for channel in 0..channels {
            let mut of_channel = output.index_axis_mut(ndarray::Axis(1), channel);
            let count = of_channel.len() as f64;
            let of =
                |values: &Option<Vec<f64>>, default: f64| values.as_ref().map_or(default, |values| values[channel]);
            let (mean, variance) = if params.training {
                let mean = of_channel.sum() / count;
                let squares: f64 = of_channel.iter().map(|x| (x - mean) * (x - mean)).sum();
                let momentum = params.momentum;
                let update = |running: &mut Option<ArrayD<f32>>, new: f64| {
                    if let Some(running) = running {
                        let old = f64::from(running[[channel]]);
                        running[[channel]] = ((1.0 - momentum) * old + momentum * new) as f32;
                    }
                };
                update(&mut running_mean, mean);
                update(&mut running_var, squares / (count - 1.0));
                if let Some([means, deviations]) = &mut saved {
                    means[channel] = mean as f32;
                    deviations[channel] = (1.0 / (squares / count + params.eps).sqrt()) as f32;
                }
                (mean, squares / count)
            } else {
                (of(&given.running_mean, 0.0), of(&given.running_var, 1.0))
            };
            let factor = of(&given.weight, 1.0) / (variance + params.eps).sqrt();
            let bias = of(&given.bias, 0.0);
            of_channel.mapv_inplace(|x| match (x - mean) * factor + bias {
                y if y.is_finite() => y,
                // Multiplied out as in PyTorch, which decides which infinities cancel.
                _ => x * factor + (bias - mean * factor),
            });
        }
        let output =
            output.into_shape_with_order(IxDyn(inputs.input.shape())).expect("the output has the input's shape");
        let arguments = [&None, &inputs.activation_weight];
        let output = finished(&self.epilogue, output, arguments, [self.channels.max(1), self.inner.max(1)]);
        let [saved_mean, saved_invstd] = saved.map_or([None, None], |saved| saved.map(|array| Some(array.into_dyn())));
        let mut computed = Computed::new(BatchNormOutputs { output, saved_mean, saved_invstd });
        if params.training {
            let running = [("running_mean", running_mean), ("running_var", running_var)];
            computed.updated = running.into_iter().filter_map(|(name, array)| Some((name.into(), array?))).collect();
        }
        Ok(computed)
    }
}
