//! Conformance cases: what a call of an operator must give, as data.
//!
//! A folder holds `cases.jsonl`, a case a line, and `tensors.safetensors`, their arrays. A case names an operator,
//! PyTorch's keyword parameters, its inputs and what must come out. This file reads them, runs them on the CPU
//! references and on a GPU, and compares. The program and the tests both use it.

use std::collections::BTreeMap;
use std::fmt;

use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};
use wgdnn::{
    AvgPool2dParams, BatchNormArguments, BatchNormParams, Boxes, Conv2dAlgorithm, Conv2dParams,
    ConvTranspose2dAlgorithm, ConvTranspose2dParams, CrossEntropyParams, CrossEntropyTarget, FlattenParams,
    MaxPool2dParams, MseLossParams, Padding, Reduction, RoiPoolParams, reference,
};

/// An array of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseArray {
    F32(ArrayD<f32>),
    I64(ArrayD<i64>),
}

impl From<ArrayD<f32>> for CaseArray {
    fn from(array: ArrayD<f32>) -> Self {
        CaseArray::F32(array)
    }
}

impl From<ArrayD<i32>> for CaseArray {
    fn from(array: ArrayD<i32>) -> Self {
        CaseArray::I64(array.mapv(i64::from))
    }
}

impl CaseArray {
    pub fn shape(&self) -> &[usize] {
        match self {
            CaseArray::F32(array) => array.shape(),
            CaseArray::I64(array) => array.shape(),
        }
    }
}

/// What one output of a case must be.
#[derive(Debug, Clone)]
pub struct Expected {
    pub array: CaseArray,
    /// How far a float may be off.
    pub atol: f64,
    /// The root mean square error of PyTorch's own float32, where the case tells it.
    pub rmse_float32: Option<f64>,
}

/// A line of `cases.jsonl` with its arrays.
#[derive(Debug, Clone)]
pub struct Case {
    pub id: String,
    pub op: String,
    pub params: Map<String, Value>,
    pub inputs: BTreeMap<String, Vec<CaseArray>>,
    pub outputs: BTreeMap<String, Expected>,
    /// Whether the call must be refused.
    pub is_error: bool,
}

/// Why a case cannot be run, or was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// The operator, or the typed parameters before it, refused the arguments.
    BadInput(String),
    /// The case asks for something that does not exist here.
    Unsupported(String),
    /// The case itself is wrong: a parameter that no such operator has, say.
    BadCase(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::BadInput(reason) => write!(f, "refused: {reason}"),
            Refusal::Unsupported(reason) => write!(f, "unsupported: {reason}"),
            Refusal::BadCase(reason) => write!(f, "not a case: {reason}"),
        }
    }
}

impl From<wgdnn::Error> for Refusal {
    fn from(error: wgdnn::Error) -> Self {
        Refusal::BadInput(error.to_string())
    }
}

type Outputs = BTreeMap<&'static str, CaseArray>;

/// Reads the arrays of a safetensors file; those that are neither F32 nor I64 are left out.
pub fn read_arrays(safetensors: &[u8]) -> Result<BTreeMap<String, CaseArray>, String> {
    let file = SafeTensors::deserialize(safetensors).map_err(|error| error.to_string())?;
    let mut arrays = BTreeMap::new();
    for (name, view) in file.iter() {
        let shape = IxDyn(view.shape());
        let bytes = view.data();
        let array = match view.dtype() {
            Dtype::F32 => ArrayD::from_shape_vec(shape, numbers(bytes, f32::from_le_bytes)).map(CaseArray::F32),
            Dtype::I64 => ArrayD::from_shape_vec(shape, numbers(bytes, i64::from_le_bytes)).map(CaseArray::I64),
            _ => continue,
        };
        arrays.insert(name.to_owned(), array.map_err(|error| format!("{name}: {error}"))?);
    }
    Ok(arrays)
}

fn numbers<T, const BYTES: usize>(bytes: &[u8], from: fn([u8; BYTES]) -> T) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&number| from(number)).collect()
}

/// Reads cases and their arrays.
pub fn read_cases(jsonl: &str, arrays: &BTreeMap<String, CaseArray>) -> Result<Vec<Case>, String> {
    jsonl
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| read_case(line, arrays).map_err(|reason| format!("line {}: {reason}", index + 1)))
        .collect()
}

