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
use crate::operator::{Gradient, Name};

use super::{Call, Case, CaseArray, GRAD_OUTPUT, Outputs, Refusal, any_array, parameters_of, takes};

/// An entry of a workload file.
#[derive(Debug, Clone, Deserialize)]
pub struct Workload {
    pub id: String,
    pub op: String,
    pub params: Map<String, Value>,
    /// Inputs of one name are a list.
    pub inputs: Vec<Input>,
    /// Those of a backward pass are the gradients that are wanted.
    #[serde(default)]
    pub outputs: Vec<Output>,
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

#[derive(Debug, Clone, Deserialize)]
pub struct Output {
    pub name: String,
    pub shape: Vec<usize>,
}

/// What a workload runs of its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    Backward,
    Both,
}

/// Makes the array of an input.
type ArrayOf<'a> = &'a dyn Fn(&Input) -> Result<CaseArray, Refusal>;

/// Makes a call's outputs.
type OutputsOf<'a> = &'a dyn Fn(&Call) -> Result<Outputs, Refusal>;

/// Arguments and parameters that workloads call otherwise than PyTorch.
const ALIASES: [(&str, &str); 11] = [
    ("x", "input"),
    ("dy", GRAD_OUTPUT),
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
    /// Its call, on the same data every time. Forward and backward are two calls where the operator does not do both in one.
    pub fn calls(&self) -> Result<Vec<Call>, Refusal> {
        let array = |input: &Input| match input.init.starts_with("labels:") {
            true => self.labels(input).map(CaseArray::from),
            false => self.floats(input).map(CaseArray::F32),
        };
        self.calls_on(&array, &Call::run_reference)
    }

    /// Its calls on zeros, for code that only looks at the shapes.
    pub fn planned(&self) -> Result<Vec<Call>, Refusal> {
        let zeros = |input: &Input| {
            count(&input.name, &input.shape)?;
            let shape = IxDyn(&input.shape);
            Ok(match input.init.starts_with("labels:") {
                true => CaseArray::I64(ArrayD::zeros(shape)),
                false => CaseArray::F32(ArrayD::zeros(shape)),
            })
        };
        self.calls_on(&zeros, &|call| Ok(call.output_zeros()))
    }

    fn calls_on(&self, array: ArrayOf<'_>, outputs_of: OutputsOf<'_>) -> Result<Vec<Call>, Refusal> {
        let (op, pass) = self.pass();
        let gradients = self.gradients();
        let zeros = if pass == Pass::Forward { &[][..] } else { &gradients };
        let (forward, of_zeros) = self.forward(op, array, zeros)?;
        if pass == Pass::Forward {
            return Ok(vec![forward]);
        }
        if pass == Pass::Both {
            let names: Vec<_> = gradients.iter().map(|gradient| &*gradient.name).collect();
            if let Some(both) = forward.returning(&names)? {
                return Ok(vec![both]);
            }
        }
        let forward = forward.saving()?;
        let backward = self.backward(&forward, &gradients, &of_zeros, array, outputs_of)?;
        Ok(if pass == Pass::Both { vec![forward, backward] } else { vec![backward] })
    }

    /// The operator's name, and what is run of it.
    fn pass(&self) -> (&str, Pass) {
        // What follows tells the gradient, which the outputs tell too.
        let marks = [("_fwdbwd", Pass::Both), ("_bwd", Pass::Backward)].into_iter();
        let mut found = marks.filter_map(|(mark, pass)| Some((self.op.split_once(mark)?.0, pass)));
        found.next().unwrap_or((&self.op, Pass::Forward))
    }

    /// The gradients among the outputs, by their names in the operator. `dx` is that of `x`.
    fn gradients(&self) -> Vec<Output> {
        let gradient = |output: &Output| {
            let of = pytorchs(output.name.strip_prefix('d')?);
            Some(Output { name: format!("grad_{of}"), shape: output.shape.clone() })
        };
        self.outputs.iter().filter_map(gradient).collect()
    }

    /// The operator's call, and the names of the inputs that are zeros since only their gradients are given.
    fn forward(&self, op: &str, array: ArrayOf<'_>, gradients: &[Output]) -> Result<(Call, Vec<String>), Refusal> {
        let unsupported = || Refusal::Unsupported(format!("the operator {}", self.op));
        let known = parameters_of(op).ok_or_else(unsupported)?;
        // For example a convolution's kernel size follows from its weight.
        let params = self.params.iter().map(|(name, value)| (pytorchs(name), value));
        let params =
            params.filter(|(name, _)| known.contains(name)).map(|(name, value)| (name.to_owned(), value.clone()));
        let (mut inputs, mut lists) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
        let mut give = |inputs: &mut BTreeMap<_, Vec<_>>, name: &str, array| {
            let of_name = inputs.entry(name.to_owned()).or_default();
            of_name.push(Arc::new(array));
            lists.extend((of_name.len() > 1).then(|| name.to_owned()));
        };
        for input in &self.inputs {
            let name = pytorchs(&input.name);
            if takes(op, name) {
                give(&mut inputs, name, array(input)?);
            }
        }
        let is_given = |name: &str| inputs.contains_key(name);
        let missing = gradients.iter().filter_map(|gradient| Some((gradient.name.strip_prefix("grad_")?, gradient)));
        let missing: Vec<_> = missing.filter(|(name, _)| takes(op, name) && !is_given(name)).collect();
        for (name, gradient) in &missing {
            count(name, &gradient.shape)?;
            give(&mut inputs, name, CaseArray::F32(ArrayD::zeros(IxDyn(&gradient.shape))));
        }
        let call = Call::of_case(&Case {
            id: self.id.clone(),
            op: op.to_owned(),
            params: params.collect(),
            inputs,
            lists,
            outputs: BTreeMap::new(),
            is_error: false,
        })?;
        let missing = missing.into_iter().map(|(name, _)| name.to_owned()).collect();
        let Some(name) = &self.activation else { return Ok((call, missing)) };
        let unsupported = || Refusal::Unsupported(format!("{} with the activation {name:?}", self.op));
        let activated = call.activated(Activation::named(name).ok_or_else(unsupported)?)?;
        Ok((activated.ok_or_else(unsupported)?, missing))
    }

    /// The backward pass for these gradients. Without a gradient of the output it is ones.
    fn backward(
        &self,
        forward: &Call,
        gradients: &[Output],
        of_zeros: &[String],
        array: ArrayOf<'_>,
        outputs_of: OutputsOf<'_>,
    ) -> Result<Call, Refusal> {
        let unsupported = |what: &str| Refusal::Unsupported(format!("{}: {what}", self.op));
        let differentiable = forward.differentiable().ok_or_else(|| unsupported("the backward pass"))?;
        let known = differentiable.gradient_shapes_by_name();
        if let Some(unknown) = gradients.iter().find(|wanted| known.iter().all(|(name, _)| name.field != wanted.name)) {
            return Err(unsupported(&unknown.name));
        }
        let is_wanted = |name: &Name| gradients.iter().any(|wanted| name.field == wanted.name);
        let wanted = known.into_iter().filter(|(name, _)| is_wanted(name));
        let wanted: Vec<_> = wanted.map(|(name, _)| (name, Gradient::Write)).collect();

        let grad_output = match self.inputs.iter().find(|input| pytorchs(&input.name) == GRAD_OUTPUT) {
            Some(input) => array(input)?,
            None => CaseArray::F32(ArrayD::ones(IxDyn(&forward.operator().output_shape()))),
        };
        let others = [(GRAD_OUTPUT.into(), any_array(&grad_output))];
        let needed = differentiable.backward_by_name(&wanted)?.input_names();
        if let Some(name) = needed.iter().find(|name| of_zeros.iter().any(|zeros| zeros == name.field)) {
            return Err(Refusal::BadCase(format!("{}: the backward pass needs the input {name}", self.id)));
        }
        let is_there = |name: &Name| others.iter().chain(forward.arrays()).any(|(other, _)| other == name);
        let outputs = if needed.iter().all(is_there) { Outputs::new() } else { outputs_of(forward)? };
        forward.backward(&wanted, &outputs, &others)
    }

    /// An input of floats; the same every time.
    fn floats(&self, input: &Input) -> Result<ArrayD<f32>, Refusal> {
        // Inputs of one name hold the same, which is no matter.
        let name = &*input.name;
        let mut parts = input.init.split(':');
        let kind = parts.next().unwrap_or_default();
        let numbers: Vec<f32> = parts.filter_map(|part| part.parse().ok()).collect();
        let mut random = self.random(name);
        let count = count(name, &input.shape)?;
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
        count(name, &input.shape)?;
        let mut random = self.random(name);
        Ok(ArrayD::from_shape_simple_fn(IxDyn(&input.shape), || random.random_range(0..classes)))
    }

    fn random(&self, name: &str) -> StdRng {
        let mut hasher = DefaultHasher::new();
        (&self.id, name).hash(&mut hasher);
        StdRng::seed_from_u64(hasher.finish())
    }
}

/// The number of elements of an argument, if a tensor can have this many.
fn count(name: &str, shape: &[usize]) -> Result<usize, Refusal> {
    let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length));
    let is_a_tensors = |count: &usize| *count as u64 <= crate::MAX_TENSOR_BYTES / 4;
    count.filter(is_a_tensors).ok_or_else(|| Refusal::Unsupported(format!("{name}: shape {shape:?}")))
}

/// A box of whole pixels within an image: image, x1, y1, x2, y2.
fn region(random: &mut StdRng, rows: f32, cols: f32, images: f32) -> [f32; 5] {
    let mut draw = |low: f32, high: f32| random.random_range(low..high.max(low + 1.0));
    let (x, y) = (draw(0.0, cols * 0.8), draw(0.0, rows * 0.8));
    let (right, bottom) = (x + draw(16.0, cols * 0.5), y + draw(16.0, rows * 0.5));
    let image = draw(0.0, images).floor().min(images - 1.0);
    [image, x.round(), y.round(), right.min(cols - 1.0).round(), bottom.min(rows - 1.0).round()]
}
