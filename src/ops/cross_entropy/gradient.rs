//! The gradients of cross_entropy on the GPU: what its backward pass and losses with gradients share.

use ndarray::ArrayD;

use super::plan::CrossEntropyPlan;
use super::{CrossEntropy, CrossEntropyTarget};
use crate::gpu::kernel::{Binding, Dispatch, Kernel, kernel, uniform};
use crate::operator::replay::largest;
use crate::ops::class_targets::{CountParams, Factors};
use crate::ops::reduction::Reduction;

uniform! {
    struct Params {
        rows: u32,
        classes: u32,
        inner: u32,
        ignore_index: i32,
        has_ignore_index: u32,
        has_weight: u32,
        has_row_factors: u32,
        label_smoothing: f32,
        hidden_zero: u32,
        adds: u32,
        input_base: u32,
        target_base: u32,
        factor: u32,
        weights: u32,
        row_factors: u32,
    }
}

/// A kernel for rows, and one for rows in blocks.
macro_rules! of_rows {
    ($entry_point:literal, $storage:tt) => {
        [
            kernel!("cross_entropy_gradient", $entry_point, Params, $storage),
            kernel!(
                "cross_entropy_gradient" with "classes_in_blocks" "gradients_in_blocks"
                    as "cross_entropy_gradient_in_blocks",
                $entry_point,
                Params,
                $storage
            ),
        ]
    };
}

pub(super) static CLASSES: [Kernel; 2] =
    of_rows!("class_gradients", [(1, Read), (3, ReadWrite), (4, ReadWrite), (5, Read)]);
pub(super) static CLASSES_WITH_LOSSES: [Kernel; 2] =
    of_rows!("class_losses_and_gradients", [(1, Read), (3, ReadWrite), (4, ReadWrite), (5, Read)]);
pub(super) static PROBABILITIES: [Kernel; 2] =
    of_rows!("probability_gradients", [(1, Read), (2, Read), (3, ReadWrite), (4, ReadWrite)]);
pub(super) static PROBABILITIES_WITH_LOSSES: [Kernel; 2] =
    of_rows!("probability_losses_and_gradients", [(1, Read), (2, Read), (3, ReadWrite), (4, ReadWrite)]);
pub(super) static TARGETS: [Kernel; 2] = of_rows!("target_gradients", [(1, Read), (3, ReadWrite), (4, ReadWrite)]);

/// What the workspace is filled by: sums of counts, the factor, weights, factors of rows.
pub(super) static FACTORS: [Kernel; 4] = [
    kernel!("cross_entropy_factor", "count_sums", CountParams, [(1, Read), (2, Read), (4, ReadWrite)]),
    kernel!("cross_entropy_factor", "factor", CountParams, [(3, Read), (4, ReadWrite)]),
    kernel!("cross_entropy_factor", "weights", CountParams, [(2, Read), (4, ReadWrite)]),
    kernel!("cross_entropy_factor", "row_factors", CountParams, [(3, Read), (4, ReadWrite)]),
];

/// The invocations of the one workgroup that copies weights.
const WEIGHT_LANES: u32 = 256;

/// What all kernels read.
pub(super) struct GradientBindings {
    pub input: Binding,
    pub target: Option<CrossEntropyTarget<Binding>>,
    pub weight: Option<Binding>,
    pub workspace: Binding,
}

impl GradientBindings {
    fn target(&self) -> Binding {
        match self.target {
            Some(CrossEntropyTarget::Classes(target) | CrossEntropyTarget::Probabilities(target)) => target,
            None => Binding::ABSENT,
        }
    }
}

/// A gradient that is to be computed.
pub(super) struct Gradient {
    pub of: Binding,
    pub adds: bool,
    /// Where the factors begin in the workspace.
    pub begin: usize,
}

impl CrossEntropy {
    /// The factors of rows, from here on in a workspace.
    pub(super) fn factors(&self, begin: usize) -> Factors {
        Factors {
            reduction: self.params.reduction,
            ignore_index: self.params.ignore_index,
            has_weight: self.has_weight,
            is_counted: matches!(self.target, CrossEntropyTarget::Classes(_)),
            begin,
        }
    }

    /// Adds what fills the workspace.
    pub(super) fn factor_dispatches(
        &self,
        factors: &Factors,
        rows: usize,
        bindings: &GradientBindings,
        grad_output: Option<Binding>,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let GradientBindings { input, weight, workspace, .. } = *bindings;
        let [count_sums, factor, weights, row_factors] = &FACTORS;
        let params = factors.params(&self.rows, rows, bindings.target(), grad_output);
        if let Some(weight) = weight {
            let arguments = [weight, workspace];
            let dispatch = Dispatch::per_workgroup(weights, params.to_bytes(), &arguments, 1);
            add(dispatch.with_constant("WORKGROUP_SIZE", WEIGHT_LANES));
        }
        let grad_output = grad_output.unwrap_or(input);
        if self.params.reduction == Reduction::None {
            add(Dispatch::per_element(row_factors, params.to_bytes(), &[grad_output, workspace], rows));
        } else {
            let arguments = [bindings.target(), weight.unwrap_or(input), grad_output, workspace];
            factors.dispatches([count_sums, factor], params, arguments, add);
        }
    }

