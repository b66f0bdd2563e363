//! What an operator is: its arguments, declared once, and everything that all operators derive from them.

pub(crate) mod arguments;
mod backward;
mod by_name;
#[cfg(feature = "gpu-core")]
mod call;
#[cfg(feature = "gpu-core")]
mod eager;
#[cfg(feature = "gpu-core")]
mod erased;
#[cfg(all(feature = "gpu-core", any(test, feature = "testing")))]
mod misdeclared;
#[cfg(feature = "gpu-core")]
mod on_gpu;
mod packed;
#[cfg(feature = "gpu-core")]
mod planned;
#[cfg(feature = "gpu-core")]
pub(crate) mod replay;
#[cfg(feature = "gpu-core")]
mod slots;

use std::convert::Infallible;

use ndarray::ArrayD;

use crate::activation::Activation;
use crate::error::{Error, Result};

pub(crate) use arguments::arguments;
pub use arguments::{Arguments, FloatOrInteger, Map, Name, Packed, PackedLayout, Source};
pub use backward::{AnyBackward, AnyDifferentiable, Backward, BackwardInputsOf, Differentiable, Gradient, GradientsOf};
use by_name::{Flat, Named};
#[cfg(feature = "gpu-core")]
pub use erased::{AnyOperator, AnyTensorValue, BoundCall, FlatSlot, Group};
#[cfg(all(feature = "gpu-core", any(test, feature = "testing")))]
pub use misdeclared::misdeclared;
#[cfg(feature = "gpu-core")]
#[doc(hidden)]
pub use on_gpu::Operator as Runs;
#[cfg(feature = "gpu-core")]
pub use on_gpu::{Operator, Tolerance};
#[cfg(feature = "gpu-core")]
pub use slots::{Bound, Role, Slot, Slots};

/// An operator's inputs: `F` stands for each float argument, `I` for each integer argument. For `Conv2d` and `F =
/// &Tensor` it is `Conv2dInputs<&Tensor>`.
pub type InputsOf<O, F, I> = <<O as Definition>::Inputs as Arguments>::Of<F, I>;

/// An operator's outputs: `F` stands for each float argument, `I` for each integer argument.
pub type OutputsOf<O, F, I> = <<O as Definition>::Outputs as Arguments>::Of<F, I>;

/// An operator's inputs as arrays.
pub type ArraysOf<O> = InputsOf<O, ArrayD<f32>, ArrayD<i32>>;

/// An array of f32 or of i32.
pub type AnyArray = FloatOrInteger<ArrayD<f32>, ArrayD<i32>>;

/// Looks up the arrays of a case by name.
pub type ArraySource<'a> = dyn Source<ArrayD<f32>, ArrayD<i64>, Error> + 'a;

/// An operator: parameters and shapes that fit together, already checked. It owns no GPU object.
pub trait Definition: Clone + Send + Sync + 'static {
    /// PyTorch's name, such as `conv2d`.
    const NAME: &'static str;
    /// The operator's parameters, such as [`Conv2dParams`](crate::Conv2dParams).
    type Params: Clone;
    /// The arguments that it reads, and those that it updates in place.
    type Inputs: Arguments;
    /// The arguments that it writes.
    type Outputs: Arguments;

    /// Makes the operator for inputs of these shapes.
    #[doc(hidden)]
    fn of_shapes(inputs: &InputsOf<Self, Vec<usize>, Vec<usize>>, params: &Self::Params) -> Result<Self>;

    /// Makes the operator and its inputs from a case's arrays.
    #[doc(hidden)]
    fn of_arrays(from: &mut ArraySource<'_>, params: &Self::Params) -> Result<(Self, ArraysOf<Self>)> {
        let arrays = Self::Inputs::build(from)?;
        let operator = Self::of_shapes(&Self::Inputs::try_map(&arrays, &mut ShapesOf)?, params)?;
        Ok((operator, Self::Inputs::try_map(&arrays, &mut Narrowed(Self::NAME))?))
    }

    /// Whether the operator has an input of this name.
    #[doc(hidden)]
    fn takes(name: &str) -> bool {
        let mut names = Names(Vec::new());
        let Ok(_) = Self::Inputs::build(&mut names);
        names.0.contains(&name)
    }

    /// The operator, set to give these outputs too, where they are optional.
    #[doc(hidden)]
    fn with_outputs(self, _: &[&str]) -> Result<Self> {
        Ok(self)
    }

    /// The operator set to take a packed argument, if it has one.
    #[doc(hidden)]
    fn on_packed(&self) -> Option<Self> {
        None
    }

    /// The operator set to apply an activation to its output, if it can.
    #[doc(hidden)]
    fn activated(&self, _: Activation) -> Result<Option<Self>> {
        Ok(None)
    }

    /// The operator's gradients, if it has any.
    #[doc(hidden)]
    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        None
    }

    /// The operator with each algorithm that a caller can name, and unchanged as `Auto`; each with the algorithm's
    /// name.
    #[doc(hidden)]
    fn by_every_algorithm(&self) -> Vec<(String, Self)> {
        vec![("Auto".to_owned(), self.clone())]
    }
}

/// An operator's CPU reference, from `src/reference`.
pub trait OnCpu: Definition {
    /// Computes the outputs. The inputs must have the shapes that the operator was made with.
    #[doc(hidden)]
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>>;
}

