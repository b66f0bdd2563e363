//! cross_entropy: how far a softmax is from its targets.

use ndarray::ArrayD;

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Arguments, ArraySource, ArraysOf, Definition, FloatOrInteger, arguments};
use crate::ops::class_targets::{ScoreRows, narrowed};
use crate::ops::reduction::Reduction;
use crate::shape;

/// The number of f32s in a partial sum.
#[cfg(feature = "gpu-core")]
const PARTIAL_WORDS: usize = 4;

/// The most classes: a workgroup of 256 reads them twice, and some drivers end loops after 65,535 iterations.
const MAX_CLASSES: usize = 256 * 16_000;

/// Parameters of [`cross_entropy`](crate::cross_entropy), as in `torch.nn.functional.cross_entropy`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropyParams {
    /// Rows of this class count neither in the loss nor in its mean. For class indices only. Default: -100.
    pub ignore_index: i64,
    /// Whether the losses are returned as they are, or as their mean or sum. Default: the mean.
    pub reduction: Reduction,
    /// The share of each target that is spread evenly over all classes, from 0 to 1. Default: 0.
    pub label_smoothing: f64,
}

impl Default for CrossEntropyParams {
    fn default() -> Self {
        CrossEntropyParams { ignore_index: -100, reduction: Reduction::Mean, label_smoothing: 0.0 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(CrossEntropyParams: default(), ignore_index, reduction, label_smoothing);

/// The targets of [`cross_entropy`](crate::cross_entropy), as shapes, arrays, tensors or buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossEntropyTarget<C, P = C> {
    /// i32, a class index for each row: (), (N) or (N,d1,..), the input's shape without its class dimension.
    Classes(C),
    /// f32, a probability for each class of each row: the input's shape.
    Probabilities(P),
}

impl<C, P> CrossEntropyTarget<C, P> {
    pub(crate) fn split(&self) -> FloatOrInteger<&P, &C> {
        match self {
            CrossEntropyTarget::Classes(classes) => FloatOrInteger::Integer(classes),
            CrossEntropyTarget::Probabilities(probabilities) => FloatOrInteger::Float(probabilities),
        }
    }

    pub(crate) fn join(of: FloatOrInteger<P, C>) -> Self {
        match of {
            FloatOrInteger::Integer(classes) => CrossEntropyTarget::Classes(classes),
            FloatOrInteger::Float(probabilities) => CrossEntropyTarget::Probabilities(probabilities),
        }
    }
}

arguments! {
    /// The inputs of a [`CrossEntropy`].
    #[derive(Copy)]
    pub struct CrossEntropyInputs<F, I> {
        /// f32, (C), (N,C) or (N,C,d1,..): scores before the softmax.
        input: float,
        /// i32 class indices or f32 probabilities.
        target: either CrossEntropyTarget,
        /// f32, (C): the factor of each class's loss. Default: 1.
        weight: optional float,
    }
}

arguments! {
    /// The outputs of a [`CrossEntropy`].
    #[derive(Copy)]
    pub struct CrossEntropyOutputs<F> {
        /// f32: the loss of each row, or a scalar with a reduction.
        output: float,
        /// f32, of the input's shape: the gradient of the loss. Present if it is planned by
        /// [`CrossEntropy::with_gradient`].
        grad_input: optional float,
    }
}

/// A validated [`cross_entropy`](crate::cross_entropy) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    pub(crate) params: CrossEntropyParams,
    pub(crate) rows: ScoreRows,
    target: CrossEntropyTarget<Vec<usize>>,
    has_weight: bool,
    pub(crate) with_gradient: bool,
}

impl CrossEntropy {
    /// Checks the parameters against an input of shape (C), (N,C) or (N,C,d1,..), a target's shape and, if there is
    /// one, that of a weight (C).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` without dimensions or classes, a `target` or `weight` of another shape,
    /// a `label_smoothing` outside 0 to 1, and an `ignore_index` of 0 or more beside probabilities;
    /// [`Error::LimitExceeded`] for more than 4,096,000 classes and sizes that cannot be counted.
    pub fn new(
        input: &[usize],
        target: CrossEntropyTarget<&[usize]>,
        weight: Option<&[usize]>,
        params: &CrossEntropyParams,
    ) -> Result<Self> {
        let rows = ScoreRows::new(Self::NAME, input)?;
        let classes = rows.classes;
        if classes == 0 {
            return Err(Error::invalid(Self::NAME, "input", "at least 1 class", format!("shape {input:?}")));
        }
        if classes > MAX_CLASSES {
            return Err(Error::LimitExceeded {
                operator: Self::NAME,
                argument: "input",
                item: None,
                limit: "the number of classes",
                maximum: MAX_CLASSES as u64,
                actual: classes as u64,
            });
        }

        let (expected, actual, target) = match target {
            CrossEntropyTarget::Classes(shape) => {
                (&rows.rows_shape[..], shape, CrossEntropyTarget::Classes(shape.to_vec()))
            }
            CrossEntropyTarget::Probabilities(shape) => {
                (input, shape, CrossEntropyTarget::Probabilities(shape.to_vec()))
            }
        };
        // PyTorch accepts the class of a single row as (1) too, but then without smoothing.
        let is_single = input.len() == 1
            && matches!(target, CrossEntropyTarget::Classes(_))
            && actual == [1]
            && params.label_smoothing == 0.0;
        if expected != actual && !is_single {
            return Err(rows.wrong_target(Self::NAME, expected, actual));
        }
        shape::expect_vector(Self::NAME, "weight", classes, weight)?;
        if !(0.0..=1.0).contains(&params.label_smoothing) {
            return Err(Error::invalid(
                Self::NAME,
                "label_smoothing",
                "a number from 0 to 1",
                format!("{}", params.label_smoothing),
            ));
        }
        if matches!(target, CrossEntropyTarget::Probabilities(_)) && params.ignore_index >= 0 {
            return Err(Error::invalid(
                Self::NAME,
                "ignore_index",
                "a negative number, which is none, beside probabilities",
                format!("{}", params.ignore_index),
            ));
        }
        Ok(CrossEntropy { params: *params, rows, target, has_weight: weight.is_some(), with_gradient: false })
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

    /// The operator, set to return also the gradient of the reduced loss with respect to the input, as `grad_input`: what
    /// [`cross_entropy_backward`](crate::cross_entropy_backward) computes for a `grad_output` of 1. Its kernel adds up the
    /// exponentials of a row once, for both.
    ///
    /// ```no_run
    /// # #[cfg(feature = "gpu-core")]
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{CrossEntropy, CrossEntropyInputs, CrossEntropyTarget, Gpu, Operator, Tensor};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let logits = Tensor::from_array(&gpu, &ndarray::array![[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])?;
    /// let classes = Tensor::from_array(&gpu, &ndarray::array![0, 1])?;
    /// let loss = CrossEntropy::new(&[2, 3], CrossEntropyTarget::Classes(&[2]), None, &Default::default())?;
    /// let inputs = CrossEntropyInputs::new(&logits, CrossEntropyTarget::Classes(&classes));
    /// let outputs = loss.with_gradient()?.call(&inputs)?;
    /// assert_eq!(outputs.grad_input.unwrap().shape(), logits.shape());
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "gpu-core"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] without a reduction: then the gradient depends on that of each loss.
    pub fn with_gradient(self) -> Result<Self> {
        if self.params.reduction == Reduction::None {
            return Err(Error::invalid(
                Self::NAME,
                "reduction",
                "mean or sum, where the gradient is computed too",
                "none",
            ));
        }
        Ok(CrossEntropy { with_gradient: true, ..self })
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
        inputs: CrossEntropyInputs<ArrayD<f32>, ArrayD<i64>>,
        params: &CrossEntropyParams,
    ) -> Result<(Self, ArraysOf<Self>)> {
        let CrossEntropyInputs { input, target, weight } = inputs;
        let weight_shape = weight.as_ref().map(|weight| weight.shape());
        let new = |target, params: &CrossEntropyParams| Self::new(input.shape(), target, weight_shape, params);
        let (operator, target) = match target {
            CrossEntropyTarget::Classes(classes) => {
                let operator = new(CrossEntropyTarget::Classes(classes.shape()), params)?;
                operator.check_classes(classes.iter().copied())?;
                let (classes, ignore_index) = narrowed(&classes, params.ignore_index);
                let params = CrossEntropyParams { ignore_index, ..*params };
                (CrossEntropy { params, ..operator }, CrossEntropyTarget::Classes(classes))
            }
            CrossEntropyTarget::Probabilities(array) => {
                let operator = new(CrossEntropyTarget::Probabilities(array.shape()), params)?;
                (operator, CrossEntropyTarget::Probabilities(array))
            }
        };
        Ok((operator, CrossEntropyInputs { input, target, weight }))
    }
}

impl Definition for CrossEntropy {
    const NAME: &'static str = "cross_entropy";
    type Params = CrossEntropyParams;
    type Inputs = CrossEntropyInputs<(), ()>;
    type Outputs = CrossEntropyOutputs<()>;

