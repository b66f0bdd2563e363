//! add on the GPU: its plan, its dispatches, and the eager calls.

use std::fmt;

use super::{Add, AddInputs, AddOutputs, AddParams};
use crate::error::{Error, Result};
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, blocks_and_rest, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{magnitudes, rounding};
use crate::operator::{ArraysOf, Bound, Computed, Definition, OnCpu, Operator, Slot, Slots, Tolerance};
use crate::ops::broadcast::{WalkDimension, filled};

uniform! {
    struct Params {
        lengths: [u32; 4],
        input_strides: [u32; 4],
        other_strides: [u32; 4],
        count: u32,
        first: u32,
        base: u32,
        input_factor: f32,
        other_factor: f32,
    }
}

macro_rules! apart {
    ($entry_point:literal) => {
        kernel!("add", $entry_point, Params, [(1, Read), (2, ReadWrite), (3, Read)])
    };
}
macro_rules! in_place {
    ($entry_point:literal) => {
        kernel!("add" with "input_in_place" as "add_in_place", $entry_point, Params, [(2, ReadWrite), (3, Read)])
    };
}
macro_rules! to_itself {
    ($entry_point:literal) => {
        kernel!(
            "add" with "input_in_place" "other_in_place" as "add_to_itself",
            $entry_point,
            Params,
            [(2, ReadWrite)]
        )
    };
}
/// With the output apart, in place of one operand, and in place of both.
static ELEMENTS: [Kernel; 3] = [apart!("elements"), in_place!("elements"), to_itself!("elements")];
static BLOCKS: [Kernel; 3] = [apart!("blocks"), in_place!("blocks"), to_itself!("blocks")];
/// An operand that is broadcast is not the output.
static SPLATS: [Kernel; 2] = [apart!("splats"), in_place!("splats")];

/// How a sum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddPlan {
    /// Operands of one shape, in blocks of 4 elements, and the rest.
    Alike,
    /// An operand is broadcast; rows of both are in blocks of 4 elements.
    Blocks,
    /// One element of an operand meets whole blocks of the other.
    Splats,
    /// An operand is broadcast, along rows that are not in blocks.
    Elements,
}

impl fmt::Display for AddPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AddPlan::Alike => "blocks of 4 elements, and the rest",
            AddPlan::Blocks => "broadcast, in blocks of 4 elements",
            AddPlan::Splats => "broadcast, an element to blocks of 4",
            AddPlan::Elements => "broadcast, element by element",
        })
    }
}

impl Operator for Add {
    type Plan = AddPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&ELEMENTS, &BLOCKS, &SPLATS];

    fn plan(&self, _: &Capabilities) -> AddPlan {
        match self.walk.last() {
            _ if self.input == self.other => AddPlan::Alike,
            Some(WalkDimension { length, strides }) if length.is_multiple_of(BLOCK as usize) => {
                if *strides == [1, 1] {
                    AddPlan::Blocks
                } else {
                    AddPlan::Splats
                }
            }
            _ => AddPlan::Elements,
        }
    }

    fn declare(&self, plan: &AddPlan) -> Slots<Self> {
        let operand = |shape: &[usize]| {
            let slot = Slot::read(shape);
            if *shape == *self.common { slot.or_output() } else { slot }
        };
        let inputs = AddInputs { input: operand(&self.input), other: operand(&self.other) };
        let output = Slot::write(&self.common);
        match plan {
            AddPlan::Alike => {
                let inputs = AddInputs { input: inputs.input.cut(1), other: inputs.other.cut(1) };
                Slots::new(inputs, AddOutputs { output: output.cut(1) }).cut(self.common.iter().product())
            }
            _ => Slots::new(inputs, AddOutputs { output }),
        }
    }

    fn dispatches(&self, plan: &AddPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let (AddInputs { input, other }, output) = (bound.inputs, bound.outputs.output);
        let count = if *plan == AddPlan::Alike { part.items } else { self.common.iter().product() };
        let walk = match plan {
            AddPlan::Alike => filled(&[WalkDimension { length: count, strides: [1, 1] }]),
            _ => filled(&self.walk),
        };
        // First comes the operand that the output replaces, or that has a step of 1 along the innermost dimension.
        let is_swapped = input != output && (other == output || walk[3].strides[0] == 0);
        let alpha = self.alpha as f32;
        let (first, second, factors) =
            if is_swapped { (other, input, [alpha, 1.0]) } else { (input, other, [1.0, alpha]) };
        let in_place = usize::from(first == output) + usize::from(second == output);
        let arguments: smallvec::SmallVec<[Binding; 3]> = match in_place {
            0 => smallvec::smallvec![first, output, second],
            1 => smallvec::smallvec![output, second],
            _ => smallvec::smallvec![output],
        };
        let strides = |of: usize| walk.map(|dimension| dimension.strides[of] as u32);
        let params = Params {
            lengths: walk.map(|dimension| dimension.length as u32),
            input_strides: strides(usize::from(is_swapped)),
            other_strides: strides(usize::from(!is_swapped)),
            base: output.base,
            input_factor: factors[0],
            other_factor: factors[1],
            ..Default::default()
        };
        let in_blocks = match plan {
            AddPlan::Elements => None,
            AddPlan::Splats => Some(&SPLATS[in_place]),
            AddPlan::Alike | AddPlan::Blocks => Some(&BLOCKS[in_place]),
        };
        for (kernel, count, first) in blocks_and_rest(in_blocks, &ELEMENTS[in_place], output.base, count) {
            let params = Params { count, first, ..params };
            add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count as usize));
        }
    }

    fn rounding<'a>(&'a self, _: &AddPlan, inputs: &'a ArraysOf<Self>, _: &'a Computed<Self>) -> Result<Tolerance<'a>> {
        let sizes = Add { alpha: self.alpha.abs(), ..self.clone() };
        let sizes = sizes.compute(&AddInputs { input: magnitudes(&inputs.input), other: magnitudes(&inputs.other) })?;
        let sizes = sizes.outputs.output.into_flat();
        Ok(Box::new(move |_, index| rounding(3, sizes[index].into())))
    }
}

/// input + alpha other, of two arrays that broadcast together, as
/// [`torch.add`](https://pytorch.org/docs/2.11/generated/torch.add.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{AddParams, Gpu, Tensor, add};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![[1.0, 2.0], [3.0, 4.0]])?;
/// let other = Tensor::from_array(&gpu, &ndarray::array![10.0, 20.0])?;
/// let sum = add(&input, &other, &AddParams { alpha: 0.5 })?;
/// assert_eq!(sum.read_vec_blocking()?, [6.0, 12.0, 8.0, 14.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Add::new`] and [`Operator::call`].
pub fn add(input: &Tensor, other: &Tensor, params: &AddParams) -> Result<Tensor> {
    Ok(Add::new(input.shape(), other.shape(), params)?.call(&AddInputs { input, other })?.output)
}

/// [`add`] in the input's own buffer, which it and its clones then hold. The input must have the output's shape.
///
/// # Errors
/// As [`Add::new`] and [`Operator::call_in_place`], and [`Error::InvalidArgument`] for an `input` that is broadcast.
pub fn add_(input: &Tensor, other: &Tensor, params: &AddParams) -> Result<()> {
    let operator = Add::new(input.shape(), other.shape(), params)?;
    if operator.output_shape() != input.shape() {
        let [expected, actual] = [operator.output_shape(), input.shape()].map(|shape| format!("shape {shape:?}"));
        return Err(Error::invalid(Add::NAME, "input", expected, actual));
    }
    operator.call_in_place(&AddInputs { input, other })
}
