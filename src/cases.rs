//! Conformance cases: what a call of an operator must give, as data.
//!
//! A folder holds `cases.jsonl`, one case a line, and `tensors.safetensors`, their arrays. A case names an operator,
//! PyTorch's keyword parameters, its inputs and the expected results. This module reads cases, runs them on the CPU
//! references and on a GPU, and compares. The program and the tests use it; it is not part of the public interface.

mod arguments;
mod call;
mod compare;
#[cfg(feature = "cli")]
pub mod workload;

pub use arguments::read_params;
pub use call::{Call, GRAD_OUTPUT, any_array, key_of, operators, parameters_of, takes};
pub use compare::{Difference, Verdict, compare, difference, judge};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

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

/// The expected result for one output of a case.
#[derive(Debug, Clone)]
pub struct Expected {
    pub array: Arc<CaseArray>,
    /// The largest error allowed for a float.
    pub atol: f64,
    /// The root mean square error of PyTorch's own float32, if the case gives it.
    pub rmse_float32: Option<f64>,
}

/// A line of `cases.jsonl` with its arrays.
#[derive(Debug, Clone)]
pub struct Case {
    pub id: String,
    pub op: String,
    pub params: Map<String, Value>,
    pub inputs: BTreeMap<String, Vec<Arc<CaseArray>>>,
    /// The inputs that are lists of arrays.
    pub lists: BTreeSet<String>,
    pub outputs: BTreeMap<String, Expected>,
    /// Whether the call must be refused.
    pub is_error: bool,
}

/// Why a case cannot run, or was refused.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// The operator or its parameters refused the arguments.
    BadInput(String),
    /// The case needs something that this crate does not have.
    Unsupported(String),
    /// The case itself is wrong, for example by an unknown parameter.
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

impl From<crate::Error> for Refusal {
    fn from(error: crate::Error) -> Self {
        Refusal::BadInput(error.to_string())
    }
}

/// A folder's arrays by name, which cases share.
pub type Arrays = BTreeMap<String, Arc<CaseArray>>;

/// The results of a call, by name.
pub type Outputs = BTreeMap<String, CaseArray>;

/// Reads the arrays of a safetensors file, which are F32 and I64.
pub fn read_arrays(safetensors: &[u8]) -> Result<Arrays, String> {
    let file = SafeTensors::deserialize(safetensors).map_err(|error| error.to_string())?;
    let mut arrays = Arrays::new();
    for (name, view) in file.iter() {
        let shape = IxDyn(view.shape());
        let bytes = view.data();
        let array = match view.dtype() {
            Dtype::F32 => ArrayD::from_shape_vec(shape, numbers(bytes, f32::from_le_bytes)).map(CaseArray::F32),
            Dtype::I64 => ArrayD::from_shape_vec(shape, numbers(bytes, i64::from_le_bytes)).map(CaseArray::I64),
            other => return Err(format!("{name} is {other:?}; F32 and I64 can be read")),
        };
        arrays.insert(name.to_owned(), Arc::new(array.map_err(|error| format!("{name}: {error}"))?));
    }
    Ok(arrays)
}

fn numbers<T, const BYTES: usize>(bytes: &[u8], from: fn([u8; BYTES]) -> T) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks();
    numbers.iter().map(|&number| from(number)).collect()
}

/// Reads cases and their arrays.
pub fn read_cases(jsonl: &str, arrays: &Arrays) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    let mut lines_of_ids = HashMap::new();
    for (number, line) in (1..).zip(jsonl.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let case = read_case(line, arrays).map_err(|reason| format!("line {number}: {reason}"))?;
        if let Some(first) = lines_of_ids.insert(case.id.clone(), number) {
            return Err(format!("line {number}: line {first} has the same id, {:?}", case.id));
        }
        cases.push(case);
    }
    Ok(cases)
}

fn read_case(line: &str, arrays: &Arrays) -> Result<Case, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    if !value.is_object() {
        return Err("it is not an object".into());
    }
    let text = |key: &str| value[key].as_str().map(str::to_owned).ok_or_else(|| format!("{key} is not a text"));
    let (id, op) = (text("id")?, text("op")?);
    let object = |key: &str| match value.get(key) {
        None => Ok(Map::new()),
        Some(Value::Object(object)) => Ok(object.clone()),
        _ => Err(format!("{key} is not an object")),
    };
    let array = |name: &Value| {
        let name = name.as_str().ok_or("an array's name is not a text")?;
        arrays.get(name).cloned().ok_or_else(|| format!("there is no array {name:?}"))
    };
    let (mut inputs, mut lists) = (BTreeMap::new(), BTreeSet::new());
    for (name, of) in object("inputs")? {
        let of = match of {
            Value::Array(names) => {
                lists.insert(name.clone());
                names.iter().map(array).collect::<Result<Vec<_>, _>>()?
            }
            name => vec![array(&name)?],
        };
        inputs.insert(name, of);
    }
    let mut outputs = BTreeMap::new();
    for (name, spec) in object("outputs")? {
        let atol = match &spec["atol"] {
            Value::Null => 0.0,
            atol => atol.as_f64().filter(|atol| *atol >= 0.0).ok_or_else(|| format!("{name}: atol is no bound"))?,
        };
        let rmse_float32 = spec["rmse_float32"].as_f64();
        outputs.insert(name, Expected { array: array(&spec["tensor"])?, atol, rmse_float32 });
    }
    let is_error = match &value["error"] {
        Value::Null => false,
        error => error.as_bool().ok_or("error is neither true nor false")?,
    };
    if outputs.is_empty() && !is_error {
        return Err("it expects neither outputs nor an error".into());
    }
    Ok(Case { id, op, params: object("params")?, inputs, lists, outputs, is_error })
}
