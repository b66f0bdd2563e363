//! binary_cross_entropy_with_logits on the GPU: its dispatches and those of its gradients, and the eager calls.

use std::slice::from_ref;

use super::{
    BinaryCrossEntropyWithLogits, BinaryCrossEntropyWithLogitsBackwardInputs, BinaryCrossEntropyWithLogitsInputs,
    BinaryCrossEntropyWithLogitsOutputs, BinaryCrossEntropyWithLogitsParams,
};
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Binding, Dispatch, Kernel, kernel};
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slot, Slots, Tolerance};
use crate::ops::losses::{
    LossBackwardPlan, LossConstants, LossGradientKernels, LossKernels, LossParams, LossPlan, loss_kernels,
};
use crate::{LossGradients, Reduction, Result, Tensor};

type Kernels = (LossKernels, LossGradientKernels);
static PLAIN: Kernels = loss_kernels!("binary_cross_entropy_with_logits");
static WEIGHTED: Kernels = loss_kernels!(
    "binary_cross_entropy_with_logits" with "packed_weights" as "binary_cross_entropy_with_logits_weighted"
);
static PACK_WEIGHTS: Kernel = kernel!(
    "binary_cross_entropy_with_logits" with "packed_weights" as "binary_cross_entropy_with_logits_weighted",
    "pack_weights",
    LossParams,
    [(4, ReadWrite), (7, Read), (8, Read)]
);
static PACK_WEIGHTS_AND_GRADS: Kernel = kernel!(
    "binary_cross_entropy_with_logits" with "packed_weights" as "binary_cross_entropy_with_logits_weighted",
    "pack_weights_and_grads",
    LossParams,
    [(4, ReadWrite), (5, Read), (7, Read), (8, Read)]
);

impl BinaryCrossEntropyWithLogits {
    fn constants(&self) -> LossConstants {
        let [has_weight, has_pos_weight] = [&self.weight, &self.pos_weight].map(Option::is_some);
        LossConstants { has_weight, has_pos_weight, ..Default::default() }
    }

    fn kernels(&self) -> &'static Kernels {
        if self.loss.is_weighted { &WEIGHTED } else { &PLAIN }
    }

    /// The dispatch that packs weights, if there are any and elements.
    fn pack(&self, kernel: &'static Kernel, arguments: &[Binding]) -> Option<Dispatch> {
        let count = self.loss.count();
        let params = self.loss.params(count, self.constants()).to_bytes();
        (self.loss.is_weighted && count > 0).then(|| Dispatch::per_element(kernel, params, arguments, count))
    }
}

impl Operator for BinaryCrossEntropyWithLogits {
    type Plan = LossPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&PLAIN.0, &WEIGHTED.0, from_ref(&PACK_WEIGHTS)];

    fn plan(&self, _: &Capabilities) -> LossPlan {
        self.loss.plan()
    }

    fn declare(&self, plan: &LossPlan) -> Slots<Self> {
        let slot = |shape: &[usize]| self.loss.cut(plan, Slot::read(shape));
        let shape = &self.loss.common;
        let inputs = BinaryCrossEntropyWithLogitsInputs {
            input: slot(shape),
            target: slot(shape),
            weight: self.weight.as_deref().map(slot),
            pos_weight: self.pos_weight.as_deref().map(slot),
        };
        let output = self.loss.cut(plan, Slot::write(self.output_shape()));
        self.loss.declared(plan, Slots::new(inputs, BinaryCrossEntropyWithLogitsOutputs { output }))
    }

    fn dispatches(&self, plan: &LossPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let BinaryCrossEntropyWithLogitsInputs { input, target, weight, pos_weight } = bound.inputs;
        // What is absent is not read.
        let weights = [bound.workspace, weight.unwrap_or(input), pos_weight.unwrap_or(input)];
        self.pack(&PACK_WEIGHTS, &weights).map(&mut *add);
        let bindings = ([input, target], bound.outputs.output, bound.workspace);
        self.loss.dispatches(&self.kernels().0, plan, part, self.constants(), bindings, add);
    }

    fn rounding<'a>(
        &'a self,
        _: &LossPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let sizes = self.sizes_of_losses(inputs);
        let sum: f64 = sizes.iter().sum();
        let outputs: Vec<_> = computed.outputs.output.iter().map(|x| f64::from(x.abs())).collect();
        let sizes: Vec<_> = match self.loss.reduction {
            Reduction::None => sizes.into_iter().collect(),
            // Where the sum overflows, so does the mean.
            Reduction::Mean if sum <= f64::from(f32::MAX) => vec![sum / self.loss.count() as f64],
            Reduction::Mean | Reduction::Sum => vec![sum],
        };
        Ok(Box::new(move |_, index| rounding(16, sizes[index] + outputs[index])))
    }
}

impl Operator for Backward<BinaryCrossEntropyWithLogits> {
    type Plan = LossBackwardPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[&PLAIN.1, &WEIGHTED.1, from_ref(&PACK_WEIGHTS_AND_GRADS)];

    fn plan(&self, _: &Capabilities) -> LossBackwardPlan {
        self.loss_plan(&self.forward.loss)
    }

