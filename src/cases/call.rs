//! A case's call: any operator, with its arrays.

mod backward;

use std::fmt;

use ndarray::ArrayD;
use serde::de::DeserializeOwned;

pub use backward::any_array;

use super::arguments::{Inputs, names_of, read_params};
use super::{Case, CaseArray, Outputs, Refusal};
use crate::operator::{AnyArray, AnyDifferentiable, Arguments, ArraysOf, Definition, FloatOrInteger, Map, Name, Runs};
#[cfg(feature = "gpu-core")]
use crate::{
    Gpu, Role, Tensor,
    operator::{AnyOperator, AnyTensorValue},
};

/// An operator's call with its arrays.
pub struct Call(Box<dyn AnyCall>);

/// The names by which a case's operator is known.
struct Entry {
    op: &'static str,
    read: fn(&Case) -> Result<Call, Refusal>,
    parameters: fn() -> &'static [&'static str],
    takes: fn(&str) -> bool,
}

macro_rules! entries {
    ($($module:ident: $operator:ident),* $(,)?) => {
        &[$(Entry {
            op: <$crate::$operator as Definition>::NAME,
            read: Call::read::<$crate::$operator>,
            parameters: names_of::<<$crate::$operator as Definition>::Params>,
            takes: <$crate::$operator as Definition>::takes,
        }),*]
    };
}
const ENTRIES: [&[Entry]; 2] = [crate::operators!(entries), crate::optimizers!(entries)];

fn entry(op: &str) -> Option<&'static Entry> {
    ENTRIES.into_iter().flatten().find(|entry| entry.op == op)
}

/// The names of all operators.
pub fn operators() -> impl Iterator<Item = &'static str> {
    ENTRIES.into_iter().flatten().map(|entry| entry.op)
}

/// The names of an operator's parameters, if there is one of this name.
pub fn parameters_of(op: &str) -> Option<&'static [&'static str]> {
    entry(op).map(|entry| (entry.parameters)())
}

/// Whether an operator takes an input of this name.
pub fn takes(op: &str, input: &str) -> bool {
    entry(op).is_some_and(|entry| (entry.takes)(input))
}

impl Call {
    /// Reads a case's call.
    pub fn of_case(case: &Case) -> Result<Call, Refusal> {
        match entry(&case.op) {
            Some(entry) => (entry.read)(case),
            None => Err(Refusal::Unsupported(format!("the operator {:?}", case.op))),
        }
    }

    /// The call of an operator with parameters on these arrays.
    pub fn new<O: Runs>(inputs: ArraysOf<O>, params: &O::Params) -> Result<Call, Refusal> {
        let shapes = O::Inputs::try_map(&inputs, &mut crate::operator::ShapesOf)?;
        Ok(Self::of_operator(O::of_shapes(&shapes, params)?, inputs))
    }

    /// The call of an operator on arrays that it was made for.
    pub fn of_operator<O: Runs>(operator: O, inputs: ArraysOf<O>) -> Call {
        let mut arrays = ByName(Vec::new());
        let Ok(_) = O::Inputs::try_map(&inputs, &mut arrays);
        Call(Box::new(Typed { operator, arrays: arrays.0 }))
    }

    fn read<O: Runs>(case: &Case) -> Result<Call, Refusal>
    where
        O::Params: DeserializeOwned,
    {
        let (operator, arrays) = Self::typed::<O>(case)?;
        Ok(Self::of_operator(operator, arrays))
    }

    /// Reads a case's operator and its arrays.
    pub fn typed<O: Runs>(case: &Case) -> Result<(O, ArraysOf<O>), Refusal>
    where
        O::Params: DeserializeOwned,
    {
        let params = read_params(&case.op, &case.params)?;
        let mut inputs = Inputs { op: O::NAME, left: case.inputs.clone(), lists: &case.lists };
        // Before the other errors: the case itself is wrong.
        inputs.expect_known::<O>()?;
        let (operator, arrays) = O::of_arrays(&mut inputs, &params)?;
        let mut wanted: Vec<_> = case.outputs.keys().map(String::as_str).collect();
        if case.inputs.contains_key(GRAD_OUTPUT) {
            wanted.extend(operator.gradients().map_or(&[][..], |of| of.saved_outputs_by_name()));
        }
        Ok((operator.with_outputs(&wanted)?, arrays))
    }

