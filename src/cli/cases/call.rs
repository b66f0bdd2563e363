//! A case's call, with typed arguments, and its run on the CPU references.

use std::sync::Arc;

use ndarray::ArrayD;
use serde_json::Value;
use wgdnn::{
    AvgPool2dParams, BatchNormArguments, BatchNormParams, Boxes, Conv2d, Conv2dAlgorithm, Conv2dParams,
    ConvTranspose2dAlgorithm, ConvTranspose2dParams, CrossEntropyParams, CrossEntropyTarget, Error, FlattenParams,
    MaxPool2dParams, MseLossParams, Padding, RoiPoolParams, reference,
};

use super::arguments::{Inputs, Params, pair};
use super::{Case, CaseArray, Outputs, Refusal};

/// The boxes of a case.
#[derive(Debug, Clone)]
pub enum CaseBoxes {
    Indexed(ArrayD<f32>),
    PerImage(Vec<ArrayD<f32>>),
}

impl CaseBoxes {
    pub fn view(&self) -> Boxes<'_> {
        match self {
            CaseBoxes::Indexed(boxes) => Boxes::Indexed(boxes),
            CaseBoxes::PerImage(boxes) => Boxes::PerImage(boxes),
        }
    }
}

/// The target of a cross entropy case.
pub type CaseTarget = CrossEntropyTarget<ArrayD<i64>, ArrayD<f32>>;

/// An operator's call with typed arguments.
#[derive(Debug, Clone)]
pub enum Call {
    MaxPool2d {
        input: ArrayD<f32>,
        params: MaxPool2dParams,
    },
    AvgPool2d {
        input: ArrayD<f32>,
        params: AvgPool2dParams,
    },
    Conv2d {
        input: ArrayD<f32>,
        weight: ArrayD<f32>,
        bias: Option<ArrayD<f32>>,
        params: Conv2dParams,
    },
    ConvTranspose2d {
        input: ArrayD<f32>,
        weight: ArrayD<f32>,
        bias: Option<ArrayD<f32>>,
        params: ConvTranspose2dParams,
    },
    Flatten {
        input: ArrayD<f32>,
        params: FlattenParams,
    },
    Sigmoid {
        input: ArrayD<f32>,
    },
    RoiPool {
        input: ArrayD<f32>,
        boxes: CaseBoxes,
        params: RoiPoolParams,
    },
    BatchNorm {
        input: ArrayD<f32>,
        arguments: BatchNormArguments<ArrayD<f32>>,
        params: BatchNormParams,
    },
    CrossEntropy {
        input: ArrayD<f32>,
        target: CaseTarget,
        weight: Option<ArrayD<f32>>,
        params: CrossEntropyParams,
    },
    MseLoss {
        input: ArrayD<f32>,
        target: ArrayD<f32>,
        params: MseLossParams,
    },
}

impl Call {
    /// Reads a case's call.
    pub fn new(case: &Case) -> Result<Call, Refusal> {
        let mut params = Params { op: &case.op, left: case.params.clone() };
        let mut inputs = Inputs { op: &case.op, left: case.inputs.clone(), lists: &case.lists };
        let mut call = Self::read(&case.op, &mut params, &mut inputs)?;
        params.finish()?;
        inputs.finish()?;
        if let Call::MaxPool2d { params, .. } = &mut call {
            // A case that expects indices asks for them, whatever its parameters say.
            params.return_indices |= case.outputs.contains_key("indices");
        }
        Ok(call)
    }

