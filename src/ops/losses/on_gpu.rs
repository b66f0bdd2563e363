//! Losses that are computed element by element, on the GPU: their plans and dispatches.

use std::fmt;

use smallvec::SmallVec;

use super::ElementwiseLoss;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, blocks_and_rest, uniform};
use crate::gpu::work::Part;
use crate::operator::{Definition, Slot, Slots};
use crate::ops::broadcast::filled;
use crate::ops::reduction::{Reduction, reduction_parts};

/// The number of f32s in a partial sum, and in the weights of an element.
pub(super) const PARTIAL_WORDS: usize = 2;
const PACKED_WORDS: usize = 2;

uniform! {
    pub(crate) struct LossParams {
        lengths: [u32; 4],
        first_strides: [u32; 4],
        second_strides: [u32; 4],
        summed: [u32; 4],
        count: u32,
        partial_count: u32,
        summed_count: u32,
        first: u32,
        base: u32,
        divisor: f32,
        is_mean: u32,
        of_target: u32,
        adds: u32,
        has_each_grad: u32,
        beta: f32,
        has_weight: u32,
        has_pos_weight: u32,
        partial_base: u32,
        hidden_zero: u32,
    }
}

/// elements, blocks, partial_sums, partial_sums_of_blocks, finish.
pub(crate) type LossKernels = [Kernel; 5];

/// gradients, gradient_blocks, and the latter where grad_output is one for all.
pub(crate) type LossGradientKernels = [Kernel; 3];

/// The kernels of a loss's module, forward and backward. In that with packed weights they bind the workspace too.
macro_rules! loss_kernels {
    ($file:literal) => {
        $crate::ops::losses::loss_kernels!(@ [$file], [], "gradient_blocks_of_one", (5, Read), (6, ReadWrite))
    };
    ($file:literal with $variant:literal as $module:literal) => {
        $crate::ops::losses::loss_kernels!(
            @ [$file with $variant as $module], [(4, ReadWrite)], "gradient_blocks", (4, ReadWrite), (6, ReadWrite)
        )
    };
    (@ [$($module:tt)*], [$($packed:tt)*], $of_one:literal, $($grads:tt),*) => {{
        use $crate::gpu::kernel::kernel;
        type Params = $crate::ops::losses::LossParams;
        (
            [
                kernel!($($module)*, "elements", Params, [(1, Read), (2, Read), (3, ReadWrite), $($packed)*]),
                kernel!($($module)*, "blocks", Params, [(1, Read), (2, Read), (3, ReadWrite), $($packed)*]),
                kernel!($($module)*, "partial_sums", Params, [(1, Read), (2, Read), (4, ReadWrite)]),
                kernel!($($module)*, "partial_sums_of_blocks", Params, [(1, Read), (2, Read), (4, ReadWrite)]),
                kernel!($($module)*, "finish", Params, [(3, ReadWrite), (4, ReadWrite)]),
            ],
            [
                kernel!($($module)*, "gradients", Params, [(1, Read), (2, Read), $($grads),*]),
                kernel!($($module)*, "gradient_blocks", Params, [(1, Read), (2, Read), $($grads),*]),
                kernel!($($module)*, $of_one, Params, [(1, Read), (2, Read), $($grads),*]),
            ],
        )
    }};
}
pub(crate) use loss_kernels;

/// How a loss is computed.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossPlan {
    /// One element of the output from one of each operand, in the same order; in blocks of 4 elements, and the rest.
    Elementwise,
    /// One element of the output from the elements that the operands broadcast to it.
    Broadcast,
    /// Blocks of 4 elements, and the rest, with weights from the workspace.
    Weighted,
    /// Partial sums in the workspace, in blocks of 4 elements where possible.
    Reduced {
        /// Whether all operands are read in blocks.
        blocks: bool,
    },
}

impl fmt::Display for LossPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossPlan::Elementwise => "elementwise",
            LossPlan::Broadcast => "broadcast",
            LossPlan::Weighted => "elementwise, with weights",
            LossPlan::Reduced { blocks: true } => "sums in parts, by blocks of 4 elements",
            LossPlan::Reduced { blocks: false } => "sums in parts",
        })
    }
}

/// What is particular to a loss in a uniform.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LossConstants {
    pub beta: f32,
    pub has_weight: bool,
    pub has_pos_weight: bool,
    /// Whether the shader's slopes are half of the derivatives.
    pub halved: bool,
}

