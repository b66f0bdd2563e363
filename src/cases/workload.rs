//! Workloads: an operator on arrays of given shapes, with data drawn from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, Uniform};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Activation;

use super::{Call, Case, CaseArray, Refusal, parameters_of, takes};

/// An entry of a workload file.
#[derive(Debug, Clone, Deserialize)]
pub struct Workload {
    pub id: String,
    pub op: String,
    pub params: Map<String, Value>,
    /// Inputs of one name are a list.
    pub inputs: Vec<Input>,
    /// What the operator applies to its output.
    #[serde(default)]
    pub activation: Option<String>,
    /// Twice the number of multiplications in the operator's definition.
    #[serde(default)]
    pub flops: f64,
    /// The bytes of every input, read once, and every output, written once.
    #[serde(default)]
    pub min_bytes: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    /// The data it is filled with: `normal[:SCALE]`, `uniform:LOW:HIGH`, `labels:CLASSES`, `rois:ROWS:COLS:IMAGES`.
    pub init: String,
}

/// Arguments and parameters that workloads call otherwise than PyTorch.
const ALIASES: [(&str, &str); 10] = [
    ("x", "input"),
    ("logits", "input"),
    ("mean", "running_mean"),
    ("var", "running_var"),
    ("gamma", "weight"),
    ("beta", "bias"),
    ("rois", "boxes"),
    ("kernel", "kernel_size"),
    ("output", "output_size"),
    ("scale", "spatial_scale"),
];

fn pytorchs(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

impl Workload {
    /// Its call, on the same data every time.
    pub fn call(&self) -> Result<Call, Refusal> {
        self.call_on(|input| match input.init.starts_with("labels:") {
            true => self.labels(input).map(CaseArray::from),
            false => self.floats(input).map(CaseArray::F32),
        })
    }

    /// Its call on zeros, for code that only looks at the shapes.
    pub fn planned(&self) -> Result<Call, Refusal> {
        self.call_on(|input| {
            count(input)?;
            let shape = IxDyn(&input.shape);
            Ok(match input.init.starts_with("labels:") {
                true => CaseArray::I64(ArrayD::zeros(shape)),
                false => CaseArray::F32(ArrayD::zeros(shape)),
            })
        })
    }

    fn call_on(&self, array: impl Fn(&Input) -> Result<CaseArray, Refusal>) -> Result<Call, Refusal> {
        let unsupported = || Refusal::Unsupported(format!("the operator {}", self.op));
        let known = parameters_of(&self.op).ok_or_else(unsupported)?;
        // For example a convolution's kernel size follows from its weight.
        let params = self.params.iter().map(|(name, value)| (pytorchs(name), value));
        let params =
            params.filter(|(name, _)| known.contains(name)).map(|(name, value)| (name.to_owned(), value.clone()));
        let (mut inputs, mut lists) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
        for input in &self.inputs {
            let name = pytorchs(&input.name);
            if takes(&self.op, name) {
                let of_name = inputs.entry(name.to_owned()).or_default();
                of_name.push(Arc::new(array(input)?));
                lists.extend((of_name.len() > 1).then(|| name.to_owned()));
            }
        }
        let call = Call::of_case(&Case {
            id: self.id.clone(),
            op: self.op.clone(),
            params: params.collect(),
            inputs,
            lists,
            outputs: BTreeMap::new(),
            is_error: false,
        })?;
        let Some(name) = &self.activation else { return Ok(call) };
        let unsupported = || Refusal::Unsupported(format!("{} with the activation {name:?}", self.op));
        call.activated(Activation::named(name).ok_or_else(unsupported)?)?.ok_or_else(unsupported)
    }

    /// An input of floats; the same every time.
    fn floats(&self, input: &Input) -> Result<ArrayD<f32>, Refusal> {
        // Inputs of one name hold the same, which is no matter.
        let name = &*input.name;
        let mut parts = input.init.split(':');
        let kind = parts.next().unwrap_or_default();
        let numbers: Vec<f32> = parts.filter_map(|part| part.parse().ok()).collect();
        let mut random = self.random(name);
        let count = count(input)?;
        let data: Vec<f32> = match (kind, &numbers[..]) {
            ("normal", scale) => {
                let scale = scale.first().copied().unwrap_or(1.0);
                let normal = |random: &mut StdRng| -> f32 { StandardNormal.sample(random) };
                (0..count).map(|_| scale * normal(&mut random)).collect()
            }
            ("uniform", &[low, high]) if low < high => {
                let uniform = Uniform::new(low, high).map_err(|error| Refusal::Unsupported(error.to_string()))?;
                uniform.sample_iter(random).take(count).collect()
            }
            ("rois", &[rows, cols, ..]) if numbers.iter().all(|number| (1.0..1e6).contains(number)) => {
                let images = numbers.get(2).copied().unwrap_or(1.0);
                (0..count / 5).flat_map(|_| region(&mut random, rows, cols, images)).collect()
            }
            _ => return Err(Refusal::Unsupported(format!("{name}: floats from {:?}", input.init))),
        };
        ArrayD::from_shape_vec(IxDyn(&input.shape), data)
            .map_err(|_| Refusal::Unsupported(format!("{name}: shape {:?}", input.shape)))
    }

    /// An input of class indices.
    fn labels(&self, input: &Input) -> Result<ArrayD<i32>, Refusal> {
        let name = &*input.name;
        let classes = input.init.strip_prefix("labels:").and_then(|classes| classes.parse::<i32>().ok());
        let Some(classes @ 1..) = classes else {
            return Err(Refusal::Unsupported(format!("{name}: labels from {:?}", input.init)));
        };
        count(input)?;
        let mut random = self.random(name);
        Ok(ArrayD::from_shape_simple_fn(IxDyn(&input.shape), || random.random_range(0..classes)))
    }

    fn random(&self, name: &str) -> StdRng {
        let mut hasher = DefaultHasher::new();
        (&self.id, name).hash(&mut hasher);
        StdRng::seed_from_u64(hasher.finish())
    }
}

/// The number of elements of an input, if a tensor can have this many.
fn count(input: &Input) -> Result<usize, Refusal> {
    let count = input.shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length));
    let is_a_tensors = |count: &usize| *count as u64 <= crate::MAX_TENSOR_BYTES / 4;
    count.filter(is_a_tensors).ok_or_else(|| Refusal::Unsupported(format!("{}: shape {:?}", input.name, input.shape)))
}

/// A box of whole pixels within an image: image, x1, y1, x2, y2.
fn region(random: &mut StdRng, rows: f32, cols: f32, images: f32) -> [f32; 5] {
    let mut draw = |low: f32, high: f32| random.random_range(low..high.max(low + 1.0));
    let (x, y) = (draw(0.0, cols * 0.8), draw(0.0, rows * 0.8));
    let (right, bottom) = (x + draw(16.0, cols * 0.5), y + draw(16.0, rows * 0.5));
    let image = draw(0.0, images).floor().min(images - 1.0);
    [image, x.round(), y.round(), right.min(cols - 1.0).round(), bottom.min(rows - 1.0).round()]
}
