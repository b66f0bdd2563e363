use ndarray::{Array3, ArrayD, IxDyn};

use super::{AsArray, elements_of};
use crate::{BatchNorm, BatchNormArguments, BatchNormParams, Result};

/// What [`batch_norm`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNormOutput {
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
pub fn batch_norm(
    input: &dyn AsArray<f32>,
    arguments: &BatchNormArguments<&dyn AsArray<f32>>,
    params: &BatchNormParams,
) -> Result<BatchNormOutput> {
    let input = input.as_view();
    let views = arguments.map(|array| array.as_view());
    let operator = BatchNorm::new(input.shape(), &views.map(|view| view.shape()), params)?;
    let mut running_mean = views.running_mean.map(|view| view.to_owned());
    let mut running_var = views.running_var.map(|view| view.to_owned());
    if input.is_empty() {
        return Ok(BatchNormOutput { output: input.to_owned(), running_mean, running_var });
    }

    let given = arguments.map(|&array| elements_of(array));
    let shape = (operator.batch, operator.channels, operator.inner);
    let values = Array3::from_shape_vec(shape, input.iter().map(|&x| f64::from(x)).collect())
        .expect("batch, channels and the rest make up the input");
    let mut output = values.clone();
    for channel in 0..operator.channels {
        let mut of_channel = output.index_axis_mut(ndarray::Axis(1), channel);
        let count = of_channel.len() as f64;
        let of = |values: &Option<Vec<f64>>, default: f64| values.as_ref().map_or(default, |values| values[channel]);
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
            (mean, squares / count)
        } else {
            (of(&given.running_mean, 0.0), of(&given.running_var, 1.0))
        };
        let factor = of(&given.weight, 1.0) / (variance + params.eps).sqrt();
        let bias = of(&given.bias, 0.0);
        of_channel.mapv_inplace(|x| match (x - mean) * factor + bias {
            y if y.is_finite() => y,
            // PyTorch multiplies it out, which decides what infinities cancel.
            _ => x * factor + (bias - mean * factor),
        });
    }
    let output = output
        .mapv(|x| x as f32)
        .into_shape_with_order(IxDyn(input.shape()))
        .expect("the output has the input's shape");
    Ok(BatchNormOutput { output, running_mean, running_var })
}