fn read_case(line: &str, arrays: &BTreeMap<String, CaseArray>) -> Result<Case, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |key: &str| value[key].as_str().map(str::to_owned).ok_or_else(|| format!("{key} is not a text"));
    let object = |key: &str| match &value[key] {
        Value::Null => Ok(Map::new()),
        Value::Object(object) => Ok(object.clone()),
        _ => Err(format!("{key} is not an object")),
    };
    let array = |name: &Value| {
        let name = name.as_str().ok_or("an array's name is not a text")?;
        arrays.get(name).cloned().ok_or_else(|| format!("there is no array {name:?}"))
    };
    let mut inputs = BTreeMap::new();
    for (name, of) in object("inputs")? {
        let of = match of {
            Value::Array(names) => names.iter().map(array).collect::<Result<Vec<_>, _>>()?,
            name => vec![array(&name)?],
        };
        inputs.insert(name, of);
    }
    let mut outputs = BTreeMap::new();
    for (name, spec) in object("outputs")? {
        let expected = Expected {
            array: array(&spec["tensor"])?,
            atol: spec["atol"].as_f64().unwrap_or(0.0),
            rmse_float32: spec["rmse_float32"].as_f64(),
        };
        outputs.insert(name, expected);
    }
    Ok(Case {
        id: text("id")?,
        op: text("op")?,
        params: object("params")?,
        inputs,
        outputs,
        is_error: value["error"].as_bool().unwrap_or(false),
    })
}

/// A case's parameters, taken out one by one; what is left over is unknown.
struct Params<'a> {
    op: &'a str,
    left: Map<String, Value>,
}

impl Params<'_> {
    fn bad<T>(&self, name: &str, expected: &str, actual: &Value) -> Result<T, Refusal> {
        Err(Refusal::BadInput(format!("{}: {name}: expected {expected}, got {actual}", self.op)))
    }

    fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match read(&value) {
                Some(taken) => Ok(Some(taken)),
                None => self.bad(name, expected, &value),
            },
        }
    }

    fn pair(&mut self, name: &str) -> Result<Option<[usize; 2]>, Refusal> {
        self.take(name, "a whole number of 0 or more, or two of them", pair)
    }

    fn size(&mut self, name: &str) -> Result<Option<usize>, Refusal> {
        self.take(name, "a whole number of 0 or more", size)
    }

    fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        self.take(name, "a whole number", Value::as_i64)
    }

    fn number(&mut self, name: &str) -> Result<Option<f32>, Refusal> {
        self.take(name, "a number", |value| value.as_f64().map(|number| number as f32))
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        self.take(name, "true or false", Value::as_bool)
    }

    fn reduction(&mut self) -> Result<Reduction, Refusal> {
        let read = |value: &Value| match value.as_str()? {
            "none" => Some(Reduction::None),
            "mean" => Some(Reduction::Mean),
            "sum" => Some(Reduction::Sum),
            _ => None,
        };
        let reduction = self.take("reduction", "\"none\", \"mean\" or \"sum\"", read)?;
        Ok(reduction.unwrap_or_default())
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| Refusal::BadInput(format!("{}: {name}: expected one, got none", self.op)))
    }

    fn finish(self) -> Result<(), Refusal> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::BadCase(format!("{} has no parameter {name:?}", self.op))),
        }
    }
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

fn pair(value: &Value) -> Option<[usize; 2]> {
    match value.as_array().map(Vec::as_slice) {
        Some([first, second]) => Some([size(first)?, size(second)?]),
        Some(_) => None,
        None => size(value).map(|both| [both, both]),
    }
}

/// A case's inputs, taken out one by one; what is left over is unknown.
struct Inputs<'a> {
    op: &'a str,
    left: BTreeMap<String, Vec<CaseArray>>,
}

