//! cross_entropy: how far a softmax is from its targets.

use crate::error::{Error, Result};
use crate::ops::Reduction;
use crate::shape;

const NAME: &str = "cross_entropy";

/// f32s of a partial sum.
const PARTIAL_WORDS: usize = 4;

/// The most classes: a workgroup of 256 goes over them twice, and some drivers end loops after 65,535 iterations.
const MAX_CLASSES: usize = 256 * 16_000;

/// Parameters of [`cross_entropy`](crate::cross_entropy), as in `torch.nn.functional.cross_entropy`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropyParams {
    /// A class index whose rows do not count; for targets that are class indices.
    pub ignore_index: i64,
    /// Whether the losses are returned as they are, or their mean or sum.
    pub reduction: Reduction,
    /// How much of each target is spread evenly over all classes, from 0 to 1.
    pub label_smoothing: f64,
}

impl Default for CrossEntropyParams {
    fn default() -> Self {
        CrossEntropyParams { ignore_index: -100, reduction: Reduction::Mean, label_smoothing: 0.0 }
    }
}

/// The targets of [`cross_entropy`](crate::cross_entropy): their shape, array, tensor or buffer, as the place asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrossEntropyTarget<C, P = C> {
    /// A class index for each row: the input's shape without its class dimension.
    Classes(C),
    /// A probability for each class of each row: the input's shape.
    Probabilities(P),
}

/// A validated [`cross_entropy`](crate::cross_entropy) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    pub(crate) params: CrossEntropyParams,
    /// The input's shape without its class dimension.
    rows_shape: Vec<usize>,
    pub(crate) rows: usize,
    pub(crate) classes: usize,
    /// Rows of one item of the batch, which is how far a class is from the next.
    pub(crate) inner: usize,
    target: CrossEntropyTarget<()>,
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
                return Err(Error::invalid(NAME, "input", "1 dimension (C) or more (N,C,..)", "shape []"));
            }
            1 => 0,
            _ => 1,
        };
        let classes = input[class_dim];
        shape::element_count(NAME, "input", input)?;
        if classes == 0 {
            return Err(Error::invalid(NAME, "input", "at least 1 class", format!("shape {input:?}")));
        }
        if classes > MAX_CLASSES {
            return Err(Error::LimitExceeded {
                operator: NAME,
                argument: "input",
                limit: "the number of classes",
                maximum: MAX_CLASSES as u64,
                actual: classes as u64,
            });
        }
        let mut rows_shape = input.to_vec();
        rows_shape.remove(class_dim);
        let rows = shape::element_count(NAME, "target", &rows_shape)?;
        let inner = input[class_dim + 1..].iter().product();

        let (expected, actual, target) = match target {
            CrossEntropyTarget::Classes(shape) => (&rows_shape[..], shape, CrossEntropyTarget::Classes(())),
            CrossEntropyTarget::Probabilities(shape) => (input, shape, CrossEntropyTarget::Probabilities(())),
        };
        // PyTorch takes a single row's class as (1) too, but does not smooth it.
        let is_single = input.len() == 1
            && matches!(target, CrossEntropyTarget::Classes(()))
            && actual == [1]
            && params.label_smoothing == 0.0;
        if expected != actual && !is_single {
            return Err(Error::invalid(
                NAME,
                "target",
                format!("shape {expected:?} beside an input of shape {input:?}"),
                format!("shape {actual:?}"),
            ));
        }
        shape::expect_vector(NAME, "weight", classes, weight)?;
        if !(0.0..=1.0).contains(&params.label_smoothing) {
            return Err(Error::invalid(
                NAME,
                "label_smoothing",
                "a number from 0 to 1",
                format!("{}", params.label_smoothing),
            ));
        }
        if target == CrossEntropyTarget::Probabilities(()) && params.ignore_index >= 0 {
            return Err(Error::invalid(
                NAME,
                "ignore_index",
                "a negative number, which is none, beside probabilities",
                format!("{}", params.ignore_index),
            ));
        }
        Ok(CrossEntropy { params: *params, rows_shape, rows, classes, inner, target, has_weight: weight.is_some() })
    }

    /// Checks class indices: each a class or `ignore_index`.
    ///
    /// The CPU reference and eager calls do this by themselves with all targets whose values the host knows. Of targets
    /// that the GPU made or that lie in a caller's buffer it knows none: there, a row with an index outside the classes
    /// gets the loss NaN.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for the first that is neither.
    pub fn check_classes(&self, classes: impl IntoIterator<Item = i64>) -> Result<()> {
        for class in classes {
            let is_class = u64::try_from(class).is_ok_and(|class| class < self.classes as u64);
            if !is_class && class != self.params.ignore_index {
                return Err(Error::invalid(
                    NAME,
                    "target",
                    format!("classes from 0 to {} or ignore_index, {}", self.classes - 1, self.params.ignore_index),
                    format!("{class}"),
                ));
            }
        }
        Ok(())
    }

    /// The shape of the output: that of the rows without a reduction, else that of a scalar.
    pub fn output_shape(&self) -> Vec<usize> {
        match self.params.reduction {
            Reduction::None => self.rows_shape.clone(),
            Reduction::Mean | Reduction::Sum => Vec::new(),
        }
    }

    fn workspace_elements(&self) -> usize {
        match self.params.reduction {
            Reduction::None => 0,
            Reduction::Mean | Reduction::Sum => {
                (2 * self.rows + PARTIAL_WORDS * shape::reduction_parts(self.rows)).max(1)
            }
        }
    }

    /// Bytes of workspace that recording needs.
    pub fn workspace_size(&self) -> u64 {
        self.workspace_elements() as u64 * shape::ELEMENT_BYTES
    }
}

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu;
