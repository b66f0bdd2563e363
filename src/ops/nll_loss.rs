//! nll_loss: how unlikely targets are, by log-probabilities.

use ndarray::ArrayD;

use crate::UnaryGradients;
use crate::error::{Error, Result};
use crate::operator::{
    AnyDifferentiable, Arguments, ArraySource, ArraysOf, Backward, Definition, Differentiable, arguments,
};
use crate::ops::class_targets::{ScoreRows, narrowed};
use crate::ops::reduction::Reduction;
use crate::shape;

/// Parameters of [`nll_loss`](crate::nll_loss), as in `torch.nn.functional.nll_loss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NllLossParams {
    /// Rows of this class count neither in the loss nor in its mean. Default: -100.
    pub ignore_index: i64,
    /// Whether the losses are returned as they are, or as their mean or sum. Default: the mean.
    pub reduction: Reduction,
}

impl Default for NllLossParams {
    fn default() -> Self {
        NllLossParams { ignore_index: -100, reduction: Reduction::Mean }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(NllLossParams: default(), ignore_index, reduction);

arguments! {
    /// The inputs of an [`NllLoss`].
    #[derive(Copy)]
    pub struct NllLossInputs<F, I> {
        /// f32, (C), (N,C) or (N,C,d1,..): log-probabilities.
        input: float,
        /// i32, a class index for each row: (), (N) or (N,d1,..), the input's shape without its class dimension.
        target: integer,
        /// f32, (C): the factor of each class's loss. Default: 1.
        weight: optional float,
    }
}

arguments! {
    /// The outputs of an [`NllLoss`].
    #[derive(Copy)]
    pub struct NllLossOutputs<F> {
        /// f32: the loss of each row, or a scalar with a reduction.
        output: float,
    }
}

/// A validated [`nll_loss`](crate::nll_loss) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NllLoss {
    pub(crate) params: NllLossParams,
    pub(crate) rows: ScoreRows,
    target: Vec<usize>,
    has_weight: bool,
}

impl NllLoss {
    /// Checks the parameters against an input of shape (C), (N,C) or (N,C,d1,..), a target's shape and, if there is
    /// one, that of a weight (C).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` without dimensions, or without classes for its rows, and a `target` or
    /// `weight` of another shape; [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], target: &[usize], weight: Option<&[usize]>, params: &NllLossParams) -> Result<Self> {
        let rows = ScoreRows::new(Self::NAME, input)?;
        if rows.classes == 0 && rows.rows > 0 {
            return Err(Error::invalid(Self::NAME, "input", "at least 1 class", format!("shape {input:?}")));
        }
        // PyTorch accepts the class of a single row as (1) too.
        if rows.rows_shape != target && !(input.len() == 1 && target == [1]) {
            return Err(rows.wrong_target(Self::NAME, &rows.rows_shape, target));
        }
        shape::expect_vector(Self::NAME, "weight", rows.classes, weight)?;
        Ok(NllLoss { params: *params, rows, target: target.to_vec(), has_weight: weight.is_some() })
    }

    /// Checks that each class index is a class or `ignore_index`.
    ///
    /// The CPU reference and eager calls check all targets whose values the host knows. The host does not know targets
    /// that the GPU computed or that lie in a caller's buffer: there, a row with an invalid index gets the loss NaN.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for the first invalid index.
    pub fn check_classes(&self, classes: impl IntoIterator<Item = i64>) -> Result<()> {
        self.rows.check_classes(Self::NAME, classes, self.params.ignore_index)
    }

    /// The shape of the output: that of the rows without a reduction, otherwise that of a scalar.
    pub fn output_shape(&self) -> &[usize] {
        match self.params.reduction {
            Reduction::None => &self.rows.rows_shape,
            Reduction::Mean | Reduction::Sum => &[],
        }
    }

    /// Makes the operator from arrays with 64-bit class indices, and returns the arrays as the GPU takes them. An index
    /// that does not fit into i32 is refused, unless it is the `ignore_index`.
    pub(crate) fn of_wide_classes(
        inputs: NllLossInputs<ArrayD<f32>, ArrayD<i64>>,
        params: &NllLossParams,
    ) -> Result<(Self, ArraysOf<Self>)> {
        let NllLossInputs { input, target, weight } = inputs;
        let operator =
            NllLoss::new(input.shape(), target.shape(), weight.as_ref().map(|weight| weight.shape()), params)?;
        operator.check_classes(target.iter().copied())?;
        let (target, ignore_index) = narrowed(&target, params.ignore_index);
        let params = NllLossParams { ignore_index, ..*params };
        Ok((NllLoss { params, ..operator }, NllLossInputs { input, target, weight }))
    }
}

impl Definition for NllLoss {
    const NAME: &'static str = "nll_loss";
    type Params = NllLossParams;
    type Inputs = NllLossInputs<(), ()>;
    type Outputs = NllLossOutputs<()>;

    fn of_shapes(inputs: &NllLossInputs<Vec<usize>, Vec<usize>>, params: &NllLossParams) -> Result<Self> {
        NllLoss::new(&inputs.input, &inputs.target, inputs.weight.as_deref(), params)
    }

    fn of_arrays(from: &mut ArraySource<'_>, params: &NllLossParams) -> Result<(Self, ArraysOf<Self>)> {
        Self::of_wide_classes(Self::Inputs::build(from)?, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

arguments! {
    /// The inputs of the backward pass of an [`NllLoss`].
    #[derive(Copy)]
    pub struct NllLossBackwardInputs<F, I> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// i32: the class indices.
        target: integer,
        /// f32, (C): the factor of each class's loss. Present exactly if the operator has one.
        weight: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
    }
}

impl Differentiable for NllLoss {
    const BACKWARD: &'static str = "nll_loss_backward";
    type BackwardInputs = NllLossBackwardInputs<(), ()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.rows.shape.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> NllLossBackwardInputs<Vec<usize>, Vec<usize>> {
        NllLossBackwardInputs {
            grad_output: self.output_shape().to_vec(),
            target: self.target.clone(),
            weight: self.has_weight.then(|| vec![self.rows.classes]),
            grad_input: backward.added("grad_input", &self.rows.shape),
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu;