    fn declare(&self, plan: &LossBackwardPlan) -> Slots<Self> {
        let loss = &self.forward.loss;
        loss.backward_declared(plan, self.slots(|name| loss.share(name)))
    }

    fn dispatches(&self, plan: &LossBackwardPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let (inputs, outputs) = (&bound.inputs, &bound.outputs);
        let BinaryCrossEntropyWithLogitsBackwardInputs { grad_output, input, target, weight, pos_weight, .. } = *inputs;
        let gradients = [
            (outputs.grad_input.or(inputs.grad_input), self.adds("grad_input")),
            (outputs.grad_target.or(inputs.grad_target), self.adds("grad_target")),
        ];
        let weights = [bound.workspace, grad_output, weight.unwrap_or(input), pos_weight.unwrap_or(input)];
        self.forward.pack(&PACK_WEIGHTS_AND_GRADS, &weights).map(&mut *add);
        let bindings = ([input, target], grad_output, bound.workspace);
        let (loss, constants) = (&self.forward.loss, self.forward.constants());
        let kernels = (&self.forward.kernels().1, None);
        loss.gradient_dispatches(kernels, (plan, part), constants, bindings, gradients, add);
    }

    fn rounding<'a>(
        &'a self,
        _: &LossBackwardPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let before = [&inputs.grad_input, &inputs.grad_target];
        Ok(self.loss_tolerance(16, self.sizes_of_terms(inputs), before, computed))
    }
}

/// The binary cross entropy between the sigmoid of scores and targets, as
/// [`torch.nn.functional.binary_cross_entropy_with_logits`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.binary_cross_entropy_with_logits.html):
/// -weight (pos_weight target log(sigmoid(input)) + (1 - target) log(1 - sigmoid(input))) of each element, or the mean or sum of
/// that. Infinities give what PyTorch's own formula gives, NaN often.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{BinaryCrossEntropyWithLogitsInputs, Gpu, Tensor, binary_cross_entropy_with_logits};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![4.0, -3.0])?;
/// let target = Tensor::from_array(&gpu, &ndarray::array![1.0, 0.0])?;
/// let inputs = BinaryCrossEntropyWithLogitsInputs::new(&input, &target);
/// let loss = binary_cross_entropy_with_logits(&inputs, &Default::default())?.read_blocking()?;
/// assert!(loss.first() < Some(&0.05));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`BinaryCrossEntropyWithLogits::new`] and [`Operator::call`].
pub fn binary_cross_entropy_with_logits(
    inputs: &BinaryCrossEntropyWithLogitsInputs<&Tensor>,
    params: &BinaryCrossEntropyWithLogitsParams,
) -> Result<Tensor> {
    let shapes = BinaryCrossEntropyWithLogitsInputs {
        input: inputs.input.shape(),
        target: inputs.target.shape(),
        weight: inputs.weight.map(Tensor::shape),
        pos_weight: inputs.pos_weight.map(Tensor::shape),
    };
    Ok(BinaryCrossEntropyWithLogits::new(&shapes, params)?.call(inputs)?.output)
}

/// The gradients of [`binary_cross_entropy_with_logits`] with respect to input and target, as PyTorch's autograd of
/// [`torch.nn.functional.binary_cross_entropy_with_logits`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.binary_cross_entropy_with_logits.html).
/// With p = pos_weight, of each element, divided by the number of elements for the mean:
///
/// - `grad_input` = weight ((1 + (p - 1) target) sigmoid(input) - p target) grad_output
/// - `grad_target` = weight (log(sigmoid(-input)) - p log(sigmoid(input))) grad_output, which is -weight input grad_output
///   without `pos_weight`
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{BinaryCrossEntropyWithLogitsBackwardInputs, Gpu, Tensor, binary_cross_entropy_with_logits_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![0.0, 0.0])?;
/// let target = Tensor::from_array(&gpu, &ndarray::array![1.0, 0.0])?;
/// let grad_output = Tensor::from_slice(&gpu, &[1.0], &[])?;
/// let inputs = BinaryCrossEntropyWithLogitsBackwardInputs::new(&grad_output, &input, &target);
/// let gradients = binary_cross_entropy_with_logits_backward(&inputs, &Default::default())?;
/// assert_eq!(gradients.grad_input.unwrap().read_vec_blocking()?, [-0.25, 0.25]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`BinaryCrossEntropyWithLogits::new`] and [`Operator::call`].
pub fn binary_cross_entropy_with_logits_backward(
    inputs: &BinaryCrossEntropyWithLogitsBackwardInputs<&Tensor>,
    params: &BinaryCrossEntropyWithLogitsParams,
) -> Result<LossGradients<Tensor>> {
    let shapes = BinaryCrossEntropyWithLogitsInputs {
        input: inputs.input.shape(),
        target: inputs.target.shape(),
        weight: inputs.weight.map(Tensor::shape),
        pos_weight: inputs.pos_weight.map(Tensor::shape),
    };
    BinaryCrossEntropyWithLogits::new(&shapes, params)?.backward_of_all()?.call(inputs)
}