    /// Adds what computes a gradient of this many rows.
    pub(super) fn gradient_dispatch(
        &self,
        [of_rows, in_blocks]: &'static [Kernel; 2],
        plan: &CrossEntropyPlan,
        rows: usize,
        bindings: &GradientBindings,
        gradient: &Gradient,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let factors = self.factors(gradient.begin);
        let ignore_index = i32::try_from(self.params.ignore_index);
        let params = Params {
            rows: rows as u32,
            classes: self.rows.classes as u32,
            inner: self.rows.inner as u32,
            ignore_index: ignore_index.unwrap_or(0),
            // An `ignore_index` that is no i32 equals no target's class.
            has_ignore_index: u32::from(ignore_index.is_ok()),
            has_weight: u32::from(self.has_weight),
            has_row_factors: u32::from(self.params.reduction == Reduction::None),
            label_smoothing: self.params.label_smoothing as f32,
            hidden_zero: 0,
            adds: u32::from(gradient.adds),
            input_base: bindings.input.base,
            target_base: bindings.target().base,
            factor: factors.factor(&self.rows) as u32,
            weights: factors.weights(&self.rows) as u32,
            row_factors: factors.row_factors(&self.rows) as u32,
        };
        let kernel = if plan.blocks { in_blocks } else { of_rows };
        let GradientBindings { input, workspace, .. } = *bindings;
        let arguments = kernel.storage.iter().map(|(number, _)| match number {
            1 => input,
            3 => gradient.of,
            4 => workspace,
            _ => bindings.target(),
        });
        add(plan.dispatch(kernel, params.to_bytes(), &arguments.collect::<Vec<_>>(), rows));
    }

    /// For each row, bounds of the magnitudes that an element of grad_input and of grad_target adds up. Without
    /// `grad_output` it is 1, and without `target` there is no grad_input.
    pub(super) fn gradient_sizes(
        &self,
        input: &ArrayD<f32>,
        target: Option<&CrossEntropyTarget<ArrayD<i32>, ArrayD<f32>>>,
        weight: Option<&ArrayD<f32>>,
        grad_output: Option<&ArrayD<f32>>,
    ) -> Vec<[f64; 2]> {
        let rows = &self.rows;
        let weights: Vec<_> = match weight {
            Some(weight) => weight.iter().map(|&w| f64::from(w)).collect(),
            None => vec![1.0; rows.classes],
        };
        let grads: Vec<_> =
            grad_output.map_or_else(|| vec![1.0], |grad| grad.iter().map(|&x| f64::from(x.abs())).collect());
        let heaviest = weights.iter().filter(|w| w.is_finite()).fold(0.0, |most: f64, w| most.max(w.abs()));
        // The rows' weights in the mean, and the largest factors of their losses.
        let (counts, shares): (Vec<_>, Vec<_>) = match target {
            Some(CrossEntropyTarget::Classes(classes)) => {
                let of_class = |&class: &i32| weights.get(class as usize).copied().unwrap_or(0.0);
                let is_ignored = |class: i32| i64::from(class) == self.params.ignore_index;
                let counts = classes.iter().map(|class| if is_ignored(*class) { 0.0 } else { of_class(class) });
                let smoothed = self.params.label_smoothing * heaviest;
                (counts.collect(), classes.iter().map(|class| of_class(class).abs() + smoothed).collect())
            }
            Some(CrossEntropyTarget::Probabilities(probabilities)) => {
                let mut sums = vec![self.params.label_smoothing; rows.rows];
                for (index, p) in probabilities.iter().enumerate().filter(|(_, p)| p.is_finite()) {
                    sums[index / rows.share() * rows.inner + index % rows.inner] += f64::from(p.abs());
                }
                (vec![1.0; rows.rows], sums.iter().map(|sum| sum * heaviest).collect())
            }
            None => (vec![1.0; rows.rows], vec![0.0; rows.rows]),
        };
        let divisor = if self.params.reduction == Reduction::Mean { counts.iter().sum::<f64>().abs() } else { 1.0 };
        let logarithms = 2.0 * largest(input) + (rows.classes as f64).ln();
        let size = |row: usize| {
            let grad = grads[if grads.len() == rows.rows { row } else { 0 }] / divisor;
            [2.0 * grad * shares[row], grad * heaviest * logarithms]
        };
        (0..rows.rows).map(size).collect()
    }
}
