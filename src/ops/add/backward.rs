//! The gradients of add on the GPU.

use std::fmt;

use super::{Add, AddBackwardInputs, AddGradients, AddParams};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, blocks_and_rest, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{magnitudes, rounding};
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, OnCpu, Operator, Slots, Tolerance};
use crate::ops::broadcast::WalkDimension;
use crate::ops::sums::{ChannelSums, SumStore, TERMS, sum_kernels};

uniform! {
    struct Params {
        count: u32,
        source_base: u32,
        target_base: u32,
        factor: f32,
        adds: u32,
    }
}

static SCALED: [Kernel; 2] = [
    kernel!("add_backward", "elements", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("add_backward", "blocks", Params, [(1, Read), (2, ReadWrite)]),
];
/// Sums over dimensions that no single [outer, channels, inner] describes. What they add is never a column.
static WALK_TERMS: [Kernel; 2] =
    sum_kernels!("walk_terms" as "sums_walk", ["elements", "blocks"], [(1, Read), (3, ReadWrite)]);

/// An array times a factor.
pub(crate) struct Scaled {
    pub count: usize,
    pub factor: f32,
    /// Whether it is added to what is there.
    pub adds: bool,
}

impl Scaled {
    pub const KERNELS: &'static [&'static [Kernel]] = &[&SCALED];

    pub fn dispatches(&self, source: Binding, target: Binding, add: &mut dyn FnMut(Dispatch)) {
        let [elements, blocks] = &SCALED;
        let blocks = source.base.is_multiple_of(BLOCK).then_some(blocks);
        for (kernel, count, first) in blocks_and_rest(blocks, elements, target.base, self.count) {
            let params = Params {
                count,
                source_base: source.base + first,
                target_base: target.base + first,
                factor: self.factor,
                adds: u32::from(self.adds),
            };
            add(Dispatch::per_element(kernel, params.to_bytes(), &[source, target], count as usize));
        }
    }
}

/// How the gradients of a sum are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddBackwardPlan {
    /// Those of input and other, if they are wanted.
    gradients: [Option<Way>; 2],
}

/// How the gradient of an operand is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Element by element.
    Alike,
    /// As sums over channels.
    Channels(ChannelSums),
    /// As sums over channels, with dimensions of `grad_output` in another order.
    Walk(ChannelSums, [[u32; 4]; 2]),
}

impl fmt::Display for AddBackwardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for way in self.gradients.iter().flatten() {
            f.write_str(separator)?;
            f.write_str(match way {
                Way::Alike => "blocks of 4 elements, and the rest",
                Way::Channels(_) => "sums over channels",
                Way::Walk(..) => "sums over some dimensions",
            })?;
            separator = "; ";
        }
        Ok(())
    }
}

impl Way {
    /// The sums, and where their terms are.
    fn sums(&self) -> Option<ChannelSums> {
        match self {
            Way::Alike => None,
            Way::Channels(sums) | Way::Walk(sums, _) => Some(*sums),
        }
    }
}

impl Add {
    /// The way to the gradient of the operand of this index and shape.
    fn way(&self, operand: usize, shape: &[usize]) -> Way {
        let channels = shape.iter().product();
        if self.common.contains(&0) {
            // Sums of nothing.
            return Way::Channels(ChannelSums { outer: 0, channels, inner: 1 });
        }
        // Lengths of dimensions that are summed over and of those that are kept, in turn, with steps in grad_output.
        let mut dimensions: Vec<(bool, usize, usize)> = Vec::new();
        let mut step: usize = self.common.iter().product();
        for WalkDimension { length, strides } in &self.walk {
            step /= length;
            let is_summed = strides[operand] == 0;
            match dimensions.last_mut() {
                Some(last) if last.0 == is_summed => *last = (is_summed, last.1 * length, step),
                _ => dimensions.push((is_summed, *length, step)),
            }
        }
        match dimensions[..] {
            [] | [(false, ..)] => Way::Alike,
            [(true, outer, _)] => Way::Channels(ChannelSums { outer, channels, inner: 1 }),
            [(true, outer, _), _] => Way::Channels(ChannelSums { outer, channels, inner: 1 }),
            [_, (true, inner, _)] => Way::Channels(ChannelSums { outer: 1, channels, inner }),
            [(true, outer, _), _, (true, inner, _)] => Way::Channels(ChannelSums { outer, channels, inner }),
            _ => {
                let mut walk = [[1; 4], [0; 4]];
                // What is kept comes first. Missing dimensions are of one element.
                for (is_summed, first) in [(false, 2), (true, 4)] {
                    let some = dimensions.iter().filter(|dimension| dimension.0 == is_summed);
                    let begin = first - some.clone().count();
                    for (at, &(_, length, step)) in (begin..).zip(some) {
                        (walk[0][at], walk[1][at]) = (length as u32, step as u32);
                    }
                }
                let inner = (walk[0][2] * walk[0][3]) as usize;
                Way::Walk(ChannelSums { outer: 1, channels, inner }, walk)
            }
        }
    }
}

