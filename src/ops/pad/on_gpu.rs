//! pad on the GPU: its dispatches, and the eager call.

use std::fmt;

use super::{MAX_RANK, Pad, PadMode, PadParams, Step};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Binding, Dispatch, Kernel, blocks_and_rest, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::{Bound, Operator, Slot, Slots};
use crate::ops::{UnaryInputs, UnaryOutputs};

uniform! {
    struct Params {
        lengths_0: [u32; 4],
        lengths_1: [u32; 4],
        input_lengths_0: [u32; 4],
        input_lengths_1: [u32; 4],
        before_0: [u32; 4],
        before_1: [u32; 4],
        strides_0: [u32; 4],
        strides_1: [u32; 4],
        count: u32,
        first: u32,
        value: u32,
        input_base: u32,
        output_base: u32,
    }
}

pub(super) static KERNELS: [Kernel; 2] = [
    kernel!("pad", "elements", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("pad", "blocks", Params, [(1, Read), (2, ReadWrite)]),
];
/// The same, which add to what is there.
pub(super) static ADDING: [Kernel; 2] = [
    kernel!("pad" with "moved_add" as "pad_add", "elements", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("pad" with "moved_add" as "pad_add", "blocks", Params, [(1, Read), (2, ReadWrite)]),
];

/// The plan of a padding, the same on all devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PadPlan {
    dimensions: usize,
}

impl fmt::Display for PadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocks of 4 elements over {} dimensions, and the rest", self.dimensions)
    }
}

impl Operator for Pad {
    type Plan = PadPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

    fn plan(&self, _: &Capabilities) -> PadPlan {
        PadPlan { dimensions: self.walk.len().max(1) }
    }

    fn declare(&self, _: &PadPlan) -> Slots<Self> {
        let inputs = UnaryInputs { input: Slot::read(&self.input) };
        let slots = Slots::<Self>::new(inputs, UnaryOutputs { output: Slot::write(&self.output) });
        match self.items() {
            1 => slots,
            items => {
                let [input, output] = [&self.input, &self.output].map(|shape| shape[1..].iter().product());
                let inputs = UnaryInputs { input: slots.inputs.input.cut(input) };
                Slots::new(inputs, UnaryOutputs { output: slots.outputs.output.cut(output) }).cut(items)
            }
        }
    }

    fn dispatches(&self, _: &PadPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        self.moves(&KERNELS, part.items, [bound.inputs.input, bound.outputs.output], add);
    }
}

impl Pad {
    /// The dispatches of some items.
    pub(super) fn moves(
        &self,
        [elements, blocks]: &'static [Kernel; 2],
        items: usize,
        [input, output]: [Binding; 2],
        add: &mut dyn FnMut(Dispatch),
    ) {
        let count = self.output.iter().product::<usize>() / self.items() * items;
        let mut steps = [Step { input: 1, output: 1, before: 0, stride: 0 }; MAX_RANK];
        steps[..self.walk.len()].copy_from_slice(&self.walk);
        let pick = |of: fn(&Step) -> u32| [0, 4].map(|first| [0, 1, 2, 3].map(|index| of(&steps[first + index])));
        let [lengths_0, lengths_1] = pick(|step| step.output as u32);
        let [input_lengths_0, input_lengths_1] = pick(|step| step.input as u32);
        let [before_0, before_1] = pick(|step| (step.before as i32).cast_unsigned());
        let [strides_0, strides_1] = pick(|step| step.stride as u32);
        let params = Params {
            lengths_0,
            lengths_1,
            input_lengths_0,
            input_lengths_1,
            before_0,
            before_1,
            strides_0,
            strides_1,
            count: 0,
            first: 0,
            value: self.value.to_bits(),
            input_base: input.base,
            output_base: output.base,
        };
        for (kernel, count, first) in blocks_and_rest(Some(blocks), elements, output.base, count) {
            let params = Params { count, first, ..params };
            add(Dispatch::per_element(kernel, params.to_bytes(), &[input, output], count as usize)
                .with_constant("RANK", self.walk.len().max(1) as u32)
                .with_constant("MODE", self.mode.constant()));
        }
    }
}

impl PadMode {
    /// MODE of shaders/pad.wgsl.
    pub(super) fn constant(self) -> u32 {
        match self {
            PadMode::Constant => 0,
            PadMode::Reflect => 1,
            PadMode::Replicate => 2,
        }
    }
}

impl Pad {
    /// The parts in which a call can be cut: the outermost dimension, if it has no padding.
    pub(super) fn items(&self) -> usize {
        match (self.input.first(), self.output.first()) {
            (Some(&input), Some(&output)) if self.before[0] == 0 && input == output && input > 0 => input,
            _ => 1,
        }
    }
}

/// An input with elements added around it, or cut off, as
/// [`torch.nn.functional.pad`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.pad.html) without its mode
/// `circular`.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, PadMode, PadParams, Tensor, pad};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![[[1.0, 2.0, 3.0]]])?;
/// let params = PadParams { mode: PadMode::Reflect, ..PadParams::new(vec![2, 1]) };
/// assert_eq!(pad(&input, &params)?.read_vec_blocking()?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Pad::new`] and [`Operator::call`].
pub fn pad(input: &Tensor, params: &PadParams) -> Result<Tensor> {
    Ok(Pad::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
}
