//! add: the sum of two arrays that broadcast together.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, arguments};
use crate::ops::broadcast::{WalkDimension, broadcast, walk};
use crate::shape;

/// Parameters of [`add`](crate::add), as in `torch.add`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AddParams {
    /// The factor of `other`. Default: 1.
    pub alpha: f64,
}

impl Default for AddParams {
    fn default() -> Self {
        AddParams { alpha: 1.0 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(AddParams: default(), alpha);

/// A validated [`add`](crate::add) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Add {
    pub(crate) input: Vec<usize>,
    pub(crate) other: Vec<usize>,
    /// The shape that both operands broadcast to.
    pub(crate) common: Vec<usize>,
    pub(crate) alpha: f64,
    walk: Vec<WalkDimension>,
}

arguments! {
    /// The inputs of [`add`](crate::add).
    #[derive(Copy)]
    pub struct AddInputs<F> {
        /// f32, any shape.
        input: float,
        /// f32, a shape that broadcasts with the input's.
        other: float,
    }
}

arguments! {
    /// The outputs of [`add`](crate::add).
    #[derive(Copy)]
    pub struct AddOutputs<F> {
        /// f32, the shape that both operands broadcast to.
        output: float,
    }
}

impl Add {
    /// Checks two operands, whose shapes broadcast together.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `other` whose shape does not broadcast with that of `input`, and an `alpha` that
    /// is not finite in float32; [`Error::LimitExceeded`] for more elements than can be counted, and for shapes that
    /// alternate more than three times between dimensions in which one operand is broadcast and dimensions in which it is
    /// not.
    pub fn new(input: &[usize], other: &[usize], params: &AddParams) -> Result<Self> {
        let operands = [input, other];
        let common = broadcast(Self::NAME, "other", operands)?;
        for (argument, shape) in [("input", input), ("other", other), ("output", &common)] {
            shape::element_count(Self::NAME, argument, shape)?;
        }
        if !(params.alpha as f32).is_finite() {
            return Err(Error::invalid(Self::NAME, "alpha", "a finite float32", params.alpha.to_string()));
        }
        let walk = walk(Self::NAME, "other", operands, &common)?;
        Ok(Add { input: input.to_vec(), other: other.to_vec(), common, alpha: params.alpha, walk })
    }

    /// The shape of the output: what both operands broadcast to.
    pub fn output_shape(&self) -> &[usize] {
        &self.common
    }
}

impl Definition for Add {
    const NAME: &'static str = "add";
    type Params = AddParams;
    type Inputs = AddInputs<()>;
    type Outputs = AddOutputs<()>;

    fn of_shapes(inputs: &AddInputs<Vec<usize>>, params: &AddParams) -> Result<Self> {
        Add::new(&inputs.input, &inputs.other, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

arguments! {
    /// The inputs of [`add_backward`](crate::add_backward).
    #[derive(Copy)]
    pub struct AddBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, of the shape of `other`: the gradient is added to it. Present exactly if it is planned so.
        grad_other: optional float,
    }
}

arguments! {
    /// The gradients of [`add`](crate::add).
    #[derive(Copy, Eq)]
    pub struct AddGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
        /// f32, of the shape of `other`.
        grad_other: optional float,
    }
}

impl Differentiable for Add {
    const BACKWARD: &'static str = "add_backward";
    type BackwardInputs = AddBackwardInputs<()>;
    type Gradients = AddGradients<()>;

    fn gradient_shapes(&self) -> AddGradients<Vec<usize>> {
        AddGradients { grad_input: Some(self.input.clone()), grad_other: Some(self.other.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> AddBackwardInputs<Vec<usize>> {
        AddBackwardInputs {
            grad_output: self.common.clone(),
            grad_input: backward.added("grad_input", &self.input),
            grad_other: backward.added("grad_other", &self.other),
        }
    }
}

#[cfg(feature = "gpu-core")]
pub(crate) use backward::Scaled;
#[cfg(feature = "gpu-core")]
pub use backward::{AddBackwardPlan, add_backward};
#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod backward;

#[cfg(feature = "gpu-core")]
mod on_gpu;