impl Inputs<'_> {
    fn wrong<T>(&self, name: &str, expected: &str) -> Result<T, Refusal> {
        Err(Refusal::BadInput(format!("{}: {name}: expected {expected}", self.op)))
    }

    fn optional(&mut self, name: &str) -> Result<Option<CaseArray>, Refusal> {
        match self.left.remove(name).map(|mut arrays| (arrays.len(), arrays.pop())) {
            None => Ok(None),
            Some((1, array)) => Ok(array),
            Some(_) => self.wrong(name, "one array, got a list"),
        }
    }

    fn optional_f32(&mut self, name: &str) -> Result<Option<ArrayD<f32>>, Refusal> {
        match self.optional(name)? {
            None => Ok(None),
            Some(CaseArray::F32(array)) => Ok(Some(array)),
            Some(CaseArray::I64(_)) => self.wrong(name, "floats, got integers"),
        }
    }

    fn f32(&mut self, name: &str) -> Result<ArrayD<f32>, Refusal> {
        match self.optional_f32(name)? {
            Some(array) => Ok(array),
            None => self.wrong(name, "an array, got none"),
        }
    }

    fn finish(self) -> Result<(), Refusal> {
        match self.left.keys().next().map(String::as_str) {
            None => Ok(()),
            Some("grad_output") => Err(Refusal::Unsupported(format!("{}: the backward pass", self.op))),
            Some(name) => Err(Refusal::BadCase(format!("{} has no input {name:?}", self.op))),
        }
    }
}

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
        let mut inputs = Inputs { op: &case.op, left: case.inputs.clone() };
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
                        stride: params.pair("stride")?,
                        padding: params.pair("padding")?.unwrap_or(default.padding),
                        dilation: params.pair("dilation")?.unwrap_or(default.dilation),
                        ceil_mode: params.flag("ceil_mode")?.unwrap_or(default.ceil_mode),
                        return_indices: params.flag("return_indices")?.unwrap_or(default.return_indices),
                        ..default
                    },
                }
            }
            "avg_pool2d" => {
                let kernel_size = params.pair("kernel_size")?;
                let default = AvgPool2dParams::new(params.required("kernel_size", kernel_size)?);
                let include = params.flag("count_include_pad")?;
                Call::AvgPool2d {
                    input: inputs.f32("input")?,
                    params: AvgPool2dParams {
                        stride: params.pair("stride")?,
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
                let output_size = params.pair("output_size")?;
                let default = RoiPoolParams::new(params.required("output_size", output_size)?);
                let floats = |array: CaseArray| match array {
                    CaseArray::F32(array) => Ok(array),
                    CaseArray::I64(_) => inputs.wrong("boxes", "floats, got integers"),
                };
                let mut arrays = match inputs.left.get("boxes") {
                    Some(arrays) => arrays.iter().cloned().map(floats).collect::<Result<Vec<_>, _>>()?,
                    None => return inputs.wrong("boxes", "an array or a list of them, got none"),
                };
                inputs.left.remove("boxes");
                // One array of 4 columns can only be the list of a single image's.
                let is_indexed = arrays.len() == 1 && arrays[0].shape().last() != Some(&4);
                let boxes = match arrays.pop() {
                    Some(boxes) if is_indexed => CaseBoxes::Indexed(boxes),
                    last => CaseBoxes::PerImage(arrays.into_iter().chain(last).collect()),
                };
                Call::RoiPool {
                    input: inputs.f32("input")?,
                    boxes,
                    params: RoiPoolParams {
                        spatial_scale: params.number("spatial_scale")?.unwrap_or(default.spatial_scale),
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

    /// The call by every algorithm that its operator has, with their names.
    pub fn by_every_algorithm(&self) -> Vec<(String, Call)> {
        match self {
            Call::Conv2d { input, weight, bias, params } => Conv2dAlgorithm::ALL
                .iter()
                .map(|&algorithm| {
                    let params = Conv2dParams { algorithm, ..params.clone() };
                    let (input, weight, bias) = (input.clone(), weight.clone(), bias.clone());
                    (format!("{algorithm:?}"), Call::Conv2d { input, weight, bias, params })
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
            Call::Conv2d { input, weight, bias, params } => reference::conv2d(input, weight, bias.as_ref(), params)?,
            Call::ConvTranspose2d { input, weight, bias, params } => {
                reference::conv_transpose2d(input, weight, bias.as_ref(), params)?
            }
            Call::Flatten { input, params } => reference::flatten(input, params)?,
            Call::Sigmoid { input } => reference::sigmoid(input)?,
            Call::RoiPool { input, boxes, params } => reference::roi_pool(input, &boxes.view(), params)?,
            Call::BatchNorm { input, arguments, params } => {
                let normalized = reference::batch_norm(input, &borrowed(arguments), params)?;
                let running = [("running_mean", normalized.running_mean), ("running_var", normalized.running_var)];
                outputs.extend(running.into_iter().filter_map(|(name, array)| Some((name, array?.into()))));
                normalized.output
            }
            Call::CrossEntropy { input, target, weight, params } => {
                let target = match target {
                    CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes),
                    CrossEntropyTarget::Probabilities(array) => CrossEntropyTarget::Probabilities(array),
                };
                reference::cross_entropy(input, target, weight.as_ref(), params)?
            }
            Call::MseLoss { input, target, params } => reference::mse_loss(input, target, params)?,
        };
        outputs.insert("output", output.into());
        Ok(outputs)
    }
}

/// References to arguments.
pub fn borrowed<T>(arguments: &BatchNormArguments<T>) -> BatchNormArguments<&T> {
    BatchNormArguments {
        running_mean: arguments.running_mean.as_ref(),
        running_var: arguments.running_var.as_ref(),
        weight: arguments.weight.as_ref(),
        bias: arguments.bias.as_ref(),
    }
}

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::*;
    use wgdnn::{Element, Gpu, Tensor};

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
                Call::ConvTranspose2d { input, weight, bias, params } => wgdnn::conv_transpose2d(
                    &upload(gpu, input)?,
                    &upload(gpu, weight)?,
                    optional(bias)?.as_ref(),
                    params,
                )?,
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
                    let output = wgdnn::batch_norm(&upload(gpu, input)?, &borrowed(&arguments), params)?;
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
}
#[cfg(feature = "gpu")]
#[allow(unused_imports)]
pub use on_gpu::class_indices;

/// How far an array of floats is from what was expected.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// The largest absolute difference, infinite where a NaN or infinity is not where it should be.
    pub largest: f64,
    /// Where that is, in row-major order.
    pub index: usize,
    /// The root mean square of the differences.
    pub rmse: f64,
}

/// The difference of one value from another.
fn distance(got: f32, expected: f32) -> f64 {
    if got == expected || (got.is_nan() && expected.is_nan()) {
        0.0
    } else if got.is_finite() && expected.is_finite() {
        (f64::from(got) - f64::from(expected)).abs()
    } else {
        f64::INFINITY
    }
}

/// Compares arrays of one shape.
pub fn difference(got: &ArrayD<f32>, expected: &ArrayD<f32>) -> Difference {
    let mut difference = Difference::default();
    let mut squares = 0.0;
    for (index, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let distance = distance(got, expected);
        squares += distance * distance;
        if distance > difference.largest {
            difference.largest = distance;
            difference.index = index;
        }
    }
    difference.rmse = (squares / got.len().max(1) as f64).sqrt();
    difference
}

/// Holds what came out of a case against what must, or says what is wrong with it.
pub fn compare(case: &Case, outputs: &Outputs) -> Result<(), String> {
    for (name, expected) in &case.outputs {
        let Some(got) = outputs.get(name.as_str()) else {
            return Err(format!("{name}: nothing came out"));
        };
        if got.shape() != expected.array.shape() {
            return Err(format!("{name}: expected shape {:?}, got {:?}", expected.array.shape(), got.shape()));
        }
        let wrong = |index: usize, got: String, expected: String, difference: f64| {
            Err(format!("{name}[{index}]: expected {expected}, got {got}, difference {difference:e}"))
        };
        match (got, &expected.array) {
            (CaseArray::F32(got), CaseArray::F32(array)) => {
                let worst = difference(got, array);
                // A bound that is NaN passes nothing.
                if worst.largest > expected.atol || expected.atol.is_nan() {
                    let at = |array: &ArrayD<f32>| array.iter().nth(worst.index).map_or(0.0, |&x| x);
                    let (got, expected) = (at(got).to_string(), at(array).to_string());
                    return wrong(worst.index, got, expected, worst.largest);
                }
            }
            (CaseArray::I64(got), CaseArray::I64(array)) => {
                let differs = got.iter().zip(array).enumerate().find(|(_, (got, expected))| got != expected);
                if let Some((index, (got, expected))) = differs {
                    let difference = (got - expected).abs() as f64;
                    return wrong(index, got.to_string(), expected.to_string(), difference);
                }
            }
            _ => return Err(format!("{name}: floats beside integers")),
        }
    }
    Ok(())
}
