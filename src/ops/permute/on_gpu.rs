//! permute on the GPU: its plan, its dispatches, and the eager call.

use std::fmt;

use super::{MAX_RANK, Permute, PermuteParams, Step};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slot, Slots, Tolerance};
use crate::ops::{UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

uniform! {
    struct Params {
        lengths_0: [u32; 4],
        lengths_1: [u32; 4],
        input_strides_0: [u32; 4],
        input_strides_1: [u32; 4],
        output_strides_0: [u32; 4],
        output_strides_1: [u32; 4],
        count: u32,
        input_step: u32,
        output_step: u32,
        input_base: u32,
        output_base: u32,
    }
}

static KERNELS: [Kernel; 3] = [
    kernel!("permute", "elements", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("permute", "blocks", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("permute", "squares", Params, [(1, Read), (2, ReadWrite)]),
];
/// The same, which add to what is there.
static ADDING: [Kernel; 3] = [
    kernel!("permute" with "moved_add" as "permute_add", "elements", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("permute" with "moved_add" as "permute_add", "blocks", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("permute" with "moved_add" as "permute_add", "squares", Params, [(1, Read), (2, ReadWrite)]),
];

const BLOCK_LENGTH: usize = BLOCK as usize;

/// How elements are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermutePlan {
    /// One by one.
    Elements,
    /// In blocks of 4.
    Blocks,
    /// In squares of 4 by 4; the input's innermost dimension is this one of the output, counted from the innermost.
    #[doc(hidden)]
    Squares { input_dimension: usize },
}

impl fmt::Display for PermutePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PermutePlan::Elements => "element by element",
            PermutePlan::Blocks => "blocks of 4 elements",
            PermutePlan::Squares { .. } => "squares of 4 by 4 elements",
        })
    }
}

impl Operator for Permute {
    type Plan = PermutePlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

    fn plan(&self, _: &Capabilities) -> PermutePlan {
        let in_blocks = |step: &Step| step.length.is_multiple_of(BLOCK_LENGTH);
        match self.walk.iter().position(|step| step.input == 1) {
            Some(0) if in_blocks(&self.walk[0]) => PermutePlan::Blocks,
            Some(dimension) if in_blocks(&self.walk[0]) && in_blocks(&self.walk[dimension]) => {
                PermutePlan::Squares { input_dimension: dimension }
            }
            _ => PermutePlan::Elements,
        }
    }

    fn declare(&self, _: &PermutePlan) -> Slots<Self> {
        let inputs = UnaryInputs { input: Slot::read(&self.input) };
        let slots = Slots::<Self>::new(inputs, UnaryOutputs { output: Slot::write(&self.output) });
        match self.share() {
            Some(share) => {
                let inputs = UnaryInputs { input: slots.inputs.input.cut(share) };
                Slots::new(inputs, UnaryOutputs { output: slots.outputs.output.cut(share) }).cut(self.input[0])
            }
            None => slots,
        }
    }

    fn dispatches(&self, plan: &PermutePlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        self.moves(&KERNELS, *plan, part.items, [bound.inputs.input, bound.outputs.output], add);
    }
}

impl Permute {
    /// The elements of an item where a call can be cut: the outermost dimension stays.
    fn share(&self) -> Option<usize> {
        let is_cut = self.dims.first() == Some(&0) && self.input[0] > 0;
        is_cut.then(|| self.input[1..].iter().product())
    }

