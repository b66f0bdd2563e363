//! A case's parameters and inputs, read as what an operator takes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ndarray::ArrayD;
use serde_json::{Map, Value};
use wgdnn::Reduction;

use super::{CaseArray, Refusal};

/// What a pair is.
const PAIR: &str = "a whole number of 0 or more, or two of them";

/// A case's parameters, taken out one by one; what is left over is unknown.
pub struct Params<'a> {
    pub op: &'a str,
    pub left: Map<String, Value>,
}

impl Params<'_> {
    pub fn bad<T>(&self, name: &str, expected: &str, actual: &Value) -> Result<T, Refusal> {
        Err(Refusal::BadInput(format!("{}: {name}: expected {expected}, got {actual}", self.op)))
    }

    pub fn take<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Refusal> {
        match self.left.remove(name) {
            None => Ok(None),
            Some(value) => match read(&value) {
                Some(taken) => Ok(Some(taken)),
                None => self.bad(name, expected, &value),
            },
        }
    }

    /// Takes PyTorch's None for what it is, in a parameter that may be None.
    pub fn accept_none(&mut self, name: &str) {
        if self.left.get(name) == Some(&Value::Null) {
            self.left.remove(name);
        }
    }

    pub fn pair(&mut self, name: &str) -> Result<Option<[usize; 2]>, Refusal> {
        self.take(name, PAIR, pair)
    }

    /// A pool's stride, for which an empty list is none, too.
    pub fn pool_stride(&mut self) -> Result<Option<[usize; 2]>, Refusal> {
        if matches!(self.left.get("stride"), Some(Value::Array(list)) if list.is_empty()) {
            self.left.remove("stride");
        }
        self.accept_none("stride");
        self.pair("stride")
    }

    /// Two numbers or one for both, where torchvision takes no list of one.
    pub fn strict_pair(&mut self, name: &str) -> Result<Option<[usize; 2]>, Refusal> {
        let is_one = |value: &Value| value.as_array().is_some_and(|list| list.len() == 1);
        self.take(name, PAIR, |value| if is_one(value) { None } else { pair(value) })
    }

    pub fn size(&mut self, name: &str) -> Result<Option<usize>, Refusal> {
        self.take(name, "a whole number of 0 or more", size)
    }

    pub fn integer(&mut self, name: &str) -> Result<Option<i64>, Refusal> {
        self.take(name, "a whole number", Value::as_i64)
    }

    pub fn number(&mut self, name: &str) -> Result<Option<f64>, Refusal> {
        self.take(name, "a number", Value::as_f64)
    }

    pub fn flag(&mut self, name: &str) -> Result<Option<bool>, Refusal> {
        self.take(name, "true or false", Value::as_bool)
    }

    pub fn reduction(&mut self) -> Result<Reduction, Refusal> {
        let read = |value: &Value| match value.as_str()? {
            "none" => Some(Reduction::None),
            "mean" => Some(Reduction::Mean),
            "sum" => Some(Reduction::Sum),
            _ => None,
        };
        let reduction = self.take("reduction", "\"none\", \"mean\" or \"sum\"", read)?;
        Ok(reduction.unwrap_or_default())
    }

    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Refusal> {
        value.ok_or_else(|| Refusal::BadInput(format!("{}: {name}: expected one, got none", self.op)))
    }

    pub fn finish(self) -> Result<(), Refusal> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(Refusal::BadCase(format!("{} has no parameter {name:?}", self.op))),
        }
    }
}

fn size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

pub fn pair(value: &Value) -> Option<[usize; 2]> {
    match value.as_array().map(Vec::as_slice) {
        Some([first, second]) => Some([size(first)?, size(second)?]),
        // PyTorch takes a list of one for both.
        Some([both]) => size(both).map(|both| [both, both]),
        Some(_) => None,
        None => size(value).map(|both| [both, both]),
    }
}

/// A case's inputs, taken out one by one; what is left over is unknown.
pub struct Inputs<'a> {
    pub op: &'a str,
    pub left: BTreeMap<String, Vec<Arc<CaseArray>>>,
    pub lists: &'a BTreeSet<String>,
}

impl Inputs<'_> {
    pub fn wrong<T>(&self, name: &str, expected: &str) -> Result<T, Refusal> {
        Err(Refusal::BadInput(format!("{}: {name}: expected {expected}", self.op)))
    }

    pub fn optional(&mut self, name: &str) -> Result<Option<CaseArray>, Refusal> {
        match self.left.remove(name).map(|mut arrays| (arrays.len(), arrays.pop())) {
            None => Ok(None),
            Some((1, array)) if !self.lists.contains(name) => Ok(array.map(Arc::unwrap_or_clone)),
            Some(_) => self.wrong(name, "one array, got a list"),
        }
    }

    pub fn optional_f32(&mut self, name: &str) -> Result<Option<ArrayD<f32>>, Refusal> {
        match self.optional(name)? {
            None => Ok(None),
            Some(CaseArray::F32(array)) => Ok(Some(array)),
            Some(CaseArray::I64(_)) => self.wrong(name, "floats, got integers"),
        }
    }

    pub fn f32(&mut self, name: &str) -> Result<ArrayD<f32>, Refusal> {
        match self.optional_f32(name)? {
            Some(array) => Ok(array),
            None => self.wrong(name, "an array, got none"),
        }
    }

    pub fn finish(self) -> Result<(), Refusal> {
        match self.left.keys().next().map(String::as_str) {
            None => Ok(()),
            Some("grad_output") => Err(Refusal::Unsupported(format!("{}: the backward pass", self.op))),
            Some(name) => Err(Refusal::BadCase(format!("{} has no input {name:?}", self.op))),
        }
    }
}
