//! The gradients of losses that are computed element by element, on the GPU: their plans and dispatches.

use std::fmt;

use ndarray::ArrayD;

use super::on_gpu::{LossConstants, LossGradientKernels, LossParams, PARTIAL_WORDS};
use super::{ElementwiseLoss, LossGradients};
use crate::gpu::kernel::{Binding, Dispatch, Kernel, blocks_and_rest};
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{Backward, Computed, Definition, Differentiable, Slots, Tolerance};
use crate::ops::broadcast::{WalkDimension, filled, summed_to};
use crate::ops::reduction::{Reduction, reduction_parts};

/// An invocation adds as many terms of a gradient; more are added by workgroups.
const MAX_TERMS: usize = 256;

/// How the gradients of a loss are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LossBackwardPlan {
    /// The input's and the target's, where they are wanted.
    gradients: [Option<Terms>; 2],
}

/// How the terms of a gradient's elements are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terms {
    /// There is one for each; blocks of 4 elements, and the rest.
    Alike,
    /// One invocation adds those of an element.
    Few { elements: usize, terms: usize },
    /// Partial sums in the workspace.
    Many { elements: usize, terms: usize },
}

impl fmt::Display for LossBackwardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |terms: &Terms| match terms {
            Terms::Alike => "elementwise",
            Terms::Few { .. } => "broadcast",
            Terms::Many { .. } => "sums in parts",
        };
        let texts: Vec<_> = self.gradients.iter().flatten().map(text).collect();
        f.write_str(&texts.join("; "))
    }
}

impl ElementwiseLoss {
    /// The plan for the gradients that are wanted, of operands of these shapes.
    fn backward_plan(&self, wanted: [Option<Vec<usize>>; 2]) -> LossBackwardPlan {
        let is_alike = self.is_weighted || self.is_alike();
        let gradients = wanted.map(|shape| {
            let elements: usize = shape?.iter().product();
            let terms = self.count().checked_div(elements).unwrap_or(0);
            Some(match terms {
                _ if is_alike => Terms::Alike,
                0..=MAX_TERMS => Terms::Few { elements, terms },
                _ => Terms::Many { elements, terms },
            })
        });
        LossBackwardPlan { gradients }
    }

    /// The elements that each item of an argument of the backward pass has, where it is cut.
    pub(crate) fn share(&self, name: &str) -> Option<usize> {
        let is_cut =
            !self.is_weighted && self.is_alike() && !(name == "grad_output" && self.reduction != Reduction::None);
        is_cut.then_some(1)
    }

    /// The slots of the backward pass, cut or with their workspace.
    pub(crate) fn backward_declared<O: Definition>(&self, plan: &LossBackwardPlan, slots: Slots<O>) -> Slots<O> {
        let workspace = |terms: &Terms| match terms {
            Terms::Many { elements, terms } => PARTIAL_WORDS * elements * reduction_parts(*terms),
            Terms::Alike | Terms::Few { .. } => 0,
        };
        if self.is_weighted {
            slots.with_workspace(self.packed_words())
        } else if self.is_alike() {
            slots.cut(self.count())
        } else {
            slots.with_workspace(plan.gradients.iter().flatten().map(workspace).max().unwrap_or(0))
        }
    }