    fn read(op: &str, params: &mut Params<'_>, inputs: &mut Inputs<'_>) -> Result<Call, Refusal> {
        Ok(match op {
            "max_pool2d" => {
                let kernel_size = params.pair("kernel_size")?;
                let default = MaxPool2dParams::new(params.required("kernel_size", kernel_size)?);
                Call::MaxPool2d {
                    input: inputs.f32("input")?,
                    params: MaxPool2dParams {
                        stride: params.pool_stride()?,
                        padding: params.pair("padding")?.unwrap_or(default.padding),
                        dilation: params.pair("dilation")?.unwrap_or(default.dilation),
                        ceil_mode: params.flag("ceil_mode")?.unwrap_or(default.ceil_mode),
                        return_indices: params.flag("return_indices")?.unwrap_or(default.return_indices),
                        ..default
                    },
                }
            }
            "avg_pool2d" => {
                params.accept_none("divisor_override");
                let kernel_size = params.pair("kernel_size")?;
                let default = AvgPool2dParams::new(params.required("kernel_size", kernel_size)?);
                let include = params.flag("count_include_pad")?;
                Call::AvgPool2d {
                    input: inputs.f32("input")?,
                    params: AvgPool2dParams {
                        stride: params.pool_stride()?,
                        padding: params.pair("padding")?.unwrap_or(default.padding),
                        ceil_mode: params.flag("ceil_mode")?.unwrap_or(default.ceil_mode),
                        count_include_pad: include.unwrap_or(default.count_include_pad),
                        divisor_override: params.integer("divisor_override")?,
                        ..default
                    },
                }
            }
            "conv2d" => {
                let default = Conv2dParams::default();
                let padding = |value: &Value| match value.as_str() {
                    Some("same") => Some(Padding::Same),
                    Some("valid") => Some(Padding::Valid),
                    Some(_) => None,
                    None => pair(value).map(Padding::Explicit),
                };
                let expected = "\"same\", \"valid\", a whole number of 0 or more, or two of them";
                Call::Conv2d {
                    input: inputs.f32("input")?,
                    weight: inputs.f32("weight")?,
                    bias: inputs.optional_f32("bias")?,
                    params: Conv2dParams {
                        stride: params.pair("stride")?.unwrap_or(default.stride),
                        padding: params.take("padding", expected, padding)?.unwrap_or(default.padding),
                        dilation: params.pair("dilation")?.unwrap_or(default.dilation),
                        groups: params.size("groups")?.unwrap_or(default.groups),
                        ..default
                    },
                }
            }
            "conv_transpose2d" => {
                let default = ConvTranspose2dParams::default();
                let output_padding = params.pair("output_padding")?;
                Call::ConvTranspose2d {
                    input: inputs.f32("input")?,
                    weight: inputs.f32("weight")?,
                    bias: inputs.optional_f32("bias")?,
                    params: ConvTranspose2dParams {
                        stride: params.pair("stride")?.unwrap_or(default.stride),
                        padding: params.pair("padding")?.unwrap_or(default.padding),
                        output_padding: output_padding.unwrap_or(default.output_padding),
                        groups: params.size("groups")?.unwrap_or(default.groups),
                        dilation: params.pair("dilation")?.unwrap_or(default.dilation),
                        ..default
                    },
                }
            }
            "flatten" => {
                let default = FlattenParams::default();
                let mut dim = |name| params.integer(name).map(|dim| dim.map(|dim| dim as isize));
                Call::Flatten {
                    input: inputs.f32("input")?,
                    params: FlattenParams {
                        start_dim: dim("start_dim")?.unwrap_or(default.start_dim),
                        end_dim: dim("end_dim")?.unwrap_or(default.end_dim),
                    },
                }
            }
            "sigmoid" => Call::Sigmoid { input: inputs.f32("input")? },
            "roi_pool" => {
                let output_size = params.strict_pair("output_size")?;
                let default = RoiPoolParams::new(params.required("output_size", output_size)?);
                let floats = |array: &Arc<CaseArray>| match &**array {
                    CaseArray::F32(array) => Ok(array.clone()),
                    CaseArray::I64(_) => inputs.wrong("boxes", "floats, got integers"),
                };
                let mut arrays = match inputs.left.get("boxes") {
                    Some(arrays) => arrays.iter().map(floats).collect::<Result<Vec<_>, _>>()?,
                    None => return inputs.wrong("boxes", "an array or a list of them, got none"),
                };
                inputs.left.remove("boxes");
                let boxes = match arrays.pop() {
                    Some(boxes) if !inputs.lists.contains("boxes") => CaseBoxes::Indexed(boxes),
                    last => CaseBoxes::PerImage(arrays.into_iter().chain(last).collect()),
                };
                Call::RoiPool {
                    input: inputs.f32("input")?,
                    boxes,
                    params: RoiPoolParams {
                        spatial_scale: params
                            .number("spatial_scale")?
                            .map_or(default.spatial_scale, |scale| scale as f32),
                        ..default
                    },
                }
            }
            "batch_norm" => {
                let default = BatchNormParams::default();
                Call::BatchNorm {
                    input: inputs.f32("input")?,
                    arguments: BatchNormArguments {
                        running_mean: inputs.optional_f32("running_mean")?,
                        running_var: inputs.optional_f32("running_var")?,
                        weight: inputs.optional_f32("weight")?,
                        bias: inputs.optional_f32("bias")?,
                    },
                    params: BatchNormParams {
                        training: params.flag("training")?.unwrap_or(default.training),
                        momentum: params.number("momentum")?.unwrap_or(default.momentum),
                        eps: params.number("eps")?.unwrap_or(default.eps),
                    },
                }
            }
            "cross_entropy" => {
                let default = CrossEntropyParams::default();
                let target = match inputs.optional("target")? {
                    Some(CaseArray::I64(classes)) => CrossEntropyTarget::Classes(classes),
                    Some(CaseArray::F32(probabilities)) => CrossEntropyTarget::Probabilities(probabilities),
                    None => return inputs.wrong("target", "an array, got none"),
                };
                Call::CrossEntropy {
                    input: inputs.f32("input")?,
                    target,
                    weight: inputs.optional_f32("weight")?,
                    params: CrossEntropyParams {
                        ignore_index: params.integer("ignore_index")?.unwrap_or(default.ignore_index),
                        reduction: params.reduction()?,
                        label_smoothing: params.number("label_smoothing")?.unwrap_or(default.label_smoothing),
                    },
                }
            }
            "mse_loss" => Call::MseLoss {
                input: inputs.f32("input")?,
                target: inputs.f32("target")?,
                params: MseLossParams { reduction: params.reduction()? },
            },
            _ => return Err(Refusal::Unsupported(format!("the operator {op:?}"))),
        })
    }