impl LossParams {
    /// The same, where weights are packed: then nothing is broadcast.
    pub(super) fn of_packed(self, loss: &ElementwiseLoss) -> Self {
        let lengths = if loss.is_weighted { [1, 1, 1, loss.count() as u32] } else { self.lengths };
        LossParams { lengths, ..self }
    }
}

impl ElementwiseLoss {
    pub(super) fn is_alike(&self) -> bool {
        self.operands.iter().all(|operand| *operand == self.common)
    }

    pub(crate) fn plan(&self) -> LossPlan {
        let is_alike = self.is_weighted || self.is_alike();
        match self.reduction {
            Reduction::None if self.is_weighted => LossPlan::Weighted,
            Reduction::None if is_alike => LossPlan::Elementwise,
            Reduction::None => LossPlan::Broadcast,
            Reduction::Mean | Reduction::Sum => {
                LossPlan::Reduced { blocks: is_alike && self.count().is_multiple_of(BLOCK as usize) }
            }
        }
    }

    /// A slot for an operand or an output of this plan.
    pub(crate) fn cut(&self, plan: &LossPlan, slot: Slot) -> Slot {
        if *plan == LossPlan::Elementwise { slot.cut(1) } else { slot }
    }

    /// The slots of the plan, cut or with their workspace.
    pub(crate) fn declared<O: Definition>(&self, plan: &LossPlan, slots: Slots<O>) -> Slots<O> {
        match plan {
            LossPlan::Elementwise => slots.cut(self.count()),
            LossPlan::Broadcast => slots,
            LossPlan::Weighted => slots.with_workspace(self.packed_words()),
            LossPlan::Reduced { .. } => {
                let partials = PARTIAL_WORDS * reduction_parts(self.count()).max(1);
                slots.with_workspace(self.packed_words() + partials)
            }
        }
    }

    /// The elements of a workspace for the weights of each element.
    pub(super) fn packed_words(&self) -> usize {
        if self.is_weighted { PACKED_WORDS * self.count() } else { 0 }
    }

    /// The params of all kernels, without what follows from a plan.
    pub(crate) fn params(&self, count: usize, constants: LossConstants) -> LossParams {
        let walk = filled(&self.walk);
        let divisor = if self.reduction == Reduction::Mean { self.count() as f32 } else { 1.0 };
        let LossConstants { beta, has_weight, has_pos_weight, halved } = constants;
        LossParams {
            lengths: walk.map(|dimension| dimension.length as u32),
            first_strides: walk.map(|dimension| dimension.strides[0] as u32),
            second_strides: walk.map(|dimension| dimension.strides[1] as u32),
            summed: [1; 4],
            count: count as u32,
            summed_count: 1,
            divisor: if halved { divisor / 2.0 } else { divisor },
            is_mean: u32::from(self.reduction == Reduction::Mean),
            has_each_grad: u32::from(self.reduction == Reduction::None),
            beta,
            has_weight: u32::from(has_weight),
            has_pos_weight: u32::from(has_pos_weight),
            partial_base: (self.packed_words() / PARTIAL_WORDS) as u32,
            ..Default::default()
        }
    }

    /// The dispatches of a loss, given the bindings of input and target.
    pub(crate) fn dispatches(
        &self,
        [elements, blocks, partial_sums, partial_sums_of_blocks, finish]: &'static LossKernels,
        plan: &LossPlan,
        part: &Part,
        constants: LossConstants,
        (inputs, output, workspace): ([Binding; 2], Binding, Binding),
        add: &mut dyn FnMut(Dispatch),
    ) {
        let with = |more: Binding| -> SmallVec<[Binding; 4]> { inputs.into_iter().chain([more]).collect() };
        let is_cut = *plan == LossPlan::Elementwise;
        let count = if is_cut { part.items } else { self.count() };
        let params = self.params(count, constants).of_packed(self);
        match plan {
            LossPlan::Elementwise | LossPlan::Broadcast | LossPlan::Weighted => {
                let params = LossParams { base: output.base, ..params };
                let in_blocks = Some(blocks).filter(|_| *plan != LossPlan::Broadcast);
                let mut arguments = with(output);
                arguments.extend(self.is_weighted.then_some(workspace));
                for (kernel, count, first) in blocks_and_rest(in_blocks, elements, output.base, count) {
                    let params = LossParams { count, first, ..params }.to_bytes();
                    add(Dispatch::per_element(kernel, params, &arguments, count as usize));
                }
            }
            LossPlan::Reduced { blocks } => {
                let partial_count = reduction_parts(count);
                let params = LossParams { partial_count: partial_count as u32, ..params }.to_bytes();
                if count > 0 {
                    let kernel = if *blocks { partial_sums_of_blocks } else { partial_sums };
                    add(Dispatch::reduction(kernel, params.clone(), &with(workspace), partial_count));
                }
                add(Dispatch::reduction(finish, params, &[output, workspace], 1));
            }
        }
    }
}

