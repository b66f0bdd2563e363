//! What losses whose targets are classes share: rows of scores with a class each.

use ndarray::ArrayD;

use crate::error::{Error, Result};
use crate::shape;

/// An input of a loss: a row of scores for each target, (C), (N,C) or (N,C,d1,..).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScoreRows {
    pub shape: Vec<usize>,
    /// The input's shape without its class dimension.
    pub rows_shape: Vec<usize>,
    pub rows: usize,
    pub classes: usize,
    /// The rows of one item of the batch: the distance from a class to the next.
    pub inner: usize,
}

impl ScoreRows {
    pub fn new(operator: &'static str, input: &[usize]) -> Result<Self> {
        let class_dim = match input.len() {
            0 => {
                return Err(Error::invalid(operator, "input", "1 dimension (C) or more (N,C,..)", "shape []"));
            }
            1 => 0,
            _ => 1,
        };
        shape::element_count(operator, "input", input)?;
        let mut rows_shape = input.to_vec();
        let classes = rows_shape.remove(class_dim);
        let rows = shape::element_count(operator, "target", &rows_shape)?;
        let inner = input[class_dim + 1..].iter().product();
        Ok(ScoreRows { shape: input.to_vec(), rows_shape, rows, classes, inner })
    }

    /// The scores of one item of the batch.
    #[cfg(feature = "gpu-core")]
    pub fn share(&self) -> usize {
        self.classes * self.inner
    }

    /// The items of the batch.
    #[cfg(feature = "gpu-core")]
    pub fn items(&self) -> usize {
        self.rows / self.inner.max(1)
    }

    /// Where the score of a class of a row is.
    pub fn position(&self, row: usize, class: usize) -> usize {
        (row / self.inner * self.classes + class) * self.inner + row % self.inner
    }

    /// The error about a target of another shape.
    pub fn wrong_target(&self, operator: &'static str, expected: &[usize], actual: &[usize]) -> Error {
        let expected = format!("shape {expected:?} beside an input of shape {:?}", self.shape);
        Error::invalid(operator, "target", expected, format!("shape {actual:?}"))
    }

    /// Checks that each class index is a class or `ignore_index`.
    pub fn check_classes(
        &self,
        operator: &'static str,
        classes: impl IntoIterator<Item = i64>,
        ignore_index: i64,
    ) -> Result<()> {
        for class in classes {
            let is_class = u64::try_from(class).is_ok_and(|class| class < self.classes as u64);
            if !is_class && class != ignore_index {
                let last = self.classes as i64 - 1;
                let expected = format!("classes from 0 to {last} or ignore_index, {ignore_index}");
                return Err(Error::invalid(operator, "target", expected, format!("{class}")));
            }
        }
        Ok(())
    }

    /// The same of class indices that the host knows.
    #[cfg(feature = "gpu-core")]
    pub fn check_known_classes(
        &self,
        operator: &'static str,
        classes: &crate::Tensor<i32>,
        ignore_index: i64,
    ) -> Result<()> {
        let known = classes.distinct();
        let known = known.as_deref().unwrap_or_default().iter().map(|&class| class.into());
        self.check_classes(operator, known, ignore_index)
    }
}

/// Checked class indices and `ignore_index` as the GPU takes them. An index that does not fit into i32 is the
/// `ignore_index`.
pub(crate) fn narrowed(classes: &ArrayD<i64>, ignore_index: i64) -> (ArrayD<i32>, i64) {
    let ignored = i32::try_from(ignore_index).unwrap_or(-1);
    (classes.mapv(|class| i32::try_from(class).unwrap_or(ignored)), ignored.into())
}

#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::ScoreRows;
    use crate::gpu::kernel::{Binding, Dispatch, Kernel, uniform};
    use crate::ops::reduction::{Reduction, reduction_parts};

    uniform! {
        pub(crate) struct CountParams {
            rows: u32,
            classes: u32,
            partial_count: u32,
            ignore_index: i32,
            has_ignore_index: u32,
            has_weight: u32,
            hidden_zero: u32,
            has_grad_output: u32,
            is_counted: u32,
            divisor: f32,
            target_base: u32,
            grad_output_base: u32,
            partials: u32,
            factor: u32,
            weights: u32,
            row_factors: u32,
        }
    }

    /// What the gradient of each row's loss is multiplied by, and where in a workspace it is: see
    /// `shaders/parts/class_counts.wgsl`.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Factors {
        pub reduction: Reduction,
        pub ignore_index: i64,
        pub has_weight: bool,
        /// Whether a mean divides by the weights of the rows' classes, otherwise by the number of rows.
        pub is_counted: bool,
        /// Where it begins in the workspace.
        pub begin: usize,
    }

    impl Factors {
        /// Where the factor is. The sum of all weights follows it.
        pub fn factor(&self, of: &ScoreRows) -> usize {
            self.begin + 2 * reduction_parts(of.rows)
        }

        /// Where the weights are.
        pub fn weights(&self, of: &ScoreRows) -> usize {
            self.factor(of) + 3
        }

        /// Where the factors of rows are, without a reduction.
        pub fn row_factors(&self, of: &ScoreRows) -> usize {
            self.weights(of) + if self.has_weight { of.classes } else { 0 }
        }

        /// Where all ends.
        pub fn end(&self, of: &ScoreRows) -> usize {
            self.row_factors(of) + if self.reduction == Reduction::None { of.rows } else { 0 }
        }

        /// The params for this many rows.
        pub fn params(
            &self,
            of: &ScoreRows,
            rows: usize,
            target: Binding,
            grad_output: Option<Binding>,
        ) -> CountParams {
            let ignore_index = i32::try_from(self.ignore_index);
            let is_mean = self.reduction == Reduction::Mean;
            CountParams {
                rows: rows as u32,
                classes: of.classes as u32,
                partial_count: reduction_parts(rows) as u32,
                ignore_index: ignore_index.unwrap_or(0),
                // An `ignore_index` that is no i32 equals no target's class.
                has_ignore_index: u32::from(ignore_index.is_ok()),
                has_weight: u32::from(self.has_weight),
                hidden_zero: 0,
                has_grad_output: u32::from(grad_output.is_some()),
                is_counted: u32::from(is_mean && self.is_counted),
                divisor: if is_mean { rows as f32 } else { 1.0 },
                target_base: target.base,
                grad_output_base: grad_output.map_or(0, |binding| binding.base),
                partials: self.begin as u32,
                factor: self.factor(of) as u32,
                weights: self.weights(of) as u32,
                row_factors: self.row_factors(of) as u32,
            }
        }

        /// Adds what computes the factor of all rows, by the kernels `count_sums` and `factor`. The arguments are target,
        /// weight, grad_output and the workspace.
        pub fn dispatches(
            &self,
            [count_sums, factor]: [&'static Kernel; 2],
            params: CountParams,
            [target, weight, grad_output, workspace]: [Binding; 4],
            add: &mut dyn FnMut(Dispatch),
        ) {
            let bytes = params.to_bytes();
            if params.is_counted != 0 {
                let parts = params.partial_count as usize;
                add(Dispatch::reduction(count_sums, bytes.clone(), &[target, weight, workspace], parts));
            }
            add(Dispatch::reduction(factor, bytes, &[grad_output, workspace], 1));
        }
    }
}
