//! The gradients of prelu on the GPU.

use ndarray::ArrayD;

use super::{Prelu, PreluBackwardInputs, PreluGradients};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, blocks_and_rest, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{magnitudes, rounding};
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, OnCpu, Operator, Slots, Tolerance};
use crate::ops::elementwise::Elementwise;
use crate::ops::sums::{ChannelSums, SumStore, sum_kernels};

uniform! {
    struct Params {
        count: u32,
        base: u32,
        first: u32,
        inner: u32,
        channels: u32,
        adds: u32,
    }
}

static GRAD_INPUT: [Kernel; 2] = [
    kernel!("prelu_backward", "elements", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]),
    kernel!("prelu_backward", "blocks", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]),
];
static GRAD_WEIGHT: [Kernel; 4] = sum_kernels!("prelu_terms" as "sums_prelu", [(1, Read), (2, Read), (3, ReadWrite)]);

impl Operator for Backward<Prelu> {
    type Plan = Elementwise;
    const KERNELS: &'static [&'static [Kernel]] = &[&GRAD_INPUT, &GRAD_WEIGHT, ChannelSums::FINISH];

    fn plan(&self, _: &Capabilities) -> Elementwise {
        Elementwise
    }

    fn declare(&self, _: &Elementwise) -> Slots<Self> {
        let workspace = if self.wants("grad_weight") { self.forward.sums(self.forward.items()).workspace() } else { 0 };
        let is_cut = |name: &str| matches!(name, "grad_output" | "input" | "grad_input");
        self.slots(|name| is_cut(name).then(|| self.forward.share()))
            .cut(self.forward.items())
            .with_workspace(workspace)
    }

    fn dispatches(&self, _: &Elementwise, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let PreluBackwardInputs { grad_output, input, weight, grad_input, grad_weight } = bound.inputs;
        if let (Some(weight), Some(grad_input)) = (weight, bound.outputs.grad_input.or(grad_input)) {
            let [elements, blocks] = &GRAD_INPUT;
            let count = part.items * self.forward.share();
            for (kernel, count, first) in blocks_and_rest(Some(blocks), elements, input.base, count) {
                let params = Params {
                    count,
                    base: input.base + first,
                    first,
                    inner: self.forward.inner as u32,
                    channels: self.forward.channels as u32,
                    adds: u32::from(self.adds("grad_input")),
                };
                let arguments = [grad_output, input, weight, grad_input];
                add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count as usize));
            }
        }
        if let Some(grad_weight) = bound.outputs.grad_weight.or(grad_weight) {
            // The images of a part are added to those before.
            let adds = self.adds("grad_weight") || part.begin() > 0;
            let sums = self.forward.sums(part.items);
            sums.dispatches_of(
                &GRAD_WEIGHT,
                &[grad_output, input],
                grad_weight,
                (bound.workspace, 0),
                SumStore::new(adds),
                add,
            );
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &Elementwise,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        // Of a product of two numbers below 0, no sum cancels.
        let below_0 = |array: &ArrayD<f32>| -magnitudes(array);
        let sizes = PreluBackwardInputs {
            grad_output: below_0(&inputs.grad_output),
            input: below_0(&inputs.input),
            weight: inputs.weight.as_ref().map(below_0),
            grad_input: inputs.grad_input.as_ref().map(magnitudes),
            grad_weight: inputs.grad_weight.as_ref().map(magnitudes),
        };
        let size = self.largest_by_name([self.results(&self.compute(&sizes)?), self.results(computed)]);
        Ok(Box::new(move |name, index| rounding(ChannelSums::roundings() + 2, size(name, index).max(1e-30))))
    }
}

impl Prelu {
    fn sums(&self, images: usize) -> ChannelSums {
        ChannelSums { outer: images, channels: self.channels, inner: self.inner }
    }
}

/// The gradients of [`prelu`](crate::prelu): that of the input is `grad_output` where the input is above 0, and otherwise
/// the weight times `grad_output`; that of the weight is the sum over each slope's elements of the input times `grad_output`
/// where the input is not above 0. They are as PyTorch's autograd of
/// [`torch.nn.functional.prelu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.prelu.html) has them.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, prelu_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let upload = |array: [f32; 3]| Tensor::from_array(&gpu, &ndarray::arr2(&[array]));
/// let (grad_output, input) = (upload([1.0, 2.0, 3.0])?, upload([-1.0, -1.0, 1.0])?);
/// let weight = Tensor::from_array(&gpu, &ndarray::array![0.5, 2.0, 3.0])?;
/// let gradients = prelu_backward(&grad_output, &input, &weight)?;
/// assert_eq!(gradients.grad_input.unwrap().read_vec_blocking()?, [0.5, 4.0, 3.0]);
/// assert_eq!(gradients.grad_weight.unwrap().read_vec_blocking()?, [-1.0, -2.0, 0.0]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Prelu::new`] and [`Operator::call`].
pub fn prelu_backward(grad_output: &Tensor, input: &Tensor, weight: &Tensor) -> Result<PreluGradients<Tensor>> {
    let backward = Prelu::new(input.shape(), weight.shape())?.backward_of_all()?;
    backward.call(&PreluBackwardInputs { weight: Some(weight), ..PreluBackwardInputs::new(grad_output, input) })
}
