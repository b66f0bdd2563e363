//! cross_entropy on the GPU: its plan, its dispatches, and the eager call.

use std::slice::from_ref;

use super::gradient::{self, Gradient, GradientBindings};
use super::plan::CrossEntropyPlan;
use super::{
    CrossEntropy, CrossEntropyInputs, CrossEntropyOutputs, CrossEntropyParams, CrossEntropyTarget, PARTIAL_WORDS,
};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{largest, rounding, unless_overflown};
use crate::operator::{ArraysOf, Bound, Computed, Definition, InputsOf, Operator, Slot, Slots, Tolerance};
use crate::ops::reduction::{Reduction, reduction_parts};

uniform! {
    struct Params {
        rows: u32,
        classes: u32,
        inner: u32,
        partial_count: u32,
        ignore_index: i32,
        has_ignore_index: u32,
        has_weight: u32,
        is_mean: u32,
        writes_weights: u32,
        label_smoothing: f32,
        hidden_zero: u32,
        input_base: u32,
        target_base: u32,
        output_base: u32,
    }
}

static CLASS_LOSSES: Kernel =
    kernel!("cross_entropy", "class_losses", Params, [(1, Read), (2, Read), (4, Read), (5, ReadWrite)]);
static CLASS_LOSSES_IN_BLOCKS: Kernel = kernel!(
    "cross_entropy" with "classes_in_blocks" as "cross_entropy_in_blocks",
    "class_losses",
    Params,
    [(1, Read), (2, Read), (4, Read), (5, ReadWrite)]
);
static PROBABILITY_LOSSES: Kernel =
    kernel!("cross_entropy", "probability_losses", Params, [(1, Read), (3, Read), (4, Read), (5, ReadWrite)]);
static PROBABILITY_LOSSES_IN_BLOCKS: Kernel = kernel!(
    "cross_entropy" with "classes_in_blocks" as "cross_entropy_in_blocks",
    "probability_losses",
    Params,
    [(1, Read), (3, Read), (4, Read), (5, ReadWrite)]
);
static PARTIAL_SUMS: Kernel = kernel!("cross_entropy", "partial_sums", Params, [(5, ReadWrite)]);
static FINISH: Kernel = kernel!("cross_entropy", "finish", Params, [(5, ReadWrite), (6, ReadWrite)]);

impl Operator for CrossEntropy {
    type Plan = CrossEntropyPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[
        from_ref(&CLASS_LOSSES),
        from_ref(&CLASS_LOSSES_IN_BLOCKS),
        from_ref(&PROBABILITY_LOSSES),
        from_ref(&PROBABILITY_LOSSES_IN_BLOCKS),
        from_ref(&PARTIAL_SUMS),
        from_ref(&FINISH),
        &gradient::CLASSES_WITH_LOSSES,
        &gradient::PROBABILITIES_WITH_LOSSES,
        &gradient::FACTORS,
    ];

    fn plan(&self, on: &Capabilities) -> CrossEntropyPlan {
        CrossEntropyPlan::new(&self.rows, on)
    }

    fn declare(&self, _: &CrossEntropyPlan) -> Slots<Self> {
        let (rows, scores) = (&self.rows, self.rows.share());
        let target = match &self.target {
            CrossEntropyTarget::Classes(shape) => {
                CrossEntropyTarget::Classes(Slot::read(shape).of_integers().cut(rows.inner))
            }
            CrossEntropyTarget::Probabilities(shape) => {
                CrossEntropyTarget::Probabilities(Slot::read(shape).cut(scores))
            }
        };
        let inputs = CrossEntropyInputs {
            input: Slot::read(&rows.shape).cut(scores),
            target,
            weight: self.has_weight.then(|| Slot::read(&[rows.classes])),
        };
        let outputs = CrossEntropyOutputs {
            output: Slot::write(self.output_shape()).cut(rows.inner),
            grad_input: self.with_gradient.then(|| Slot::write(&rows.shape)),
        };
        let slots = Slots::new(inputs, outputs);
        match self.params.reduction {
            Reduction::None => slots.cut(rows.items()),
            // A reduced loss is a sum over all rows, which cannot be cut.
            Reduction::Mean | Reduction::Sum => {
                let losses = self.loss_words();
                let elements = if self.with_gradient { self.factors(losses).end(rows) } else { losses };
                slots.whole().with_workspace(elements.max(1))
            }
        }
    }

