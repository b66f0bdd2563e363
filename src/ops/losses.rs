//! What losses share that are computed element by element: broadcasting, reductions, gradients.

use ndarray::ArrayD;

use crate::error::Result;
use crate::operator::{Backward, Definition, Differentiable, arguments};
use crate::ops::broadcast::{WalkDimension, broadcast, broadcast_to, walk};
use crate::ops::reduction::Reduction;
use crate::shape;

/// A loss of each element, or a reduction of them, with two operands that may be broadcast to the common shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ElementwiseLoss {
    pub reduction: Reduction,
    /// The shape that all operands broadcast to.
    pub common: Vec<usize>,
    /// Those of the two operands; of an absent one the common shape.
    pub operands: [Vec<usize>; 2],
    walk: Vec<WalkDimension>,
    /// Whether the two operands are weights.
    pub is_weighted: bool,
}

impl ElementwiseLoss {
    /// The loss of two operands that broadcast together.
    pub fn of_both(operator: &'static str, input: &[usize], target: &[usize], reduction: Reduction) -> Result<Self> {
        let common = broadcast(operator, "target", [input, target])?;
        for (argument, shape) in [("input", input), ("target", target), ("output", &common)] {
            shape::element_count(operator, argument, shape)?;
        }
        Self::new(operator, "target", common, [input, target], reduction)
    }

    /// The loss of operands that broadcast to the common shape. `last` is the name of one of the two.
    pub fn new(
        operator: &'static str,
        last: &'static str,
        common: Vec<usize>,
        operands: [&[usize]; 2],
        reduction: Reduction,
    ) -> Result<Self> {
        let walk = walk(operator, last, operands, &common)?;
        Ok(ElementwiseLoss { reduction, common, operands: operands.map(<[usize]>::to_vec), walk, is_weighted: false })
    }

    /// The shape of the output: the common shape without a reduction, otherwise that of a scalar.
    pub fn output_shape(&self) -> &[usize] {
        match self.reduction {
            Reduction::None => &self.common,
            Reduction::Mean | Reduction::Sum => &[],
        }
    }

    #[cfg(feature = "gpu-core")]
    pub fn count(&self) -> usize {
        self.common.iter().product()
    }
}

arguments! {
    /// The inputs of the backward pass of a loss of the difference between input and target.
    #[derive(Copy)]
    pub struct DifferenceBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32: the operator's input.
        input: float,
        /// f32: the operator's target.
        target: float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, of the target's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_target: optional float,
    }
}

arguments! {
    /// The gradients of a loss.
    #[derive(Copy, Eq)]
    pub struct LossGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
        /// f32, of the target's shape.
        grad_target: optional float,
    }
}

/// A loss of the difference between input and target. Its reference implements it.
pub(crate) trait DifferenceLoss: Definition {
    /// With which power of the difference it grows.
    #[cfg(feature = "gpu-core")]
    const POWER: i32;

    fn loss(&self) -> &ElementwiseLoss;

    /// The loss of one difference.
    fn of(&self, difference: f64) -> f64;

    /// Its derivative.
    fn slope(&self, difference: f64) -> f64;

    /// The shapes of the gradients.
    fn shapes_of_gradients(&self) -> LossGradients<Vec<usize>> {
        let [grad_input, grad_target] = self.loss().operands.clone().map(Some);
        LossGradients { grad_input, grad_target }
    }

    /// The shapes of the backward pass's inputs.
    fn shapes_of_backward(&self, backward: &Backward<Self>) -> DifferenceBackwardInputs<Vec<usize>>
    where
        Self: Differentiable,
    {
        let [input, target] = &self.loss().operands;
        DifferenceBackwardInputs {
            grad_input: backward.added("grad_input", input),
            grad_target: backward.added("grad_target", target),
            ..DifferenceBackwardInputs::new(self.loss().output_shape().to_vec(), input.clone(), target.clone())
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use gradients::*;
#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod gradients;
#[cfg(feature = "gpu-core")]
mod on_gpu;

/// The terms of the input's gradient of a loss of differences, and the sizes of what they are products of.
pub(crate) fn difference_terms<O: DifferenceLoss>(
    operator: &O,
    inputs: &DifferenceBackwardInputs<ArrayD<f32>>,
) -> [ArrayD<f64>; 2] {
    let ElementwiseLoss { common, reduction, .. } = operator.loss();
    let difference = broadcast_to(&inputs.input, common) - broadcast_to(&inputs.target, common);
    let divisor = if *reduction == Reduction::Mean { difference.len() as f64 } else { 1.0 };
    let slopes = difference.mapv(|x| operator.slope(x) / divisor);
    let terms = broadcast_to(&inputs.grad_output, common) * &slopes;
    let peaks = ndarray::Zip::from(&difference).and(&slopes).map_collect(|x, slope| x.abs().max(slope.abs()));
    [terms, peaks]
}

/// The sizes of the terms of the gradients of a loss of differences; infinite where float32 may overflow on the way.
#[cfg(feature = "gpu-core")]
pub(crate) fn difference_sizes<O: DifferenceLoss>(
    operator: &O,
    inputs: &DifferenceBackwardInputs<ArrayD<f32>>,
) -> ArrayD<f64> {
    let [terms, peaks] = difference_terms(operator, inputs);
    ndarray::Zip::from(&terms)
        .and(&peaks)
        .map_collect(|term, &peak| if peak > f64::from(f32::MAX) { f64::INFINITY } else { term.abs() })
}
