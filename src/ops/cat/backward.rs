//! The gradients of cat on the GPU.

use super::{Cat, CatBackwardInputs, CatGradients, CatParams, CatPlan};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Name, Operator, Slot, Slots, Tolerance};

uniform! {
    struct Params {
        count: u32,
        row: u32,
        output_row: u32,
        begin: u32,
        tensor_base: u32,
        output_base: u32,
        adds: u32,
    }
}

static KERNELS: [Kernel; 2] = [
    kernel!("cat_backward", "elements", Params, [(1, Read), (2, ReadWrite)]),
    kernel!("cat_backward", "blocks", Params, [(1, Read), (2, ReadWrite)]),
];

/// The name of the gradient of a tensor.
fn name_of(index: usize) -> Name {
    Name { field: "grad_tensors", index: Some(index) }
}

impl Operator for Backward<Cat> {
    type Plan = CatPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

    fn plan(&self, _: &Capabilities) -> CatPlan {
        let each = self.forward.tensors.iter().enumerate();
        CatPlan { tensors: each.filter(|(index, shape)| self.wants(name_of(*index)) && !shape.contains(&0)).count() }
    }

    fn declare(&self, _: &CatPlan) -> Slots<Self> {
        let Cat { tensors, output, .. } = &self.forward;
        let mut slots = self.slots(|name| (name == "grad_output").then(|| self.forward.row_of(output)));
        let cut = |slots: &mut Vec<Option<Slot>>| {
            for (slot, shape) in slots.iter_mut().zip(tensors) {
                *slot = slot.take().map(|slot| slot.cut(self.forward.row_of(shape)));
            }
        };
        cut(&mut slots.inputs.grad_tensors);
        cut(&mut slots.outputs.grad_tensors);
        slots.cut(self.forward.items())
    }

    fn dispatches(&self, _: &CatPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let grad_output = bound.inputs.grad_output;
        let mut begin = 0;
        for (index, shape) in self.forward.tensors.iter().enumerate() {
            let row = self.forward.row_of(shape);
            let gradients = [&bound.outputs.grad_tensors, &bound.inputs.grad_tensors];
            let gradient = gradients.into_iter().find_map(|list| list.get(index).copied().flatten());
            let count = part.items * row;
            if let (Some(gradient), true) = (gradient, count > 0) {
                let mut params = Params {
                    count: count as u32,
                    row: row as u32,
                    output_row: self.forward.row_of(&self.forward.output) as u32,
                    begin: begin as u32,
                    tensor_base: gradient.base,
                    output_base: grad_output.base,
                    adds: u32::from(self.adds(name_of(index))),
                };
                let members = [
                    &mut params.count,
                    &mut params.row,
                    &mut params.output_row,
                    &mut params.begin,
                    &mut params.tensor_base,
                    &mut params.output_base,
                ];
                let in_blocks = members.iter().all(|member| member.is_multiple_of(BLOCK));
                if in_blocks {
                    members.into_iter().for_each(|member| *member /= BLOCK);
                }
                let (kernel, invocations) = (&KERNELS[usize::from(in_blocks)], params.count as usize);
                add(Dispatch::per_element(kernel, params.to_bytes(), &[grad_output, gradient], invocations));
            }
            begin += row;
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &CatPlan,
        _: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        // Elements that are moved are not rounded, but sums are. Which tensor's they are is not told.
        let updated = computed.updated_floats().flat_map(|(_, array)| array.iter());
        let largest = updated.filter(|x| x.is_finite()).fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let tolerance = if computed.updated.is_empty() { 0.0 } else { rounding(1, largest.into()) };
        Ok(Box::new(move |_, _| tolerance))
    }
}

/// The gradients of [`cat`](crate::cat) with respect to tensors of these shapes: each is the tensor's part of `grad_output`,
/// as PyTorch's autograd of [`torch.cat`](https://pytorch.org/docs/2.11/generated/torch.cat.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{CatParams, Gpu, Tensor, cat_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let grad_output = Tensor::from_array(&gpu, &ndarray::array![1.0, 2.0, 3.0])?;
/// let gradients = cat_backward(&grad_output, &[&[1], &[2]], &CatParams::default())?;
/// assert_eq!(gradients[1].read_vec_blocking()?, [2.0, 3.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Cat::new`] and [`Operator::call`].
pub fn cat_backward(grad_output: &Tensor, tensors: &[&[usize]], params: &CatParams) -> Result<Vec<Tensor>> {
    let backward = Cat::new(tensors, params)?.backward_of_all()?;
    let CatGradients { grad_tensors } = backward.call(&CatBackwardInputs::new(grad_output))?;
    Ok(grad_tensors.into_iter().flatten().collect())
}
