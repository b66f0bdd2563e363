//! The gradient of pad on the GPU.

use std::fmt;

use super::on_gpu::{ADDING, KERNELS};
use super::{Pad, PadMode, PadParams, Step};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, LoopParts, kernel, split_loops, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slots, Tolerance};
use crate::ops::UnaryBackwardInputs;

uniform! {
    struct Params {
        lengths: [u32; 4],
        output_lengths: [u32; 4],
        before: [u32; 4],
        strides: [u32; 4],
        inner_begin: [u32; 4],
        inner_end: [u32; 4],
        begin: [u32; 4],
        end: [u32; 4],
        count: u32,
        adds: u32,
        input_base: u32,
        output_base: u32,
        hidden_zero: u32,
    }
}

static SUMS: [Kernel; 2] = [
    kernel!("pad_backward", "elements", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("pad_backward", "blocks", Params, [(1, Read), (2, ReadWrite)]),
];

/// How the gradient of a padding is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PadBackwardPlan {
    /// A constant's places are cut off.
    Cut,
    /// The places of each element are added, in ranges where loops would be too long.
    #[doc(hidden)]
    Sums { parts: LoopParts },
}

impl fmt::Display for PadBackwardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PadBackwardPlan::Cut => f.write_str("blocks of 4 elements, and the rest"),
            PadBackwardPlan::Sums { parts } => {
                f.write_str("the places of an element")?;
                if parts.len() > 1 { write!(f, ", in {} parts", parts.len()) } else { Ok(()) }
            }
        }
    }
}

impl Operator for Backward<Pad> {
    type Plan = PadBackwardPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS, &ADDING, &SUMS];

    fn plan(&self, on: &Capabilities) -> PadBackwardPlan {
        let Pad { mode, walk, .. } = &self.forward;
        // The most places of an element along a dimension.
        let places = |index: usize| match (mode, walk.get(index)) {
            (PadMode::Reflect, Some(step)) if step.is_padded() => 3,
            (PadMode::Replicate, Some(step)) if step.is_padded() => step.output.max(1),
            _ => 1,
        };
        match mode {
            PadMode::Constant => PadBackwardPlan::Cut,
            _ => PadBackwardPlan::Sums { parts: split_loops(on, [2, 1, 0].map(places), 1) },
        }
    }

    fn declare(&self, _: &PadBackwardPlan) -> Slots<Self> {
        let Pad { input, output, .. } = &self.forward;
        match self.forward.items() {
            1 => self.slots(|_| None),
            items => {
                let share = |shape: &[usize]| shape[1..].iter().product();
                self.slots(|name| Some(share(if name == "grad_output" { output } else { input }))).cut(items)
            }
        }
    }

    fn dispatches(&self, plan: &PadBackwardPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let Some(grad_input) = bound.outputs.grad_input.or(bound.inputs.grad_input) else { return };
        let arguments = [bound.inputs.grad_output, grad_input];
        let adds = self.adds("grad_input");
        match plan {
            PadBackwardPlan::Cut => {
                let kernels = if adds { &ADDING } else { &KERNELS };
                self.forward.inverse().moves(kernels, part.items, arguments, add);
            }
            PadBackwardPlan::Sums { parts } => self.forward.sums(parts, part.items, arguments, adds, add),
        }
    }

    fn rounding<'a>(
        &'a self,
        plan: &'a PadBackwardPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let magnitudes = self.of_magnitudes(inputs, computed)?;
        let roundings = match plan {
            PadBackwardPlan::Cut => usize::from(self.adds("grad_input")),
            PadBackwardPlan::Sums { parts } => 3 + parts.len(),
        };
        Ok(Box::new(move |_, index| match roundings {
            0 => 0.0,
            _ => rounding(roundings, magnitudes[0][index].into()),
        }))
    }
}

impl Pad {
    /// The sums of some items.
    fn sums(
        &self,
        parts: &LoopParts,
        items: usize,
        [grad_output, grad_input]: [Binding; 2],
        adds: bool,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let count = self.input.iter().product::<usize>() / self.items() * items;
        if count == 0 {
            return;
        }
        // Up to 3 dimensions may be padded in these modes, and those before them are one.
        let mut steps = [Step { input: 1, output: 1, before: 0, stride: 0 }; 4];
        steps[..self.walk.len()].copy_from_slice(&self.walk);
        let mut strides = [1; 4];
        for dimension in 1..4 {
            strides[dimension] = strides[dimension - 1] * steps[dimension - 1].output as u32;
        }
        // The first element that is in one place alone, and the first after these; or some that are in several.
        let inner = steps.map(|Step { input, output, before, .. }| {
            let after = output as isize - before - input as isize;
            let reach = |padding: isize| match self.mode {
                _ if padding <= 0 => -padding,
                PadMode::Reflect => padding + 1,
                _ => 1,
            };
            [reach(before), input as isize - reach(after)]
        });
        let in_blocks = [steps[0].input as u32, grad_input.base].iter().all(|value| value.is_multiple_of(BLOCK));
        let invocations = if in_blocks { count / BLOCK as usize } else { count };
        for (index, [planes, rows, cols]) in parts.iter().enumerate() {
            let params = Params {
                lengths: steps.map(|step| step.input as u32),
                output_lengths: steps.map(|step| step.output as u32),
                before: steps.map(|step| (step.before as i32).cast_unsigned()),
                strides,
                inner_begin: inner.map(|[begin, _]| (begin as i32).cast_unsigned()),
                inner_end: inner.map(|[_, end]| (end as i32).cast_unsigned()),
                begin: [cols.start, rows.start, planes.start, 0],
                end: [cols.end, rows.end, planes.end, 1],
                count: invocations as u32,
                adds: u32::from(adds || index > 0),
                input_base: grad_input.base,
                output_base: grad_output.base,
                hidden_zero: 0,
            };
            let kernel = &SUMS[usize::from(in_blocks)];
            add(Dispatch::per_element(kernel, params.to_bytes(), &[grad_output, grad_input], invocations)
                .with_constant("MODE", self.mode.constant()));
        }
    }
}

/// The gradient of [`pad`](crate::pad) with respect to its input, of this shape: each element is the sum of `grad_output`
/// over the places that it fills, as PyTorch's autograd of
/// [`torch.nn.functional.pad`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.pad.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, PadMode, PadParams, Tensor, pad_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let grad_output = Tensor::from_array(&gpu, &ndarray::array![[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]])?;
/// let params = PadParams { mode: PadMode::Reflect, ..PadParams::new(vec![2, 1]) };
/// assert_eq!(pad_backward(&grad_output, &[1, 1, 3], &params)?.read_vec_blocking()?, [3.0, 12.0, 6.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Pad::new`] and [`Operator::call`].
pub fn pad_backward(grad_output: &Tensor, input: &[usize], params: &PadParams) -> Result<Tensor> {
    let backward = Pad::new(input, params)?.backward_of_all()?;
    Ok(backward.call(&UnaryBackwardInputs::new(grad_output))?.grad_input.expect("it is wanted"))
}
