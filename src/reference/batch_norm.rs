use ndarray::{Array3, ArrayD, IxDyn};

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
    input: &ArrayD<f32>,
    arguments: &BatchNormArguments<&ArrayD<f32>>,
    params: &BatchNormParams,
) -> Result<BatchNormOutput> {
    let operator = BatchNorm::new(input.shape(), &arguments.as_map(|array| array.shape()), params)?;
    let mut running_mean = arguments.running_mean.cloned();
    let mut running_var = arguments.running_var.cloned();
    if input.is_empty() {
        return Ok(BatchNormOutput { output: input.clone(), running_mean, running_var });
    }

    let shape = (operator.batch, operator.channels, operator.inner);
    let values = Array3::from_shape_vec(shape, input.iter().map(|&x| f64::from(x)).collect())
        .expect("batch, channels and the rest make up the input");
    let mut output = values.clone();
    for channel in 0..operator.channels {
        let mut of_channel = output.index_axis_mut(ndarray::Axis(1), channel);
        let count = of_channel.len() as f64;
        let of = |array: Option<&ArrayD<f32>>, default: f64| array.map_or(default, |array| f64::from(array[[channel]]));
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
            (of(arguments.running_mean, 0.0), of(arguments.running_var, 1.0))
        };
        let factor = of(arguments.weight, 1.0) / (variance + params.eps).sqrt();
        let bias = of(arguments.bias, 0.0);
        of_channel.mapv_inplace(|x| (x - mean) * factor + bias);
    }
    let output = output
        .mapv(|x| x as f32)
        .into_shape_with_order(IxDyn(input.shape()))
        .expect("the output has the input's shape");
    Ok(BatchNormOutput { output, running_mean, running_var })
}
