//! A workload's parameters and inputs, read as what an operator takes.

use wgdnn::{
    AvgPool2dParams, BatchNormArguments, BatchNormParams, Conv2dAlgorithm, Conv2dParams, ConvTranspose2dAlgorithm,
    ConvTranspose2dParams, CrossEntropyParams, MaxPool2dParams, MseLossParams, RoiPoolParams,
};

use super::workload::{Unsupported, Workload};

/// The operators that there are workloads for.
pub const OPERATORS: &[&str] = &[
    "conv2d",
    "conv_transpose2d",
    "max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "cross_entropy",
    "sigmoid",
    "mse_loss",
    "roi_pool",
];

/// The inputs and parameters of an operator. Inputs of floats and of integers are arrays, say, or only their shapes.
pub enum Inputs<F, I> {
    Conv2d { x: F, weight: F, bias: Option<F>, params: Conv2dParams },
    ConvTranspose2d { x: F, weight: F, bias: Option<F>, params: ConvTranspose2dParams },
    MaxPool2d { x: F, params: MaxPool2dParams },
    AvgPool2d { x: F, params: AvgPool2dParams },
    BatchNorm { x: F, arguments: BatchNormArguments<F>, params: BatchNormParams },
    CrossEntropy { logits: F, classes: I, params: CrossEntropyParams },
    Sigmoid { x: F },
    MseLoss { x: F, target: F, params: MseLossParams },
    RoiPool { x: F, boxes: F, params: RoiPoolParams },
}

/// Finds the algorithm of this name in any case, with or without dashes.
fn named<T: Copy + std::fmt::Debug>(all: &[T], name: Option<&str>) -> Result<Option<T>, Unsupported> {
    let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
    let Some(name) = name else { return Ok(None) };
    let found = all.iter().find(|algorithm| plain(&format!("{algorithm:?}")) == plain(name));
    found.copied().map(Some).ok_or_else(|| Unsupported(format!("the algorithm {name}")))
}

/// The names of all algorithms.
pub fn algorithms() -> Vec<String> {
    let of_conv2d = Conv2dAlgorithm::ALL.iter().map(|algorithm| format!("{algorithm:?}"));
    let mut names: Vec<_> =
        of_conv2d.chain(ConvTranspose2dAlgorithm::ALL.iter().map(|algorithm| format!("{algorithm:?}"))).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether an operator has an algorithm of this name.
pub fn is_algorithm(name: &str) -> bool {
    named(Conv2dAlgorithm::ALL, Some(name)).is_ok() || named(ConvTranspose2dAlgorithm::ALL, Some(name)).is_ok()
}

impl<F, I> Inputs<F, I> {
    /// Reads a workload, with inputs that are made by name.
    pub fn new(
        workload: &Workload,
        algorithm: Option<&str>,
        floats: impl Fn(&str) -> Result<F, Unsupported>,
        labels: impl Fn(&str) -> Result<I, Unsupported>,
    ) -> Result<Self, Unsupported> {
        let pair = |name, default| workload.pair(name, default);
        let bias = || if workload.flag("bias") { floats("bias").map(Some) } else { Ok(None) };
        let takes_no_algorithm = || named::<()>(&[], algorithm).map(drop);
        let reduction = |default| match workload.params.get("reduction").and_then(|name| name.as_str()) {
            None => Ok(default),
            Some("none") => Ok(wgdnn::Reduction::None),
            Some("mean") => Ok(wgdnn::Reduction::Mean),
            Some("sum") => Ok(wgdnn::Reduction::Sum),
            Some(other) => Err(Unsupported(format!("the reduction {other}"))),
        };
        Ok(match &*workload.op {
            "conv2d" => Inputs::Conv2d {
                x: floats("x")?,
                weight: floats("weight")?,
                bias: bias()?,
                params: Conv2dParams {
                    stride: pair("stride", 1)?,
                    padding: pair("padding", 0)?.into(),
                    dilation: pair("dilation", 1)?,
                    groups: pair("groups", 1)?[0],
                    algorithm: named(Conv2dAlgorithm::ALL, algorithm)?.unwrap_or_default(),
                },
            },
            "conv_transpose2d" => Inputs::ConvTranspose2d {
                x: floats("x")?,
                weight: floats("weight")?,
                bias: bias()?,
                params: ConvTranspose2dParams {
                    stride: pair("stride", 1)?,
                    padding: pair("padding", 0)?,
                    output_padding: pair("output_padding", 0)?,
                    groups: pair("groups", 1)?[0],
                    dilation: pair("dilation", 1)?,
                    algorithm: named(ConvTranspose2dAlgorithm::ALL, algorithm)?.unwrap_or_default(),
                },
            },
            "max_pool2d" => {
                takes_no_algorithm()?;
                let kernel = pair("kernel", 1)?;
                let (stride, padding) = (Some(pair("stride", kernel[0])?), pair("padding", 0)?);
                let params = MaxPool2dParams { stride, padding, ..MaxPool2dParams::new(kernel) };
                Inputs::MaxPool2d { x: floats("x")?, params }
            }
            "avg_pool2d" => {
                takes_no_algorithm()?;
                let kernel = pair("kernel", 1)?;
                let (stride, padding) = (Some(pair("stride", kernel[0])?), pair("padding", 0)?);
                let params = AvgPool2dParams { stride, padding, ..AvgPool2dParams::new(kernel) };
                Inputs::AvgPool2d { x: floats("x")?, params }
            }
            "batch_norm" => {
                takes_no_algorithm()?;
                let training = workload.flag("training");
                let running = |name| if training { Ok(None) } else { floats(name).map(Some) };
                Inputs::BatchNorm {
                    x: floats("x")?,
                    arguments: BatchNormArguments {
                        running_mean: running("mean")?,
                        running_var: running("var")?,
                        weight: Some(floats("gamma")?),
                        bias: Some(floats("beta")?),
                    },
                    params: BatchNormParams { training, eps: workload.number("eps", 1e-5), ..Default::default() },
                }
            }
            "cross_entropy" => {
                takes_no_algorithm()?;
                let default = CrossEntropyParams::default();
                Inputs::CrossEntropy {
                    logits: floats("logits")?,
                    classes: labels("target")?,
                    params: CrossEntropyParams { reduction: reduction(default.reduction)?, ..default },
                }
            }
            "sigmoid" => {
                takes_no_algorithm()?;
                Inputs::Sigmoid { x: floats("x")? }
            }
            "mse_loss" => {
                takes_no_algorithm()?;
                Inputs::MseLoss {
                    x: floats("x")?,
                    target: floats("target")?,
                    params: MseLossParams { reduction: reduction(MseLossParams::default().reduction)? },
                }
            }
            "roi_pool" => {
                takes_no_algorithm()?;
                let params = RoiPoolParams {
                    spatial_scale: workload.number("scale", 1.0) as f32,
                    ..RoiPoolParams::new(pair("output", 7)?)
                };
                Inputs::RoiPool { x: floats("x")?, boxes: floats("rois")?, params }
            }
            other => {
                debug_assert!(!OPERATORS.contains(&other));
                return Err(Unsupported(format!("the operator {other}")));
            }
        })
    }
}