    /// The operator's name.
    pub fn op(&self) -> &'static str {
        self.0.op()
    }

    /// Its arrays, by name.
    pub fn arrays(&self) -> &[(Name, AnyArray)] {
        self.0.arrays()
    }

    /// The call with each algorithm that its operator has for it, and the algorithm's name.
    pub fn by_every_algorithm(&self) -> Vec<(String, Call)> {
        self.0.algorithms().into_iter().map(|(name, call)| (name, Call(call))).collect()
    }

    /// The call with an algorithm, if its operator has that algorithm for it.
    pub fn by(&self, algorithm: &str) -> Option<Call> {
        self.by_every_algorithm().into_iter().find(|(name, _)| name == algorithm).map(|(_, call)| call)
    }

    /// The call of an operator that applies an activation to its output, if it can.
    pub fn activated(&self, activation: crate::Activation) -> Result<Option<Call>, Refusal> {
        Ok(self.0.activated(activation)?.map(Call))
    }

    /// The call of its operator on other arrays of the same shapes.
    pub fn with_arrays(&self, arrays: Vec<(Name, AnyArray)>) -> Call {
        Call(self.0.with_arrays(arrays))
    }

    /// Runs it on the CPU.
    pub fn run_reference(&self) -> Result<Outputs, Refusal> {
        Ok(self.0.compute()?.into_iter().map(|(name, array)| (key_of(name), array.into())).collect())
    }
}

/// The name of the output's gradient in a case.
pub const GRAD_OUTPUT: &str = "grad_output";

/// The name of an output in a case.
pub fn key_of(name: Name) -> String {
    match name.index {
        None => name.field.to_owned(),
        Some(index) => format!("{}.{index}", name.field),
    }
}

#[cfg(feature = "gpu-core")]
impl Call {
    /// The operator.
    pub fn operator(&self) -> &dyn AnyOperator {
        self.0.operator()
    }

    /// Its arrays as tensors.
    pub fn upload(&self, gpu: &Gpu) -> crate::Result<Vec<(Name, AnyTensorValue)>> {
        let upload = |(name, array): &(Name, AnyArray)| {
            Ok((
                *name,
                match array {
                    FloatOrInteger::Float(array) => FloatOrInteger::Float(Tensor::from_array(gpu, array)?),
                    FloatOrInteger::Integer(array) => FloatOrInteger::Integer(Tensor::from_array(gpu, array)?),
                },
            ))
        };
        self.arrays().iter().map(upload).collect()
    }

    /// Runs the operator's eager call, and reads the outputs and the updated inputs.
    pub fn run_eager(&self, gpu: &Gpu) -> Result<Outputs, Refusal> {
        let tensors = self.upload(gpu)?;
        let made = self.operator().bind_by_name(tensors.clone())?()?;
        let slots = self.operator().slots_on(gpu.capabilities());
        let updated = slots.iter().filter(|slot| slot.slot.role() == Role::Update);
        let updated = updated.filter_map(|slot| tensors.iter().find(|(name, _)| *name == slot.name));
        let read = |(name, tensor): &(Name, AnyTensorValue)| {
            let array = match tensor {
                FloatOrInteger::Float(tensor) => tensor.read_blocking()?.into(),
                FloatOrInteger::Integer(tensor) => tensor.read_blocking()?.into(),
            };
            Ok((key_of(*name), array))
        };
        made.iter().chain(updated).map(read).collect()
    }
}

impl Clone for Call {
    fn clone(&self) -> Self {
        Call(self.0.boxed())
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes = self.arrays().iter().map(|(name, array)| match array {
            FloatOrInteger::Float(array) => (name.to_string(), array.shape().to_vec()),
            FloatOrInteger::Integer(array) => (name.to_string(), array.shape().to_vec()),
        });
        f.debug_tuple(self.op()).field(&shapes.collect::<Vec<_>>()).finish()
    }
}