/// What runs if the crate is built without a GPU.
#[cfg(not(feature = "gpu-core"))]
#[doc(hidden)]
pub trait Runs: OnCpu {}
#[cfg(not(feature = "gpu-core"))]
impl<O: OnCpu> Runs for O {}

/// What an operator computes on the CPU.
#[doc(hidden)]
pub struct Computed<O: Definition> {
    /// The outputs.
    pub outputs: OutputsOf<O, ArrayD<f32>, ArrayD<i32>>,
    /// The new values of the inputs that it updates, by name.
    pub updated: Vec<(Name, AnyArray)>,
}

impl<O: Definition> Computed<O> {
    /// The result of an operator that updates no input.
    pub(crate) fn new(outputs: OutputsOf<O, ArrayD<f32>, ArrayD<i32>>) -> Self {
        Computed { outputs, updated: Vec::new() }
    }

    /// The outputs, and then the inputs that it updates.
    fn by_name(self) -> Result<Vec<(Name, AnyArray)>> {
        let mut flat = Flat(Vec::new());
        O::Outputs::try_map(&self.outputs, &mut flat)?;
        flat.0.extend(self.updated);
        Ok(flat.0)
    }

    /// Adds the new value of an input that it updates.
    pub(crate) fn update(&mut self, name: impl Into<Name>, array: ArrayD<f32>) {
        self.updated.push((name.into(), FloatOrInteger::Float(array)));
    }

    /// The new value of an input of floats, if it updates that.
    pub(crate) fn take_updated(&mut self, field: &str) -> Option<ArrayD<f32>> {
        let at = self.updated.iter().position(|(name, _)| name.field == field)?;
        self.updated.swap_remove(at).1.float()
    }

    /// The new values of the inputs of floats that it updates, by name.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn updated_floats(&self) -> impl Iterator<Item = (Name, &ArrayD<f32>)> {
        self.updated.iter().filter_map(|(name, array)| match array {
            FloatOrInteger::Float(array) => Some((*name, array)),
            FloatOrInteger::Integer(_) => None,
        })
    }
}

/// The parameters of an operator that has none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cases", derive(serde::Deserialize))]
pub struct NoParams {}

/// The outputs of an operator that only updates its inputs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoOutputs {}

impl Arguments for NoOutputs {
    type Of<F, I> = NoOutputs;

    fn try_map<'a, F, I, G, J, E>(_: &'a NoOutputs, _: &mut impl Map<'a, F, I, G, J, E>) -> Result<NoOutputs, E> {
        Ok(NoOutputs {})
    }

    fn build<F, I, E>(_: &mut dyn Source<F, I, E>) -> Result<NoOutputs, E> {
        Ok(NoOutputs {})
    }
}

/// Computes an operator on arrays that are given by name.
#[doc(hidden)]
pub fn compute_by_name<O: OnCpu>(operator: &O, inputs: Vec<(Name, AnyArray)>) -> Result<Vec<(Name, AnyArray)>> {
    let mut source = Named { operator: O::NAME, values: inputs.into(), layouts: Vec::new() };
    let inputs = O::Inputs::build(&mut source)?;
    source.finish()?;
    operator.compute(&inputs)?.by_name()
}

/// Collects the names of the arguments that are asked for.
struct Names(Vec<&'static str>);

impl Source<(), (), Infallible> for Names {
    fn either(&mut self, name: Name) -> Result<Option<FloatOrInteger<(), ()>>, Infallible> {
        self.0.push(name.field);
        Ok(Some(FloatOrInteger::Float(())))
    }

    fn integer(&mut self, name: Name) -> Result<Option<()>, Infallible> {
        self.float(name)
    }

    fn count(&mut self, field: &'static str) -> usize {
        self.0.push(field);
        0
    }

    // A case has no packed argument.
    fn layout(&mut self, _: Name) -> Option<PackedLayout> {
        None
    }

    fn wrong(&self, _: Name, _: &str, _: &str) -> Infallible {
        unreachable!("no argument is wrong")
    }

    fn missing(&mut self, _: Name) -> Infallible {
        unreachable!("everything is there")
    }
}

/// Maps arrays to their shapes.
pub(crate) struct ShapesOf;

impl<'a, I> Map<'a, ArrayD<f32>, ArrayD<I>, Vec<usize>, Vec<usize>, Error> for ShapesOf {
    fn float(&mut self, _: Name, array: &'a ArrayD<f32>) -> Result<Vec<usize>> {
        Ok(array.shape().to_vec())
    }

    fn integer(&mut self, _: Name, array: &'a ArrayD<I>) -> Result<Vec<usize>> {
        Ok(array.shape().to_vec())
    }
}

/// Maps 64-bit integers to i32, as on the GPU. Holds the operator's name, for errors.
struct Narrowed(&'static str);

impl<'a> Map<'a, ArrayD<f32>, ArrayD<i64>, ArrayD<f32>, ArrayD<i32>, Error> for Narrowed {
    fn float(&mut self, _: Name, array: &'a ArrayD<f32>) -> Result<ArrayD<f32>> {
        Ok(array.clone())
    }

    fn integer(&mut self, name: Name, array: &'a ArrayD<i64>) -> Result<ArrayD<i32>> {
        match array.iter().find(|&&number| i32::try_from(number).is_err()) {
            Some(number) => Err(name.invalid(self.0, "numbers of 32 bits", number.to_string())),
            None => Ok(array.mapv(|number| number as i32)),
        }
    }
}
