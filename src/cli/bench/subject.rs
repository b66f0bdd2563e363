//! A workload made ready: its inputs on the device, a call, and what the call must give.

use ndarray::{ArrayD, Axis, Slice};
use wgdnn::{
    BatchNormArguments, Boxes, Conv2dParams, ConvTranspose2dParams, CrossEntropyTarget, Gpu, Result, Tensor, reference,
};

use super::inputs::Inputs;
use super::workload::{Unsupported, Workload};

/// Outputs are checked whole up to this many operations of the CPU reference, and in samples beyond.
const CHECKED_OPERATIONS: f64 = 3e8;

/// How many planes, channels or boxes a sample has.
const SAMPLES: usize = 8;

pub struct Subject {
    inputs: Inputs<ArrayD<f32>, ArrayD<i32>>,
    operations: f64,
}

/// A call on inputs that are on the device.
pub type Call = Box<dyn Fn() -> Result<Tensor>>;

/// How far an output is from the reference.
#[derive(Debug, Default)]
pub struct Check {
    pub max_abs_err: f64,
    /// The reference's largest magnitude.
    pub ref_max: f64,
    /// How many of how many parts were looked at, if not all.
    pub sampled: Option<(usize, usize)>,
}

impl Check {
    fn add(&mut self, got: impl IntoIterator<Item = f32>, expected: &ArrayD<f32>) {
        for (got, &expected) in got.into_iter().zip(expected) {
            let distance = (f64::from(got) - f64::from(expected)).abs();
            // A NaN is as wrong as can be.
            let distance = if distance.is_nan() { f64::INFINITY } else { distance };
            self.max_abs_err = self.max_abs_err.max(distance);
            self.ref_max = self.ref_max.max(f64::from(expected.abs()));
        }
    }
}

impl Subject {
    /// Draws a workload's inputs.
    pub fn new(workload: &Workload, algorithm: Option<&str>) -> std::result::Result<Self, Unsupported> {
        let (floats, labels) = (|name: &str| workload.floats(name), |name: &str| workload.labels(name));
        let inputs = Inputs::new(workload, algorithm, floats, labels)?;
        Ok(Subject { inputs, operations: workload.flops })
    }

    /// Uploads the inputs.
    pub fn upload(&self, gpu: &Gpu) -> Result<Call> {
        let up = |array: &ArrayD<f32>| Tensor::from_array(gpu, array);
        let optional = |array: &Option<ArrayD<f32>>| array.as_ref().map(up).transpose();
        Ok(match &self.inputs {
            Inputs::Conv2d { x, weight, bias, params } => {
                let (x, weight, bias, params) = (up(x)?, up(weight)?, optional(bias)?, params.clone());
                Box::new(move || wgdnn::conv2d(&x, &weight, bias.as_ref(), &params))
            }
            Inputs::ConvTranspose2d { x, weight, bias, params } => {
                let (x, weight, bias, params) = (up(x)?, up(weight)?, optional(bias)?, params.clone());
                Box::new(move || wgdnn::conv_transpose2d(&x, &weight, bias.as_ref(), &params))
            }
            Inputs::MaxPool2d { x, params } => {
                let (x, params) = (up(x)?, params.clone());
                Box::new(move || Ok(wgdnn::max_pool2d(&x, &params)?.output))
            }
            Inputs::AvgPool2d { x, params } => {
                let (x, params) = (up(x)?, params.clone());
                Box::new(move || wgdnn::avg_pool2d(&x, &params))
            }
            Inputs::BatchNorm { x, arguments, params } => {
                let (x, params) = (up(x)?, *params);
                let given = BatchNormArguments {
                    running_mean: optional(&arguments.running_mean)?,
                    running_var: optional(&arguments.running_var)?,
                    weight: optional(&arguments.weight)?,
                    bias: optional(&arguments.bias)?,
                };
                Box::new(move || wgdnn::batch_norm(&x, &given.as_ref(), &params))
            }
            Inputs::CrossEntropy { logits, classes, params } => {
                let (logits, classes, params) = (up(logits)?, Tensor::from_array(gpu, classes)?, *params);
                Box::new(move || wgdnn::cross_entropy(&logits, CrossEntropyTarget::Classes(&classes), None, &params))
            }
            Inputs::Sigmoid { x } => {
                let x = up(x)?;
                Box::new(move || wgdnn::sigmoid(&x))
            }
            Inputs::MseLoss { x, target, params } => {
                let (x, target, params) = (up(x)?, up(target)?, *params);
                Box::new(move || wgdnn::mse_loss(&x, &target, &params))
            }
            Inputs::RoiPool { x, boxes, params } => {
                let (x, boxes, params) = (up(x)?, boxes.clone(), params.clone());
                Box::new(move || wgdnn::roi_pool(&x, &Boxes::Indexed(&boxes), &params))
            }
        })
    }