    /// The dispatches of the gradients, each with whether it is added to what is there. `sums` are partial_gradients and
    /// finish_gradients.
    pub(crate) fn gradient_dispatches(
        &self,
        (kernels, sums): (&'static LossGradientKernels, Option<&'static [Kernel; 2]>),
        (plan, part): (&LossBackwardPlan, &Part),
        constants: LossConstants,
        (inputs, grad_output, workspace): ([Binding; 2], Binding, Binding),
        bindings: [(Option<Binding>, bool); 2],
        add: &mut dyn FnMut(Dispatch),
    ) {
        let [gradients, gradient_blocks, gradient_blocks_of_one] = kernels;
        let [input, target] = inputs;
        // Packed weights are times grad_output.
        let grads = if self.is_weighted { workspace } else { grad_output };
        let count = if self.is_weighted { self.count() } else { part.items };
        for (operand, (terms, (gradient, adds))) in plan.gradients.iter().zip(bindings).enumerate() {
            let (Some(terms), Some(gradient)) = (terms, gradient) else { continue };
            let params = LossParams {
                of_target: u32::from(operand == 1),
                adds: u32::from(adds),
                base: gradient.base,
                ..self.params(0, constants).of_packed(self)
            };
            let summed = |elements: usize, terms: usize| {
                let of = |dimension: WalkDimension| {
                    if dimension.strides[operand] == 0 { dimension.length as u32 } else { 1 }
                };
                let summed = if terms == 1 { [1; 4] } else { filled(&self.walk).map(of) };
                LossParams { summed, summed_count: terms as u32, count: elements as u32, ..params }
            };
            match *terms {
                Terms::Alike => {
                    let has_one = self.reduction != Reduction::None;
                    let in_blocks = if has_one { gradient_blocks_of_one } else { gradient_blocks };
                    let parts = blocks_and_rest(Some(in_blocks), gradients, gradient.base, count);
                    for (kernel, count, first) in parts {
                        let params = LossParams { count, first, ..params }.to_bytes();
                        add(Dispatch::per_element(kernel, params, &[input, target, grads, gradient], count as usize));
                    }
                }
                Terms::Few { elements: 0, .. } => {}
                Terms::Few { elements, terms } => {
                    let params = summed(elements, terms).to_bytes();
                    add(Dispatch::per_element(gradients, params, &[input, target, grads, gradient], elements));
                }
                Terms::Many { elements, terms } => {
                    // Only operands with kernels for sums can be broadcast.
                    let Some([partial_gradients, finish_gradients]) = sums else { continue };
                    let partial_count = reduction_parts(terms);
                    let params = LossParams { partial_count: partial_count as u32, ..summed(elements, terms) };
                    let params = params.to_bytes();
                    let arguments = [input, target, workspace, grad_output];
                    add(Dispatch::reduction(partial_gradients, params.clone(), &arguments, elements * partial_count));
                    add(Dispatch::reduction(finish_gradients, params, &[workspace, gradient], elements));
                }
            }
        }
    }
}

impl<O: Differentiable<Gradients = LossGradients<()>>> Backward<O> {
    pub(crate) fn loss_plan(&self, loss: &ElementwiseLoss) -> LossBackwardPlan {
        let shapes = self.forward.gradient_shapes();
        let wanted = |name, shape: &Option<Vec<usize>>| shape.clone().filter(|_| self.wants(name));
        loss.backward_plan([wanted("grad_input", &shapes.grad_input), wanted("grad_target", &shapes.grad_target)])
    }

    /// How far so many roundings of each term may bring gradients, given the sizes of the terms of the input's and of the
    /// target's.
    pub(crate) fn loss_tolerance<'a>(
        &self,
        roundings: usize,
        sizes: [ArrayD<f64>; 2],
        before: [&'a Option<ArrayD<f32>>; 2],
        computed: &'a Computed<Self>,
    ) -> Tolerance<'a>
    where
        Self: Definition<Outputs = LossGradients<()>>,
    {
        let names = ["grad_input", "grad_target"];
        let shapes = self.forward.gradient_shapes();
        let shapes = [shapes.grad_input, shapes.grad_target].map(Option::unwrap_or_default);
        let written = [&computed.outputs.grad_input, &computed.outputs.grad_target];
        let sizes = [0, 1].map(|of| {
            let mut sizes = summed_to(sizes[of].clone(), &shapes[of]);
            let updated = computed.updated_floats().find(|(name, _)| name.field == names[of]).map(|(_, array)| array);
            for array in [written[of].as_ref(), before[of].as_ref(), updated].into_iter().flatten() {
                sizes.zip_mut_with(array, |size, x| *size += f64::from(x.abs()));
            }
            sizes.into_iter().collect::<Vec<_>>()
        });
        Box::new(move |name, index| rounding(roundings, sizes[usize::from(name == names[1])][index]))
    }
}