/// Implements [`Operator`](crate::Operator) for a loss of differences and its backward pass: its type, the types of inputs
/// and outputs, its file, and its constants.
macro_rules! difference_loss {
    ($operator:ident, $inputs:ident, $outputs:ident, $file:literal, $constants:expr) => {
        static KERNELS: ($crate::ops::losses::LossKernels, $crate::ops::losses::LossGradientKernels) =
            $crate::ops::losses::loss_kernels!($file);
        static SUMS: [Kernel; 2] = {
            use $crate::gpu::kernel::kernel;
            type Params = $crate::ops::losses::LossParams;
            [
                kernel!($file, "partial_gradients", Params, [(1, Read), (2, Read), (4, ReadWrite), (5, Read)]),
                kernel!($file, "finish_gradients", Params, [(4, ReadWrite), (6, ReadWrite)]),
            ]
        };

        impl Operator for $operator {
            type Plan = LossPlan;
            const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS.0];

            fn plan(&self, _: &Capabilities) -> LossPlan {
                self.loss.plan()
            }

            fn declare(&self, plan: &LossPlan) -> Slots<Self> {
                let cut = |slot| self.loss.cut(plan, slot);
                let [input, target] = self.loss.operands.each_ref().map(|shape| cut(Slot::read(shape)));
                let output = cut(Slot::write(self.output_shape()));
                self.loss.declared(plan, Slots::new($inputs { input, target }, $outputs { output }))
            }

            fn dispatches(&self, plan: &LossPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
                let $inputs { input, target } = bound.inputs;
                let bindings = ([input, target], bound.outputs.output, bound.workspace);
                self.loss.dispatches(&KERNELS.0, plan, part, $constants(self), bindings, add);
            }

            fn rounding<'a>(
                &'a self,
                _: &LossPlan,
                inputs: &'a ArraysOf<Self>,
                computed: &'a Computed<Self>,
            ) -> Result<Tolerance<'a>> {
                let difference = largest(&inputs.input) + largest(&inputs.target);
                let peak = difference.powi(<$operator as DifferenceLoss>::POWER) * self.loss.count() as f64;
                let sizes = computed.outputs.output.clone().into_flat();
                Ok(Box::new(move |_, index| unless_overflown(peak, rounding(16, sizes[index].into()))))
            }
        }

        impl Operator for Backward<$operator> {
            type Plan = LossBackwardPlan;
            const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS.1, &SUMS];

            fn plan(&self, _: &Capabilities) -> LossBackwardPlan {
                self.loss_plan(&self.forward.loss)
            }

            fn declare(&self, plan: &LossBackwardPlan) -> Slots<Self> {
                let loss = &self.forward.loss;
                loss.backward_declared(plan, self.slots(|name| loss.share(name)))
            }

            fn dispatches(
                &self,
                plan: &LossBackwardPlan,
                part: &Part,
                bound: &Bound<Self>,
                add: &mut dyn FnMut(Dispatch),
            ) {
                let (inputs, outputs) = (bound.inputs, bound.outputs);
                let gradients = [
                    (outputs.grad_input.or(inputs.grad_input), self.adds("grad_input")),
                    (outputs.grad_target.or(inputs.grad_target), self.adds("grad_target")),
                ];
                let bindings = ([inputs.input, inputs.target], inputs.grad_output, bound.workspace);
                let (loss, constants) = (&self.forward.loss, $constants(&self.forward));
                let kernels = (&KERNELS.1, Some(&SUMS));
                loss.gradient_dispatches(kernels, (plan, part), constants, bindings, gradients, add);
            }

            fn rounding<'a>(
                &'a self,
                _: &LossBackwardPlan,
                inputs: &'a ArraysOf<Self>,
                computed: &'a Computed<Self>,
            ) -> Result<Tolerance<'a>> {
                let sizes = $crate::ops::losses::difference_sizes(&self.forward, inputs);
                let before = [&inputs.grad_input, &inputs.grad_target];
                Ok(self.loss_tolerance(8, [sizes.clone(), sizes], before, computed))
            }
        }
    };
}
pub(crate) use difference_loss;