    /// Holds an output against the CPU reference, whole or in samples.
    pub fn check(&self, output: &ArrayD<f32>) -> Result<Check> {
        let mut check = Check::default();
        // An item is an (image, channel), a channel or a box.
        let mut each = |items: usize, operations: f64, compare: &mut dyn FnMut(usize, &mut Check) -> Result<()>| {
            let count = if operations > CHECKED_OPERATIONS { SAMPLES.min(items) } else { items };
            for index in 0..count {
                let item = if count == items { index } else { index * (items - 1) / (count - 1).max(1) };
                compare(item, &mut check)?;
            }
            check.sampled = (count < items).then_some((count, items));
            Ok::<_, wgdnn::Error>(())
        };
        match &self.inputs {
            Inputs::Conv2d { x, weight, bias, params } => {
                let channels = weight.shape()[0];
                let (inputs, outputs) = (weight.shape()[1], channels / params.groups);
                let params = Conv2dParams { groups: 1, ..params.clone() };
                each(x.shape()[0] * channels, self.operations, &mut |item, check| {
                    let (image, channel) = (item / channels, item % channels);
                    let group = channel / outputs;
                    let x = part(&part(x, 0, image, 1), 1, group * inputs, inputs);
                    let bias = bias.as_ref().map(|bias| part(bias, 0, channel, 1));
                    let expected = reference::conv2d(
                        &x,
                        &part(weight, 0, channel, 1),
                        bias.as_ref().map(|bias| bias as _),
                        &params,
                    )?;
                    check.add(part(&part(output, 0, image, 1), 1, channel, 1), &expected);
                    Ok(())
                })?;
            }
            Inputs::ConvTranspose2d { x, weight, bias, params } => {
                let outputs = weight.shape()[1];
                let (inputs, channels) = (weight.shape()[0] / params.groups, outputs * params.groups);
                let params = ConvTranspose2dParams { groups: 1, ..params.clone() };
                each(x.shape()[0] * channels, self.operations, &mut |item, check| {
                    let (image, channel) = (item / channels, item % channels);
                    let group = channel / outputs;
                    let x = part(&part(x, 0, image, 1), 1, group * inputs, inputs);
                    let weight = part(&part(weight, 0, group * inputs, inputs), 1, channel % outputs, 1);
                    let bias = bias.as_ref().map(|bias| part(bias, 0, channel, 1));
                    let expected =
                        reference::conv_transpose2d(&x, &weight, bias.as_ref().map(|bias| bias as _), &params)?;
                    check.add(part(&part(output, 0, image, 1), 1, channel, 1), &expected);
                    Ok(())
                })?;
            }
            Inputs::MaxPool2d { x, params } => {
                each(x.shape()[0] * x.shape()[1], output.len() as f64 * 9.0, &mut |item, check| {
                    check.add(plane(output, item), &reference::max_pool2d(&plane(x, item), params)?.output);
                    Ok(())
                })?;
            }
            Inputs::AvgPool2d { x, params } => {
                each(x.shape()[0] * x.shape()[1], output.len() as f64 * 9.0, &mut |item, check| {
                    check.add(plane(output, item), &reference::avg_pool2d(&plane(x, item), params)?);
                    Ok(())
                })?;
            }
            Inputs::BatchNorm { x, arguments, params } => {
                each(x.shape()[1], x.len() as f64 * 10.0, &mut |channel, check| {
                    let of = |array: &Option<ArrayD<f32>>| array.as_ref().map(|array| part(array, 0, channel, 1));
                    let arguments = BatchNormArguments {
                        running_mean: of(&arguments.running_mean),
                        running_var: of(&arguments.running_var),
                        weight: of(&arguments.weight),
                        bias: of(&arguments.bias),
                    };
                    let expected =
                        reference::batch_norm(&part(x, 1, channel, 1), &arguments.map(|array| array as _), params)?;
                    check.add(part(output, 1, channel, 1), &expected.output);
                    Ok(())
                })?;
            }
            Inputs::RoiPool { x, boxes, params } => {
                let operations = output.len() as f64 * 30.0;
                each(boxes.shape()[0], operations, &mut |item, check| {
                    let expected = reference::roi_pool(x, &Boxes::Indexed(&part(boxes, 0, item, 1)), params)?;
                    check.add(part(output, 0, item, 1), &expected);
                    Ok(())
                })?;
            }
            Inputs::CrossEntropy { logits, classes, params } => {
                let classes = classes.mapv(i64::from);
                let target = CrossEntropyTarget::Classes(&classes as _);
                check.add(output.iter().copied(), &reference::cross_entropy(logits, target, None, params)?);
            }
            Inputs::Sigmoid { x } => check.add(output.iter().copied(), &reference::sigmoid(x)?),
            Inputs::MseLoss { x, target, params } => {
                check.add(output.iter().copied(), &reference::mse_loss(x, target, params)?);
            }
        }
        Ok(check)
    }
}

/// `length` of an array along an axis, from `begin` on.
fn part(array: &ArrayD<f32>, axis: usize, begin: usize, length: usize) -> ArrayD<f32> {
    array.slice_axis(Axis(axis), Slice::from(begin..begin + length)).to_owned()
}

/// One of the planes of an array (N,C,H,W), counted through all images.
fn plane(array: &ArrayD<f32>, item: usize) -> ArrayD<f32> {
    let channels = array.shape()[1];
    part(&part(array, 0, item / channels, 1), 1, item % channels, 1)
}
