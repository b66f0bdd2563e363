//! Gradients of operators of any type.

use super::super::by_name::{Flat, Named};
use super::super::{AnyArray, Arguments, Definition, FloatOrInteger, Name, OnCpu, Runs, ShapesOf};
use super::{Backward, Differentiable, Gradient};
use crate::error::Result;
#[cfg(feature = "gpu-core")]
use crate::operator::AnyOperator;

/// An operator with gradients, whatever its type.
pub trait AnyDifferentiable: Send + Sync {
    /// The shapes of its gradients, by name.
    fn gradient_shapes_by_name(&self) -> Vec<(Name, Vec<usize>)>;

    /// The optional outputs that its backward pass needs.
    fn saved_outputs_by_name(&self) -> &'static [&'static str];

    /// [`Differentiable::backward`], by the gradients' names.
    ///
    /// # Errors
    /// As [`Differentiable::backward`].
    fn backward_by_name(&self, gradients: &[(Name, Gradient)]) -> Result<Box<dyn AnyBackward>>;
}

impl<O: Differentiable> AnyDifferentiable for O
where
    Backward<O>: Runs + Definition<Params = Backward<O>, Inputs = O::BackwardInputs>,
{
    fn gradient_shapes_by_name(&self) -> Vec<(Name, Vec<usize>)> {
        let mut known = Flat(Vec::new());
        // No map of shapes fails.
        let _ = O::Gradients::try_map(&self.gradient_shapes(), &mut known);
        known.0.into_iter().map(|(name, shape)| (name, shape.either())).collect()
    }

    fn saved_outputs_by_name(&self) -> &'static [&'static str] {
        self.saved_outputs()
    }

    fn backward_by_name(&self, gradients: &[(Name, Gradient)]) -> Result<Box<dyn AnyBackward>> {
        let values = gradients.iter().map(|&(name, gradient)| (name, FloatOrInteger::Float(gradient))).collect();
        let mut source = Named { operator: O::BACKWARD, values, layouts: Vec::new() };
        let gradients = O::Gradients::build(&mut source)?;
        source.finish()?;
        Ok(Box::new(self.backward(&gradients)?))
    }
}

/// The backward pass of an operator of any type.
pub trait AnyBackward: Send + Sync {
    /// A copy of it.
    fn boxed(&self) -> Box<dyn AnyBackward>;

    /// Its name, such as `conv2d_backward`.
    fn backward_name(&self) -> &'static str;

    /// The names of its inputs.
    fn input_names(&self) -> Vec<Name>;

    /// It by every algorithm that a caller can name for the operator.
    #[doc(hidden)]
    fn every_algorithm(&self) -> Vec<(String, Box<dyn AnyBackward>)>;

    /// Computes it on the CPU, on arrays by name. It returns the gradients that are outputs, and then those that were
    /// added to inputs.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an array that is missing, not planned or of another shape.
    fn compute_backward(&self, inputs: Vec<(Name, AnyArray)>) -> Result<Vec<(Name, AnyArray)>>;

    /// It as an operator.
    #[cfg(feature = "gpu-core")]
    fn as_operator(&self) -> &dyn AnyOperator;
}

impl<O: Differentiable> AnyBackward for Backward<O>
where
    Backward<O>: Runs + Definition<Params = Backward<O>, Inputs = O::BackwardInputs>,
{
    fn boxed(&self) -> Box<dyn AnyBackward> {
        Box::new(self.clone())
    }

    fn backward_name(&self) -> &'static str {
        O::BACKWARD
    }

    fn input_names(&self) -> Vec<Name> {
        self.inputs.iter().filter(|(_, shape)| shape.is_some()).map(|(name, _)| *name).collect()
    }

    fn every_algorithm(&self) -> Vec<(String, Box<dyn AnyBackward>)> {
        let each = self.by_every_algorithm().into_iter();
        each.map(|(name, backward)| (name, Box::new(backward) as Box<dyn AnyBackward>)).collect()
    }

    fn compute_backward(&self, inputs: Vec<(Name, AnyArray)>) -> Result<Vec<(Name, AnyArray)>> {
        let mut source = Named { operator: O::BACKWARD, values: inputs.into(), layouts: Vec::new() };
        let inputs = O::BackwardInputs::build(&mut source)?;
        source.finish()?;
        let shapes = O::BackwardInputs::try_map(&inputs, &mut ShapesOf)?;
        Self::of_shapes(&shapes, self)?.compute(&inputs)?.by_name()
    }

    #[cfg(feature = "gpu-core")]
    fn as_operator(&self) -> &dyn AnyOperator {
        self
    }
}