    /// The dispatches of some items.
    fn moves(
        &self,
        [elements, blocks, squares]: &'static [Kernel; 3],
        plan: PermutePlan,
        items: usize,
        [input, output]: [Binding; 2],
        add: &mut dyn FnMut(Dispatch),
    ) {
        let count = match self.share() {
            Some(share) => share * items,
            None => self.output.iter().product(),
        };
        if count == 0 {
            return;
        }
        // A part may begin beside a block.
        let is_aligned = input.base.is_multiple_of(BLOCK) && output.base.is_multiple_of(BLOCK);
        let plan = if is_aligned { plan } else { PermutePlan::Elements };
        let mut walk = self.walk.clone();
        let [mut input_step, mut output_step] = [0, 0];
        let (kernel, invocations) = match plan {
            PermutePlan::Elements => (elements, count),
            PermutePlan::Blocks => {
                for step in &mut walk[1..] {
                    step.input /= BLOCK_LENGTH;
                }
                walk[0].length /= BLOCK_LENGTH;
                (blocks, count / BLOCK_LENGTH)
            }
            PermutePlan::Squares { input_dimension } => {
                // All distances are whole blocks, but for a step along the innermost dimension of either array: a square
                // takes 4 of those at once.
                [input_step, output_step] = [walk[0].input / BLOCK_LENGTH, walk[input_dimension].output / BLOCK_LENGTH];
                for (dimension, step) in walk.iter_mut().enumerate() {
                    if dimension == 0 || dimension == input_dimension {
                        step.length /= BLOCK_LENGTH;
                    } else {
                        step.input /= BLOCK_LENGTH;
                        step.output /= BLOCK_LENGTH;
                    }
                }
                (squares, count / (BLOCK_LENGTH * BLOCK_LENGTH))
            }
        };
        let mut steps = [Step { length: 1, input: 0, output: 0 }; MAX_RANK];
        steps[..walk.len()].copy_from_slice(&walk);
        let pick = |of: fn(&Step) -> usize| [0, 4].map(|first| [0, 1, 2, 3].map(|i| of(&steps[first + i]) as u32));
        let [lengths_0, lengths_1] = pick(|step| step.length);
        let [input_strides_0, input_strides_1] = pick(|step| step.input);
        let [output_strides_0, output_strides_1] = pick(|step| step.output);
        let params = Params {
            lengths_0,
            lengths_1,
            input_strides_0,
            input_strides_1,
            output_strides_0,
            output_strides_1,
            count: invocations as u32,
            input_step: input_step as u32,
            output_step: output_step as u32,
            input_base: input.base,
            output_base: output.base,
        };
        add(Dispatch::per_element(kernel, params.to_bytes(), &[input, output], invocations)
            .with_constant("RANK", walk.len().max(1) as u32));
    }
}

/// The elements of an input of any shape with its dimensions in another order, as
/// [`torch.permute`](https://pytorch.org/docs/2.11/generated/torch.permute.html). Unlike PyTorch's view the output is a
/// new tensor, row-major in the new order.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, PermuteParams, Tensor, permute};
///
/// let gpu = Gpu::new_blocking()?;
/// let pixels = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((1, 32, 48, 3)))?; // (N,H,W,C)
/// let planes = permute(&pixels, &PermuteParams::new(vec![0, 3, 1, 2]))?; // (N,C,H,W)
/// assert_eq!(planes.shape(), [1, 3, 32, 48]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Permute::new`] and [`Operator::call`].
pub fn permute(input: &Tensor, params: &PermuteParams) -> Result<Tensor> {
    Ok(Permute::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
}

impl Operator for Backward<Permute> {
    type Plan = PermutePlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS, &ADDING];

    fn plan(&self, on: &Capabilities) -> PermutePlan {
        self.forward.inverse().plan(on)
    }

    fn declare(&self, _: &PermutePlan) -> Slots<Self> {
        match self.forward.share() {
            Some(share) => self.slots(|_| Some(share)).cut(self.forward.input[0]),
            None => self.slots(|_| None),
        }
    }

    fn dispatches(&self, plan: &PermutePlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let Some(grad_input) = bound.outputs.grad_input.or(bound.inputs.grad_input) else { return };
        let kernels = if self.adds("grad_input") { &ADDING } else { &KERNELS };
        self.forward.inverse().moves(kernels, *plan, part.items, [bound.inputs.grad_output, grad_input], add);
    }

    fn rounding<'a>(
        &'a self,
        _: &PermutePlan,
        _: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        // Elements that are moved are not rounded, but sums are.
        let results = self.results(computed);
        let roundings = usize::from(self.adds("grad_input"));
        Ok(Box::new(move |_, index| match roundings {
            0 => 0.0,
            _ => rounding(roundings, results[0][index].abs().into()),
        }))
    }
}

/// The gradient of [`permute`] with respect to its input, of this shape: `grad_output` with its dimensions in the input's
/// order, as PyTorch's autograd of [`torch.permute`](https://pytorch.org/docs/2.11/generated/torch.permute.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, PermuteParams, Tensor, permute_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let grad_output = Tensor::zeros(&gpu, &[1, 3, 32, 48])?; // (N,C,H,W)
/// let grad_input = permute_backward(&grad_output, &[1, 32, 48, 3], &PermuteParams::new(vec![0, 3, 1, 2]))?;
/// assert_eq!(grad_input.shape(), [1, 32, 48, 3]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Permute::new`] and [`Operator::call`].
pub fn permute_backward(grad_output: &Tensor, input: &[usize], params: &PermuteParams) -> Result<Tensor> {
    let backward = Permute::new(input, params)?.backward_of_all()?;
    Ok(backward.call(&UnaryBackwardInputs::new(grad_output))?.grad_input.expect("it is wanted"))
}
