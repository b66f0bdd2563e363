//! Workloads: an operator on arrays of given shapes, with data drawn from a seed.

use std::hash::{DefaultHasher, Hash, Hasher};

use ndarray::{ArrayD, IxDyn};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal, Uniform};
use serde::Deserialize;
use serde_json::{Map, Value};

/// An entry of a workload file.
#[derive(Debug, Clone, Deserialize)]
pub struct Workload {
    pub id: String,
    pub op: String,
    pub params: Map<String, Value>,
    pub inputs: Vec<Input>,
    /// Twice the multiplications that its definition has.
    #[serde(default)]
    pub flops: f64,
    /// Every input read once and every output written once.
    #[serde(default)]
    pub min_bytes: f64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Input {
    pub name: String,
    pub shape: Vec<usize>,
    /// What it is filled with: `normal[:SCALE]`, `uniform:LOW:HIGH`, `labels:CLASSES`, `rois:ROWS:COLS:IMAGES`.
    pub init: String,
}

/// Why a workload is not run.
#[derive(Debug)]
pub struct Unsupported(pub String);

impl Workload {
    fn input(&self, name: &str) -> Result<&Input, Unsupported> {
        let found = self.inputs.iter().find(|input| input.name == name);
        found.ok_or_else(|| Unsupported(format!("it has no input {name}")))
    }

    /// An input's shape.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>, Unsupported> {
        let input = self.input(name)?;
        count(input).map(|_| input.shape.clone())
    }

    /// An input of floats; the same every time.
    pub fn floats(&self, name: &str) -> Result<ArrayD<f32>, Unsupported> {
        let input = self.input(name)?;
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
                let uniform = Uniform::new(low, high).map_err(|error| Unsupported(error.to_string()))?;
                uniform.sample_iter(random).take(count).collect()
            }
            ("rois", &[rows, cols, ..]) if numbers.iter().all(|number| (1.0..1e6).contains(number)) => {
                let images = numbers.get(2).copied().unwrap_or(1.0);
                (0..count / 5).flat_map(|_| region(&mut random, rows, cols, images)).collect()
            }
            _ => return Err(Unsupported(format!("{name}: floats from {:?}", input.init))),
        };
        ArrayD::from_shape_vec(IxDyn(&input.shape), data)
            .map_err(|_| Unsupported(format!("{name}: shape {:?}", input.shape)))
    }

    /// An input of class indices.
    pub fn labels(&self, name: &str) -> Result<ArrayD<i32>, Unsupported> {
        let input = self.input(name)?;
        let classes = input.init.strip_prefix("labels:").and_then(|classes| classes.parse::<i32>().ok());
        let Some(classes @ 1..) = classes else {
            return Err(Unsupported(format!("{name}: labels from {:?}", input.init)));
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

    /// A whole number, or two of them: rows and columns.
    pub fn pair(&self, name: &str, default: usize) -> Result<[usize; 2], Unsupported> {
        let whole = |value: &Value| value.as_u64().map(|number| number as usize);
        let wrong = || Unsupported(format!("{name}: {:?}", self.params.get(name)));
        match self.params.get(name) {
            None => Ok([default; 2]),
            Some(Value::Array(pair)) => match &pair[..] {
                [rows, cols] => Ok([whole(rows).ok_or_else(wrong)?, whole(cols).ok_or_else(wrong)?]),
                _ => Err(wrong()),
            },
            Some(value) => whole(value).map(|number| [number; 2]).ok_or_else(wrong),
        }
    }

    pub fn number(&self, name: &str, default: f64) -> f64 {
        self.params.get(name).and_then(Value::as_f64).unwrap_or(default)
    }

    pub fn flag(&self, name: &str) -> bool {
        self.params.get(name).and_then(Value::as_bool).unwrap_or(false)
    }
}

/// How many elements an input has, if a tensor can have as many.
fn count(input: &Input) -> Result<usize, Unsupported> {
    let count = input.shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length));
    let is_a_tensors = |count: &usize| *count as u64 <= wgdnn::MAX_TENSOR_BYTES / 4;
    count.filter(is_a_tensors).ok_or_else(|| Unsupported(format!("{}: shape {:?}", input.name, input.shape)))
}

/// A box of whole pixels within an image: image, x1, y1, x2, y2.
fn region(random: &mut StdRng, rows: f32, cols: f32, images: f32) -> [f32; 5] {
    let mut draw = |low: f32, high: f32| random.random_range(low..high.max(low + 1.0));
    let (x, y) = (draw(0.0, cols * 0.8), draw(0.0, rows * 0.8));
    let (right, bottom) = (x + draw(16.0, cols * 0.5), y + draw(16.0, rows * 0.5));
    let image = draw(0.0, images).floor().min(images - 1.0);
    [image, x.round(), y.round(), right.min(cols - 1.0).round(), bottom.min(rows - 1.0).round()]
}