    fn of_shapes(inputs: &CrossEntropyInputs<Vec<usize>, Vec<usize>>, params: &CrossEntropyParams) -> Result<Self> {
        let target = match &inputs.target {
            CrossEntropyTarget::Classes(shape) => CrossEntropyTarget::Classes(&shape[..]),
            CrossEntropyTarget::Probabilities(shape) => CrossEntropyTarget::Probabilities(&shape[..]),
        };
        CrossEntropy::new(&inputs.input, target, inputs.weight.as_deref(), params)
    }

    fn of_arrays(from: &mut ArraySource<'_>, params: &CrossEntropyParams) -> Result<(Self, ArraysOf<Self>)> {
        Self::of_wide_classes(Self::Inputs::build(from)?, params)
    }

    fn with_outputs(self, wanted: &[&str]) -> Result<Self> {
        let is_reduced = self.params.reduction != Reduction::None;
        if is_reduced && wanted.contains(&"grad_input") { self.with_gradient() } else { Ok(self) }
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

mod backward;
#[cfg(feature = "gpu-core")]
mod gradient;
#[cfg(feature = "gpu-core")]
mod on_gpu;
#[cfg(feature = "gpu-core")]
mod plan;

pub use backward::*;
#[cfg(feature = "gpu-core")]
pub use on_gpu::*;
#[cfg(feature = "gpu-core")]
pub use plan::CrossEntropyPlan;