impl From<AnyArray> for CaseArray {
    fn from(array: AnyArray) -> Self {
        match array {
            FloatOrInteger::Float(array) => array.into(),
            FloatOrInteger::Integer(array) => array.into(),
        }
    }
}

/// A call of an operator of any type.
trait AnyCall: Send + Sync {
    fn boxed(&self) -> Box<dyn AnyCall>;
    fn op(&self) -> &'static str;
    fn arrays(&self) -> &[(Name, AnyArray)];
    fn algorithms(&self) -> Vec<(String, Box<dyn AnyCall>)>;
    fn activated(&self, activation: crate::Activation) -> crate::Result<Option<Box<dyn AnyCall>>>;
    fn compute(&self) -> crate::Result<Vec<(Name, AnyArray)>>;
    fn differentiable(&self) -> Option<&dyn AnyDifferentiable>;
    fn returning(&self, outputs: &[&str]) -> crate::Result<Box<dyn AnyCall>>;
    fn with_arrays(&self, arrays: Vec<(Name, AnyArray)>) -> Box<dyn AnyCall>;
    #[cfg(feature = "gpu-core")]
    fn operator(&self) -> &dyn AnyOperator;
}

struct Typed<O> {
    operator: O,
    arrays: Vec<(Name, AnyArray)>,
}

impl<O: Runs> AnyCall for Typed<O> {
    fn boxed(&self) -> Box<dyn AnyCall> {
        Box::new(Typed { operator: self.operator.clone(), arrays: self.arrays.clone() })
    }

    fn op(&self) -> &'static str {
        O::NAME
    }

    fn arrays(&self) -> &[(Name, AnyArray)] {
        &self.arrays
    }

    fn algorithms(&self) -> Vec<(String, Box<dyn AnyCall>)> {
        let each = self.operator.by_every_algorithm().into_iter();
        each.map(|(name, operator)| {
            let call = Typed { operator, arrays: self.arrays.clone() };
            (name, Box::new(call) as Box<dyn AnyCall>)
        })
        .collect()
    }

    fn activated(&self, activation: crate::Activation) -> crate::Result<Option<Box<dyn AnyCall>>> {
        let operator = self.operator.activated(activation)?;
        Ok(operator.map(|operator| Box::new(Typed { operator, arrays: self.arrays.clone() }) as Box<dyn AnyCall>))
    }

    fn compute(&self) -> crate::Result<Vec<(Name, AnyArray)>> {
        crate::operator::compute_by_name(&self.operator, self.arrays.clone())
    }

    fn differentiable(&self) -> Option<&dyn AnyDifferentiable> {
        self.operator.gradients()
    }

    fn returning(&self, outputs: &[&str]) -> crate::Result<Box<dyn AnyCall>> {
        let operator = self.operator.clone().with_outputs(outputs)?;
        Ok(Box::new(Typed { operator, arrays: self.arrays.clone() }))
    }

    fn with_arrays(&self, arrays: Vec<(Name, AnyArray)>) -> Box<dyn AnyCall> {
        Box::new(Typed { operator: self.operator.clone(), arrays })
    }

    #[cfg(feature = "gpu-core")]
    fn operator(&self) -> &dyn AnyOperator {
        &self.operator
    }
}

/// Arrays by name.
struct ByName(Vec<(Name, AnyArray)>);

impl<'a> Map<'a, ArrayD<f32>, ArrayD<i32>, (), (), std::convert::Infallible> for ByName {
    fn float(&mut self, name: Name, array: &'a ArrayD<f32>) -> Result<(), std::convert::Infallible> {
        self.0.push((name, FloatOrInteger::Float(array.clone())));
        Ok(())
    }

    fn integer(&mut self, name: Name, array: &'a ArrayD<i32>) -> Result<(), std::convert::Infallible> {
        self.0.push((name, FloatOrInteger::Integer(array.clone())));
        Ok(())
    }
}
