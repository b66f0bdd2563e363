//! cross_entropy: how far a softmax is from its targets.

use ndarray::ArrayD;

use crate::error::{Error, Result};
use crate::operator::{Arguments, ArraySource, ArraysOf, Definition, FloatOrInteger, arguments};
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
    }
}

/// A validated [`cross_entropy`](crate::cross_entropy) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    pub(crate) params: CrossEntropyParams,
    shape: Vec<usize>,
    /// The input's shape without its class dimension.
    rows_shape: Vec<usize>,
    pub(crate) rows: usize,
    pub(crate) classes: usize,
    /// The rows of one item of the batch: the distance from a class to the next.
    pub(crate) inner: usize,
    target: CrossEntropyTarget<Vec<usize>>,
    has_weight: bool,
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
        let class_dim = match input.len() {
            0 => {
                return Err(Error::invalid(Self::NAME, "input", "1 dimension (C) or more (N,C,..)", "shape []"));
            }
            1 => 0,
            _ => 1,
        };
        let classes = input[class_dim];
        shape::element_count(Self::NAME, "input", input)?;
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
        let mut rows_shape = input.to_vec();
        rows_shape.remove(class_dim);
        let rows = shape::element_count(Self::NAME, "target", &rows_shape)?;
        let inner = input[class_dim + 1..].iter().product();

        let (expected, actual, target) = match target {
            CrossEntropyTarget::Classes(shape) => (&rows_shape[..], shape, CrossEntropyTarget::Classes(shape.to_vec())),
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
            return Err(Error::invalid(
                Self::NAME,
                "target",
                format!("shape {expected:?} beside an input of shape {input:?}"),
                format!("shape {actual:?}"),
            ));
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
        let (shape, has_weight) = (input.to_vec(), weight.is_some());
        Ok(CrossEntropy { params: *params, shape, rows_shape, rows, classes, inner, target, has_weight })
    }

    /// Checks that each class index is a class or `ignore_index`.
    ///
    /// The CPU reference and eager calls check all targets whose values the host knows. The host does not know targets
    /// that the GPU computed or that lie in a caller's buffer: there, a row with an invalid index gets the loss NaN.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for the first invalid index.
    pub fn check_classes(&self, classes: impl IntoIterator<Item = i64>) -> Result<()> {
        for class in classes {
            let is_class = u64::try_from(class).is_ok_and(|class| class < self.classes as u64);
            if !is_class && class != self.params.ignore_index {
                return Err(Error::invalid(
                    Self::NAME,
                    "target",
                    format!("classes from 0 to {} or ignore_index, {}", self.classes - 1, self.params.ignore_index),
                    format!("{class}"),
                ));
            }
        }
        Ok(())
    }

    /// The shape of the output: that of the rows without a reduction, otherwise that of a scalar.
    pub fn output_shape(&self) -> &[usize] {
        match self.params.reduction {
            Reduction::None => &self.rows_shape,
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
                let ignored = i32::try_from(params.ignore_index).unwrap_or(-1);
                let classes = classes.mapv(|class| i32::try_from(class).unwrap_or(ignored));
                let params = CrossEntropyParams { ignore_index: ignored.into(), ..*params };
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
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu;
