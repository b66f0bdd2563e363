use ndarray::{Array1, Array3, ArrayD, Axis, IxDyn};

use super::{AsArray, compute, elements_of, finished, owned};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{
    BatchNorm, BatchNormBackwardInputs, BatchNormGradients, BatchNormInputs, BatchNormOutputs, BatchNormParams, Result,
};

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
    let mut computed = compute::<BatchNorm>(&inputs, params)?;
    let mut updated = |name: &str, given: Option<ArrayD<f32>>| computed.take_updated(name).or(given);
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
            let mut of_channel = output.index_axis_mut(Axis(1), channel);
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
            running
                .into_iter()
                .for_each(|(name, array)| array.into_iter().for_each(|array| computed.update(name, array)));
        }
        Ok(computed)
    }
}

/// The gradients of [`batch_norm`] with respect to its input, its bias and, if there is a weight, its weight: see
/// [`batch_norm_backward`](crate::batch_norm_backward).
///
/// # Errors
/// As [`BatchNorm::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for arrays that are missing or have
/// another shape.
pub fn batch_norm_backward(
    inputs: &BatchNormBackwardInputs<&dyn AsArray<f32>>,
    params: &BatchNormParams,
) -> Result<BatchNormGradients<ArrayD<f32>>> {
    let inputs = BatchNormBackwardInputs {
        grad_output: owned(inputs.grad_output),
        input: inputs.input.map(owned),
        saved_mean: inputs.saved_mean.map(owned),
        saved_invstd: inputs.saved_invstd.map(owned),
        running_mean: inputs.running_mean.map(owned),
        running_var: inputs.running_var.map(owned),
        weight: inputs.weight.map(owned),
        grad_input: inputs.grad_input.map(owned),
        grad_weight: inputs.grad_weight.map(owned),
        grad_bias: inputs.grad_bias.map(owned),
    };
    let backward = BatchNorm::all_gradients(inputs.grad_output.shape(), inputs.weight.is_some(), params)?;
    Ok(compute::<Backward<BatchNorm>>(&inputs, &backward)?.outputs)
}

impl OnCpu for Backward<BatchNorm> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let BatchNorm { batch, channels, inner, params, .. } = &self.forward;
        let elements = |array: &Option<ArrayD<f32>>| array.as_ref().map(elements_of);
        let of_channels = |elements| {
            Array3::from_shape_vec((*batch, *channels, *inner), elements)
                .expect("batch, channels and the rest make up the input")
        };
        let grad_output = of_channels(elements_of(&inputs.grad_output));
        let input = elements(&inputs.input).map(of_channels);
        // What is absent is not needed.
        let per_channel = |array: &Option<ArrayD<f32>>, default: f64| {
            Array1::from(elements(array).unwrap_or_else(|| vec![default; *channels]))
        };
        let weight = per_channel(&inputs.weight, 1.0);
        let (mean, invstd) = if params.training {
            (per_channel(&inputs.saved_mean, 0.0), per_channel(&inputs.saved_invstd, 0.0))
        } else {
            let inverse_root = |variance: f64| 1.0 / (variance + params.eps).sqrt();
            (per_channel(&inputs.running_mean, 0.0), per_channel(&inputs.running_var, 0.0).mapv(inverse_root))
        };
        let sums = |of: &Array3<f64>| of.sum_axis(Axis(2)).sum_axis(Axis(0));
        let along_channels = |of: &Array1<f64>| of.clone().insert_axis(Axis(1));

        // (input - mean) * invstd
        let normalized = input.map(|input| (input - along_channels(&mean)) * along_channels(&invstd));
        let products = normalized.as_ref().map(|normalized| sums(&(&grad_output * normalized)));
        self.computed(inputs, |name| match name.field {
            "grad_bias" => sums(&grad_output).into_dyn(),
            "grad_weight" => products.clone().unwrap_or_else(|| Array1::zeros(*channels)).into_dyn(),
            _ => {
                let mut centered = grad_output.clone();
                if let (Some(normalized), Some(products), true) = (&normalized, &products, params.training) {
                    let count = (batch * inner) as f64;
                    centered = centered
                        - along_channels(&(sums(&grad_output) / count))
                        - normalized * &along_channels(&(products / count));
                }
                let gradient = centered * along_channels(&invstd) * along_channels(&weight);
                let shape = IxDyn(inputs.grad_output.shape());
                gradient.into_shape_with_order(shape).expect("it has the input's shape")
            }
        })
    }
}
