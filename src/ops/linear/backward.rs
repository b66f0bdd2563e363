//! The gradients of linear on the GPU.

use std::fmt;

use super::products::{Product, ProductPlan};
use super::{Linear, LinearBackwardInputs, LinearGradients, products};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slots, Tolerance};
use crate::ops::sums::ChannelSums;
use crate::shape::ELEMENT_BYTES;

/// How the gradients of a linear are computed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinearBackwardPlan {
    /// Whether a call is cut along features, not along rows.
    cuts_features: bool,
    grad_input: Option<ProductPlan>,
    grad_weight: Option<ProductPlan>,
    grad_bias: Option<ChannelSums>,
}

impl fmt::Display for LinearBackwardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, plan) in [("input", &self.grad_input), ("weight", &self.grad_weight)] {
            if let Some(plan) = plan {
                write!(f, "{separator}{name}: {plan}")?;
                separator = "; ";
            }
        }
        if self.grad_bias.is_some() { write!(f, "{separator}bias: sums over channels") } else { Ok(()) }
    }
}

impl Linear {
    /// The product that is the gradient of some rows of the input, of some features.
    fn grad_input(&self, rows: usize, features: usize) -> Product {
        Product { rows, columns: self.k, steps: features, a_row: self.features, a_step: 1 }
    }

    /// The product that is the gradient of the weight of some features, of some rows.
    fn grad_weight(&self, rows: usize, features: usize) -> Product {
        Product { rows: features, columns: self.k, steps: rows, a_row: 1, a_step: self.features }
    }

    /// The sums of some rows that are the gradient of the bias.
    fn grad_bias(&self, rows: usize) -> ChannelSums {
        let [row, feature] = self.bias_steps.map(|step| step > 0);
        match [row, feature] {
            [true, true] => ChannelSums { outer: 1, channels: rows * self.features, inner: 1 },
            [true, false] => ChannelSums { outer: 1, channels: rows, inner: self.features },
            [false, true] => ChannelSums { outer: rows, channels: self.features, inner: 1 },
            [false, false] => ChannelSums { outer: 1, channels: 1, inner: rows * self.features },
        }
    }
}

impl Operator for Backward<Linear> {
    type Plan = LinearBackwardPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[
        products::KERNELS[0],
        products::KERNELS[1],
        products::KERNELS[2],
        ChannelSums::KERNELS[0],
        ChannelSums::KERNELS[1],
    ];

    fn plan(&self, on: &Capabilities) -> LinearBackwardPlan {
        let Linear { rows, features, k, .. } = self.forward;
        let weight_bytes = (features * k) as u64 * ELEMENT_BYTES;
        let forward = &self.forward;
        let product = |product: Product| product.plan(on);
        LinearBackwardPlan {
            cuts_features: weight_bytes > on.limits.max_storage_buffer_binding_size,
            grad_input: self.wants("grad_input").then(|| product(forward.grad_input(rows, features))),
            grad_weight: self.wants("grad_weight").then(|| product(forward.grad_weight(rows, features))),
            grad_bias: self.wants("grad_bias").then(|| forward.grad_bias(rows)),
        }
    }

    fn declare(&self, plan: &LinearBackwardPlan) -> Slots<Self> {
        let Linear { rows, features, k, bias_steps, .. } = self.forward;
        let products = [&plan.grad_input, &plan.grad_weight].into_iter().flatten().map(ProductPlan::workspace);
        let sums = plan.grad_bias.iter().map(ChannelSums::workspace);
        // The gradients use it one after the other, and so do the parts of a call.
        let workspace = products.chain(sums).max().unwrap_or(0);
        let share = |name: &str| match (name, plan.cuts_features) {
            ("weight" | "grad_weight", true) => Some(k),
            ("grad_output", false) => Some(features),
            ("input" | "grad_input", false) => Some(k),
            ("grad_bias", false) if bias_steps[0] > 0 => Some(bias_steps[0]),
            _ => None,
        };
        self.slots(share).cut(if plan.cuts_features { features } else { rows }).with_workspace(workspace)
    }

    fn dispatches(&self, plan: &LinearBackwardPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let LinearBackwardInputs { grad_output, input, weight, grad_input, grad_weight, grad_bias } = bound.inputs;
        let forward = &self.forward;
        let [rows, features, first] = match plan.cuts_features {
            true => [forward.rows, part.items, part.begin()],
            false => [part.items, forward.features, 0],
        };
        let is_later = part.begin() > 0;
        let target = bound.outputs.grad_input.or(grad_input);
        if let (Some(plan_of), Some(weight), Some(target)) = (&plan.grad_input, weight, target) {
            // The features of a part are added to those before.
            let adds = self.adds("grad_input") || plan.cuts_features && is_later;
            let product = forward.grad_input(rows, features);
            product.dispatches(plan_of, (grad_output, first), weight, target, bound.workspace, adds, add);
        }
        let target = bound.outputs.grad_weight.or(grad_weight);
        if let (Some(plan_of), Some(input), Some(target)) = (&plan.grad_weight, input, target) {
            // And so are the rows of a part.
            let adds = self.adds("grad_weight") || !plan.cuts_features && is_later;
            let product = forward.grad_weight(rows, features);
            product.dispatches(plan_of, (grad_output, first), input, target, bound.workspace, adds, add);
        }
        // All of grad_output is there in each part that is one of features.
        if let (Some(target), false) = (bound.outputs.grad_bias.or(grad_bias), plan.cuts_features && is_later) {
            let adds = self.adds("grad_bias") || is_later && forward.bias_steps[0] == 0;
            forward.grad_bias(rows).dispatches(grad_output, target, bound.workspace, 0, adds, add);
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &LinearBackwardPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let Linear { rows, features, .. } = self.forward;
        let size = self.largest_by_name([self.of_magnitudes(inputs, computed)?]);
        Ok(Box::new(move |name, index| {
            let roundings = match name {
                "grad_input" => products::roundings(features),
                "grad_weight" => products::roundings(rows),
                _ => ChannelSums::roundings() + 1,
            };
            rounding(roundings, size(name, index))
        }))
    }
}

/// The gradients of [`linear`](crate::linear): that of the input is `grad_output` weight, that of the weight `grad_output`^T
/// input, and that of a bias, of this shape, the sum of `grad_output` over the dimensions along which it is broadcast. They
/// are as PyTorch's autograd of
/// [`torch.nn.functional.linear`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.linear.html) has them.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, Tensor, linear_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let features = Tensor::zeros(&gpu, &[8, 512])?;
/// let weight = Tensor::zeros(&gpu, &[10, 512])?;
/// let grad_output = Tensor::zeros(&gpu, &[8, 10])?;
/// let gradients = linear_backward(&grad_output, &features, &weight, Some(&[10]))?;
/// assert_eq!(gradients.grad_weight.unwrap().shape(), [10, 512]);
/// assert_eq!(gradients.grad_bias.unwrap().shape(), [10]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Linear::new`] and [`Operator::call`].
pub fn linear_backward(
    grad_output: &Tensor,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&[usize]>,
) -> Result<LinearGradients<Tensor>> {
    let backward = Linear::new(input.shape(), weight.shape(), bias)?.backward_of_all()?;
    let (input, weight) = (Some(input), Some(weight));
    backward.call(&LinearBackwardInputs { input, weight, ..LinearBackwardInputs::new(grad_output) })
}