impl Operator for Backward<Add> {
    type Plan = AddBackwardPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&SCALED, &TERMS, &WALK_TERMS, ChannelSums::FINISH];

    fn plan(&self, _: &Capabilities) -> AddBackwardPlan {
        let Add { input, other, .. } = &self.forward;
        let way = |operand, shape: &[usize]| self.forward.way(operand, shape);
        let gradients =
            [self.wants("grad_input").then(|| way(0, input)), self.wants("grad_other").then(|| way(1, other))];
        AddBackwardPlan { gradients }
    }

    fn declare(&self, plan: &AddBackwardPlan) -> Slots<Self> {
        let sums = plan.gradients.iter().flatten().filter_map(Way::sums);
        if plan.gradients.iter().flatten().all(|way| *way == Way::Alike) {
            return self.slots(|_| Some(1)).cut(self.forward.common.iter().product());
        }
        // Both gradients use it, one after the other.
        self.slots(|_| None).with_workspace(sums.map(|sums| sums.workspace()).max().unwrap_or(0))
    }

    fn dispatches(&self, plan: &AddBackwardPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let AddBackwardInputs { grad_output, grad_input, grad_other } = bound.inputs;
        let is_cut = plan.gradients.iter().flatten().all(|way| *way == Way::Alike);
        let count = if is_cut { part.items } else { self.forward.common.iter().product() };
        let targets = [bound.outputs.grad_input.or(grad_input), bound.outputs.grad_other.or(grad_other)];
        let factors = [1.0, self.forward.alpha as f32];
        let adds = [self.adds("grad_input"), self.adds("grad_other")];
        for (((way, target), factor), adds) in plan.gradients.into_iter().zip(targets).zip(factors).zip(adds) {
            let (Some(way), Some(target)) = (way, target) else { continue };
            let store = SumStore { factor, ..SumStore::new(adds) };
            let workspace = (bound.workspace, 0);
            match way {
                Way::Alike => Scaled { count, factor, adds }.dispatches(grad_output, target, add),
                Way::Channels(sums) => sums.dispatches_of(&TERMS, &[grad_output], target, workspace, store, add),
                Way::Walk(sums, walk) => {
                    let store = SumStore { walk, ..store };
                    sums.dispatches_of(&WALK_TERMS, &[grad_output], target, workspace, store, add);
                }
            }
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &AddBackwardPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        // With the factor's sign no sum cancels.
        let sign = if self.forward.alpha < 0.0 { -1.0 } else { 1.0 };
        let sizes = AddBackwardInputs {
            grad_output: magnitudes(&inputs.grad_output),
            grad_input: inputs.grad_input.as_ref().map(magnitudes),
            grad_other: inputs.grad_other.as_ref().map(|before| sign * magnitudes(before)),
        };
        let size = self.largest_by_name([self.results(&self.compute(&sizes)?), self.results(computed)]);
        Ok(Box::new(move |name, index| rounding(ChannelSums::roundings(), size(name, index))))
    }
}

/// The gradients of [`add`](crate::add) with respect to operands of these shapes: that of `input` is `grad_output`, and that
/// of `other` alpha `grad_output`, each summed over the dimensions along which the operand is broadcast. They are as PyTorch's
/// autograd of [`torch.add`](https://pytorch.org/docs/2.11/generated/torch.add.html) has them.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{AddParams, Gpu, Tensor, add_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let grad_output = Tensor::from_array(&gpu, &ndarray::array![[1.0, 2.0], [3.0, 4.0]])?;
/// let gradients = add_backward(&grad_output, &[2, 2], &[2], &AddParams { alpha: 0.5 })?;
/// assert_eq!(gradients.grad_other.unwrap().read_vec_blocking()?, [2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Add::new`] and [`Operator::call`].
pub fn add_backward(
    grad_output: &Tensor,
    input: &[usize],
    other: &[usize],
    params: &AddParams,
) -> Result<AddGradients<Tensor>> {
    Add::new(input, other, params)?.backward_of_all()?.call(&AddBackwardInputs::new(grad_output))
}