    /// The call by every algorithm that its operator has for it, with their names.
    pub fn by_every_algorithm(&self) -> Vec<(String, Call)> {
        match self {
            Call::Conv2d { input, weight, bias, params } => Conv2dAlgorithm::ALL
                .iter()
                .filter_map(|&algorithm| {
                    let params = Conv2dParams { algorithm, ..params.clone() };
                    let bias_shape = bias.as_ref().map(|bias| bias.shape());
                    let refusal = Conv2d::new(input.shape(), weight.shape(), bias_shape, &params).err();
                    if matches!(refusal, Some(Error::InvalidArgument { argument: "algorithm", .. })) {
                        return None;
                    }
                    let (input, weight, bias) = (input.clone(), weight.clone(), bias.clone());
                    Some((format!("{algorithm:?}"), Call::Conv2d { input, weight, bias, params }))
                })
                .collect(),
            Call::ConvTranspose2d { input, weight, bias, params } => ConvTranspose2dAlgorithm::ALL
                .iter()
                .map(|&algorithm| {
                    let params = ConvTranspose2dParams { algorithm, ..params.clone() };
                    let (input, weight, bias) = (input.clone(), weight.clone(), bias.clone());
                    (format!("{algorithm:?}"), Call::ConvTranspose2d { input, weight, bias, params })
                })
                .collect(),
            call => vec![("Auto".to_owned(), call.clone())],
        }
    }

    /// Runs the CPU reference.
    pub fn run_reference(&self) -> Result<Outputs, Refusal> {
        let mut outputs = Outputs::new();
        let output = match self {
            Call::MaxPool2d { input, params } => {
                let pooled = reference::max_pool2d(input, params)?;
                outputs.extend(pooled.indices.map(|indices| ("indices", indices.into())));
                pooled.output
            }
            Call::AvgPool2d { input, params } => reference::avg_pool2d(input, params)?,
            Call::Conv2d { input, weight, bias, params } => {
                reference::conv2d(input, weight, bias.as_ref().map(|bias| bias as _), params)?
            }
            Call::ConvTranspose2d { input, weight, bias, params } => {
                reference::conv_transpose2d(input, weight, bias.as_ref().map(|bias| bias as _), params)?
            }
            Call::Flatten { input, params } => reference::flatten(input, params)?,
            Call::Sigmoid { input } => reference::sigmoid(input)?,
            Call::RoiPool { input, boxes, params } => reference::roi_pool(input, &boxes.view(), params)?,
            Call::BatchNorm { input, arguments, params } => {
                let normalized = reference::batch_norm(input, &arguments.map(|array| array as _), params)?;
                let running = [("running_mean", normalized.running_mean), ("running_var", normalized.running_var)];
                outputs.extend(running.into_iter().filter_map(|(name, array)| Some((name, array?.into()))));
                normalized.output
            }
            Call::CrossEntropy { input, target, weight, params } => {
                let target = match target {
                    CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes as _),
                    CrossEntropyTarget::Probabilities(array) => CrossEntropyTarget::Probabilities(array as _),
                };
                reference::cross_entropy(input, target, weight.as_ref().map(|weight| weight as _), params)?
            }
            Call::MseLoss { input, target, params } => reference::mse_loss(input, target, params)?,
        };
        outputs.insert("output", output.into());
        Ok(outputs)
    }
}
