//! binary_cross_entropy_with_logits: how far the sigmoid of each score is from its target, a probability.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, arguments};
use crate::ops::broadcast::broadcast;
use crate::ops::losses::ElementwiseLoss;
use crate::shape;
use crate::{LossGradients, Reduction};

/// Parameters of [`binary_cross_entropy_with_logits`](crate::binary_cross_entropy_with_logits), as in
/// `torch.nn.functional.binary_cross_entropy_with_logits`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BinaryCrossEntropyWithLogitsParams {
    /// Whether the losses are returned as they are, or as their mean or sum. Default: the mean.
    pub reduction: Reduction,
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(BinaryCrossEntropyWithLogitsParams: default(), reduction);

/// A validated [`binary_cross_entropy_with_logits`](crate::binary_cross_entropy_with_logits) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BinaryCrossEntropyWithLogits {
    pub(crate) loss: ElementwiseLoss,
    weight: Option<Vec<usize>>,
    pos_weight: Option<Vec<usize>>,
}

arguments! {
    /// The inputs of [`binary_cross_entropy_with_logits`](crate::binary_cross_entropy_with_logits).
    #[derive(Copy)]
    pub struct BinaryCrossEntropyWithLogitsInputs<F> {
        /// f32, any shape: scores before the sigmoid.
        input: float,
        /// f32, of the input's shape: probabilities.
        target: float,
        /// f32, a shape that broadcasts to the input's: the factor of each loss. Default: 1.
        weight: optional float,
        /// f32, a shape that broadcasts to the input's: the factor of each loss's part for the target. Default: 1.
        pos_weight: optional float,
    }
}

arguments! {
    /// The outputs of a [`BinaryCrossEntropyWithLogits`].
    #[derive(Copy)]
    pub struct BinaryCrossEntropyWithLogitsOutputs<F> {
        /// f32: the input's shape, or a scalar with a reduction.
        output: float,
    }
}

arguments! {
    /// The inputs of the backward pass of a [`BinaryCrossEntropyWithLogits`].
    #[derive(Copy)]
    pub struct BinaryCrossEntropyWithLogitsBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32: the operator's input.
        input: float,
        /// f32, of the input's shape: the operator's target.
        target: float,
        /// f32: the operator's weight, if it has one.
        weight: optional float,
        /// f32: the operator's weight of targets, if it has one.
        pos_weight: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_target: optional float,
    }
}

impl BinaryCrossEntropyWithLogits {
    /// Checks the inputs' shapes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a `target` that has not the input's shape, and a `weight` or `pos_weight` that does not
    /// broadcast to it; [`Error::LimitExceeded`] for more elements than can be counted, and for weights that alternate more
    /// than three times between dimensions in which they are broadcast and dimensions in which they are not.
    pub fn new(
        inputs: &BinaryCrossEntropyWithLogitsInputs<&[usize]>,
        params: &BinaryCrossEntropyWithLogitsParams,
    ) -> Result<Self> {
        let BinaryCrossEntropyWithLogitsInputs { input, target, weight, pos_weight } = *inputs;
        shape::element_count(Self::NAME, "input", input)?;
        let refuse = |argument, expected: &str, shape: &[usize]| {
            Err(Error::invalid(Self::NAME, argument, format!("{expected}, {input:?}"), format!("shape {shape:?}")))
        };
        if target != input {
            return refuse("target", "the input's shape", target);
        }
        for (argument, shape) in [("weight", weight), ("pos_weight", pos_weight)] {
            if let Some(shape) = shape
                && broadcast(Self::NAME, argument, [input, shape])? != input
            {
                return refuse(argument, "a shape that broadcasts to the input's", shape);
            }
        }
        let last = if pos_weight.is_some() { "pos_weight" } else { "weight" };
        let operands = [weight, pos_weight].map(|shape| shape.unwrap_or(input));
        let mut loss = ElementwiseLoss::new(Self::NAME, last, input.to_vec(), operands, params.reduction)?;
        loss.is_weighted = weight.or(pos_weight).is_some();
        let [weight, pos_weight] = [weight, pos_weight].map(|shape| shape.map(<[usize]>::to_vec));
        Ok(BinaryCrossEntropyWithLogits { loss, weight, pos_weight })
    }

    /// The shape of the output: the input's without a reduction, otherwise that of a scalar.
    pub fn output_shape(&self) -> &[usize] {
        self.loss.output_shape()
    }
}

impl Definition for BinaryCrossEntropyWithLogits {
    const NAME: &'static str = "binary_cross_entropy_with_logits";
    type Params = BinaryCrossEntropyWithLogitsParams;
    type Inputs = BinaryCrossEntropyWithLogitsInputs<()>;
    type Outputs = BinaryCrossEntropyWithLogitsOutputs<()>;

    fn of_shapes(inputs: &BinaryCrossEntropyWithLogitsInputs<Vec<usize>>, params: &Self::Params) -> Result<Self> {
        let inputs = BinaryCrossEntropyWithLogitsInputs {
            input: &*inputs.input,
            target: &*inputs.target,
            weight: inputs.weight.as_deref(),
            pos_weight: inputs.pos_weight.as_deref(),
        };
        BinaryCrossEntropyWithLogits::new(&inputs, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for BinaryCrossEntropyWithLogits {
    const BACKWARD: &'static str = "binary_cross_entropy_with_logits_backward";
    type BackwardInputs = BinaryCrossEntropyWithLogitsBackwardInputs<()>;
    type Gradients = LossGradients<()>;

    fn gradient_shapes(&self) -> LossGradients<Vec<usize>> {
        let shape = || Some(self.loss.common.clone());
        LossGradients { grad_input: shape(), grad_target: shape() }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> BinaryCrossEntropyWithLogitsBackwardInputs<Vec<usize>> {
        let shape = &self.loss.common;
        let grad_output = self.output_shape().to_vec();
        BinaryCrossEntropyWithLogitsBackwardInputs {
            weight: self.weight.clone(),
            pos_weight: self.pos_weight.clone(),
            grad_input: backward.added("grad_input", shape),
            grad_target: backward.added("grad_target", shape),
            ..BinaryCrossEntropyWithLogitsBackwardInputs::new(grad_output, shape.clone(), shape.clone())
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu;