    fn dispatches(&self, plan: &CrossEntropyPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let Bound { inputs, outputs, workspace } = bound;
        let (rows, workspace) = (&self.rows, *workspace);
        let is_reduced = self.params.reduction != Reduction::None;
        let ignore_index = i32::try_from(self.params.ignore_index);
        let count = if is_reduced { rows.rows } else { part.items * rows.inner };
        let partial_count = reduction_parts(count);
        let target = match inputs.target {
            CrossEntropyTarget::Classes(target) | CrossEntropyTarget::Probabilities(target) => target,
        };
        let params = Params {
            rows: count as u32,
            classes: rows.classes as u32,
            inner: rows.inner as u32,
            partial_count: partial_count as u32,
            ignore_index: ignore_index.unwrap_or(0),
            // An `ignore_index` that is no i32 equals no target's class.
            has_ignore_index: u32::from(ignore_index.is_ok()),
            has_weight: u32::from(self.has_weight),
            is_mean: u32::from(self.params.reduction == Reduction::Mean),
            writes_weights: u32::from(is_reduced),
            label_smoothing: self.params.label_smoothing as f32,
            hidden_zero: 0,
            input_base: inputs.input.base,
            target_base: target.base,
            output_base: outputs.output.base,
        }
        .to_bytes();
        if let (Some(of), true) = (outputs.grad_input, count > 0) {
            let bindings =
                GradientBindings { input: inputs.input, target: Some(inputs.target), weight: inputs.weight, workspace };
            let begin = self.loss_words();
            self.factor_dispatches(&self.factors(begin), count, &bindings, None, add);
            let kernels = match self.target {
                CrossEntropyTarget::Classes(_) => &gradient::CLASSES_WITH_LOSSES,
                CrossEntropyTarget::Probabilities(_) => &gradient::PROBABILITIES_WITH_LOSSES,
            };
            self.gradient_dispatch(kernels, plan, count, &bindings, &Gradient { of, adds: false, begin }, add);
        } else if count > 0 {
            let kernel = match (&self.target, plan.blocks) {
                (CrossEntropyTarget::Classes(_), false) => &CLASS_LOSSES,
                (CrossEntropyTarget::Classes(_), true) => &CLASS_LOSSES_IN_BLOCKS,
                (CrossEntropyTarget::Probabilities(_), false) => &PROBABILITY_LOSSES,
                (CrossEntropyTarget::Probabilities(_), true) => &PROBABILITY_LOSSES_IN_BLOCKS,
            };
            let losses = if is_reduced { workspace } else { outputs.output };
            let arguments = [inputs.input, target, inputs.weight.unwrap_or(inputs.input), losses];
            add(plan.dispatch(kernel, params.clone(), &arguments, count));
        }
        if is_reduced {
            if count > 0 {
                add(Dispatch::reduction(&PARTIAL_SUMS, params.clone(), &[workspace], partial_count));
            }
            add(Dispatch::reduction(&FINISH, params, &[workspace, outputs.output], 1));
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &CrossEntropyPlan,
        inputs: &'a ArraysOf<Self>,
        _: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let (rows, classes) = (self.rows.rows as f64, self.rows.classes as f64);
        let share = match &inputs.target {
            CrossEntropyTarget::Classes(_) => 1.0,
            CrossEntropyTarget::Probabilities(array) => (classes * largest(array)).max(1.0),
        };
        let added = if self.params.reduction == Reduction::Sum { rows } else { 1.0 };
        let one = 2.0 * largest(&inputs.input) + classes.ln() + 1.0;
        let size = one * share * added * inputs.weight.as_ref().map_or(1.0, |weights| largest(weights).max(1.0));
        let tolerance = unless_overflown(size * rows, rounding(16, size));
        let sizes = match self.with_gradient {
            true => self.gradient_sizes(&inputs.input, Some(&inputs.target), inputs.weight.as_ref(), None),
            false => Vec::new(),
        };
        let (share, inner) = (self.rows.share(), self.rows.inner);
        Ok(Box::new(move |name, index| match name {
            "grad_input" => rounding(32, sizes[index / share * inner + index % inner][0]),
            _ => tolerance,
        }))
    }

    fn check(&self, inputs: &InputsOf<Self, &Tensor, &Tensor<i32>>) -> Result<()> {
        self.check_known_classes(Self::NAME, &inputs.target)
    }
}

impl CrossEntropy {
    /// The words of workspace for losses, counts and their partial sums.
    fn loss_words(&self) -> usize {
        2 * self.rows.rows + PARTIAL_WORDS * reduction_parts(self.rows.rows)
    }

    /// Checks class indices that the host knows.
    pub(super) fn check_known_classes(
        &self,
        operator: &'static str,
        target: &CrossEntropyTarget<&Tensor<i32>, &Tensor>,
    ) -> Result<()> {
        match target {
            CrossEntropyTarget::Classes(classes) => {
                self.rows.check_known_classes(operator, classes, self.params.ignore_index)
            }
            CrossEntropyTarget::Probabilities(_) => Ok(()),
        }
    }
}

impl<'a> CrossEntropyTarget<&'a Tensor<i32>, &'a Tensor> {
    pub(super) fn shape(&self) -> CrossEntropyTarget<&'a [usize]> {
        match *self {
            CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes.shape()),
            CrossEntropyTarget::Probabilities(array) => CrossEntropyTarget::Probabilities(array.shape()),
        }
    }
}

/// The cross entropy between the softmax of an input (C), (N,C) or (N,C,d1,..) and targets, as
/// [`torch.nn.functional.cross_entropy`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.cross_entropy.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{CrossEntropyParams, CrossEntropyTarget, Gpu, Tensor, cross_entropy};
///
/// let gpu = Gpu::new_blocking()?;
/// let logits = Tensor::from_array(&gpu, &ndarray::array![[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])?;
/// let classes = Tensor::from_array(&gpu, &ndarray::array![0, 1])?;
/// let target = CrossEntropyTarget::Classes(&classes);
/// let loss = cross_entropy(&logits, target, None, &CrossEntropyParams::default())?;
/// assert!(loss.read_blocking()?.first() < Some(&1.0));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`CrossEntropy::new`] and [`Operator::call`], and as [`CrossEntropy::check_classes`] for class indices
/// that were uploaded.
pub fn cross_entropy(
    input: &Tensor,
    target: CrossEntropyTarget<&Tensor<i32>, &Tensor>,
    weight: Option<&Tensor>,
    params: &CrossEntropyParams,
) -> Result<Tensor> {
    let operator = CrossEntropy::new(input.shape(), target.shape(), weight.map(Tensor::shape), params)?;
    Ok(operator.call(&CrossEntropyInputs { input, target, weight })?.output)
}
