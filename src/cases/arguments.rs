//! A case's parameters and inputs, read as an operator takes them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ndarray::ArrayD;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::{CaseArray, Refusal};
use crate::error::Error;
use crate::operator::{Definition, FloatOrInteger, Name, PackedLayout, Source};

/// Reads a case's parameters.
pub fn read_params<P: DeserializeOwned>(op: &str, params: &Map<String, Value>) -> Result<P, Refusal> {
    let known = names_of::<P>();
    if let Some(name) = params.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Refusal::BadCase(format!("{op} has no parameter {name:?}")));
    }
    P::deserialize(params).map_err(|error| Refusal::BadInput(format!("{op}: {error}")))
}

/// Collects the names of a struct's fields, which its `Deserialize` passes on.
pub fn names_of<P: DeserializeOwned>() -> &'static [&'static str] {
    struct Names(Cell<&'static [&'static str]>);

    impl<'de> Deserializer<'de> for &Names {
        type Error = de::value::Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            names: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.set(names);
            self.deserialize_any(visitor)
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("nothing to read"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let names = Names(Cell::new(&[]));
    // It always fails, since it has no values.
    let _ = P::deserialize(&names);
    names.0.get()
}

/// A case's inputs, taken out one by one.
pub struct Inputs<'a> {
    pub op: &'static str,
    pub left: BTreeMap<String, Vec<Arc<CaseArray>>>,
    pub lists: &'a BTreeSet<String>,
}

impl Inputs<'_> {
    /// Fails for inputs that the operator does not have.
    pub fn expect_known<O: Definition>(&self) -> Result<(), Refusal> {
        match self.left.keys().find(|name| !O::takes(name) && *name != "grad_output") {
            None => Ok(()),
            Some(name) => Err(Refusal::BadCase(format!("{} has no input {name:?}", self.op))),
        }
    }
}

impl Source<ArrayD<f32>, ArrayD<i64>, Error> for Inputs<'_> {
    fn either(&mut self, name: Name) -> Result<Option<FloatOrInteger<ArrayD<f32>, ArrayD<i64>>>, Error> {
        let Some(arrays) = self.left.get(name.field) else { return Ok(None) };
        let array = match (name.index, self.lists.contains(name.field)) {
            (None, true) => return Err(self.wrong(name, "one array", "a list")),
            (index, _) => arrays.get(index.unwrap_or(0)),
        };
        Ok(array.map(|array| match &**array {
            CaseArray::F32(array) => FloatOrInteger::Float(array.clone()),
            CaseArray::I64(array) => FloatOrInteger::Integer(array.clone()),
        }))
    }

    fn list(&mut self, field: &'static str) -> Result<Option<Vec<ArrayD<f32>>>, Error> {
        let count = self.left.get(field).filter(|_| self.lists.contains(field)).map(Vec::len);
        let Some(count) = count else { return Ok(None) };
        let item = |index| self.float(Name { field, index: Some(index) });
        Ok(Some((0..count).map(item).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()))
    }

    fn count(&mut self, field: &'static str) -> usize {
        self.left.get(field).map_or(0, Vec::len)
    }

    fn layout(&mut self, _: Name) -> Option<PackedLayout> {
        None
    }

    fn wrong(&self, name: Name, expected: &str, actual: &str) -> Error {
        name.invalid(self.op, expected, actual)
    }

    fn missing(&mut self, name: Name) -> Error {
        self.wrong(name, "an array", "none")
    }
}
