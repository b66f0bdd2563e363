//! A case's run on a GPU, by eager calls.

use ndarray::ArrayD;
use wgdnn::{BatchNormArguments, CrossEntropyParams, CrossEntropyTarget, Element, Gpu, Tensor};

use super::{Call, Outputs, Refusal};

/// Class indices as the GPU takes them, with parameters that mean the same. An index that is no i32 is no class
/// either: it becomes one that is refused, or the new ignore_index.
pub fn class_indices(classes: &ArrayD<i64>, params: &CrossEntropyParams) -> (ArrayD<i32>, CrossEntropyParams) {
    let ignored = i32::try_from(params.ignore_index).unwrap_or(-1);
    let refused = if ignored == -1 { -2 } else { -1 };
    let indices = classes.mapv(|class| match i32::try_from(class) {
        _ if class == params.ignore_index => ignored,
        // A foreign index must not become the ignored one.
        Ok(class) if class != ignored => class,
        _ => refused,
    });
    (indices, CrossEntropyParams { ignore_index: ignored.into(), ..*params })
}

impl Call {
    /// Runs the operator's eager call.
    pub fn run_eager(&self, gpu: &Gpu) -> Result<Outputs, Refusal> {
        fn upload<T: Element>(gpu: &Gpu, array: &ArrayD<T>) -> Result<Tensor<T>, Refusal> {
            Ok(Tensor::from_array(gpu, array)?)
        }
        let optional = |array: &Option<ArrayD<f32>>| array.as_ref().map(|array| upload(gpu, array)).transpose();
        let mut outputs = Outputs::new();
        let output = match self {
            Call::MaxPool2d { input, params } => {
                let pooled = wgdnn::max_pool2d(&upload(gpu, input)?, params)?;
                if let Some(indices) = pooled.indices {
                    outputs.insert("indices", indices.read_blocking()?.into());
                }
                pooled.output
            }
            Call::AvgPool2d { input, params } => wgdnn::avg_pool2d(&upload(gpu, input)?, params)?,
            Call::Conv2d { input, weight, bias, params } => {
                wgdnn::conv2d(&upload(gpu, input)?, &upload(gpu, weight)?, optional(bias)?.as_ref(), params)?
            }
            Call::ConvTranspose2d { input, weight, bias, params } => {
                wgdnn::conv_transpose2d(&upload(gpu, input)?, &upload(gpu, weight)?, optional(bias)?.as_ref(), params)?
            }
            Call::Flatten { input, params } => wgdnn::flatten(&upload(gpu, input)?, params)?,
            Call::Sigmoid { input } => wgdnn::sigmoid(&upload(gpu, input)?)?,
            Call::RoiPool { input, boxes, params } => wgdnn::roi_pool(&upload(gpu, input)?, &boxes.view(), params)?,
            Call::BatchNorm { input, arguments, params } => {
                let arguments = BatchNormArguments {
                    running_mean: optional(&arguments.running_mean)?,
                    running_var: optional(&arguments.running_var)?,
                    weight: optional(&arguments.weight)?,
                    bias: optional(&arguments.bias)?,
                };
                let output = wgdnn::batch_norm(&upload(gpu, input)?, &arguments.as_ref(), params)?;
                for (name, running) in
                    [("running_mean", &arguments.running_mean), ("running_var", &arguments.running_var)]
                {
                    if let Some(running) = running {
                        outputs.insert(name, running.read_blocking()?.into());
                    }
                }
                output
            }
            Call::CrossEntropy { input, target, weight, params } => {
                let input = upload(gpu, input)?;
                let weight = optional(weight)?;
                match target {
                    CrossEntropyTarget::Classes(classes) => {
                        let (classes, params) = class_indices(classes, params);
                        let classes = upload(gpu, &classes)?;
                        let target = CrossEntropyTarget::Classes(&classes);
                        wgdnn::cross_entropy(&input, target, weight.as_ref(), &params)?
                    }
                    CrossEntropyTarget::Probabilities(array) => {
                        let array = upload(gpu, array)?;
                        let target = CrossEntropyTarget::Probabilities(&array);
                        wgdnn::cross_entropy(&input, target, weight.as_ref(), params)?
                    }
                }
            }
            Call::MseLoss { input, target, params } => {
                wgdnn::mse_loss(&upload(gpu, input)?, &upload(gpu, target)?, params)?
            }
        };
        outputs.insert("output", output.read_blocking()?.into());
        Ok(outputs)
    }
}
