//! The gradients of cross_entropy.

use super::{CrossEntropy, CrossEntropyTarget};
use crate::operator::{Backward, Differentiable, arguments};

arguments! {
    /// The inputs of the backward pass of a [`CrossEntropy`].
    #[derive(Copy)]
    pub struct CrossEntropyBackwardInputs<F, I> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32, (C), (N,C) or (N,C,d1,..): scores before the softmax.
        input: float,
        /// i32 class indices or f32 probabilities. Present exactly if grad_input is wanted.
        target: optional_either CrossEntropyTarget,
        /// f32, (C): the factor of each class's loss. Present exactly if the operator has one.
        weight: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, of the target's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_target: optional float,
    }
}

arguments! {
    /// The gradients of a [`CrossEntropy`].
    #[derive(Copy, Eq)]
    pub struct CrossEntropyGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
        /// f32, of the target's shape. Probabilities have a gradient, class indices have none.
        grad_target: optional float,
    }
}

impl Differentiable for CrossEntropy {
    const BACKWARD: &'static str = "cross_entropy_backward";
    type BackwardInputs = CrossEntropyBackwardInputs<(), ()>;
    type Gradients = CrossEntropyGradients<()>;

    fn gradient_shapes(&self) -> CrossEntropyGradients<Vec<usize>> {
        let of_target = match &self.target {
            CrossEntropyTarget::Classes(_) => None,
            CrossEntropyTarget::Probabilities(shape) => Some(shape.clone()),
        };
        CrossEntropyGradients { grad_input: Some(self.rows.shape.clone()), grad_target: of_target }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> CrossEntropyBackwardInputs<Vec<usize>, Vec<usize>> {
        CrossEntropyBackwardInputs {
            grad_output: self.output_shape().to_vec(),
            input: self.rows.shape.clone(),
            target: backward.wants("grad_input").then(|| self.target.clone()),
            weight: self.has_weight.then(|| vec![self.rows.classes]),
            grad_input: backward.added("grad_input", &self.rows.shape),
            grad_target: backward.added("grad_target", &self.rows.shape),
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use ndarray::ArrayD;

    use super::{CrossEntropy, CrossEntropyBackwardInputs, CrossEntropyGradients, CrossEntropyTarget};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::rounding;
    use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, InputsOf, Operator, Slots, Tolerance};
    use crate::ops::cross_entropy::CrossEntropyParams;
    use crate::ops::cross_entropy::gradient::{self, Gradient, GradientBindings};
    use crate::ops::cross_entropy::plan::CrossEntropyPlan;
    use crate::ops::reduction::Reduction;

    impl Operator for Backward<CrossEntropy> {
        type Plan = CrossEntropyPlan;
        const KERNELS: &'static [&'static [Kernel]] =
            &[&gradient::CLASSES, &gradient::PROBABILITIES, &gradient::TARGETS, &gradient::FACTORS];

        fn plan(&self, on: &Capabilities) -> CrossEntropyPlan {
            self.forward.plan(on)
        }

        fn declare(&self, _: &CrossEntropyPlan) -> Slots<Self> {
            let CrossEntropy { rows, params, target, .. } = &self.forward;
            let has_classes = matches!(target, CrossEntropyTarget::Classes(_));
            let share = |name: &str| match name {
                "grad_output" => Some(rows.inner),
                "target" if has_classes => Some(rows.inner),
                "weight" => None,
                _ => Some(rows.share()),
            };
            let slots = self.slots(share);
            let slots = match params.reduction {
                Reduction::None => slots.cut(rows.items()),
                // A mean divides by a sum over all rows.
                Reduction::Mean | Reduction::Sum => slots.whole(),
            };
            slots.with_workspace(self.forward.factors(0).end(rows))
        }

        fn dispatches(&self, plan: &CrossEntropyPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let rows = &self.forward.rows;
            let CrossEntropyBackwardInputs { grad_output, input, target, weight, grad_input, grad_target } =
                bound.inputs;
            let bindings = GradientBindings { input, target, weight, workspace: bound.workspace };
            let is_reduced = self.forward.params.reduction != Reduction::None;
            let count = if is_reduced { rows.rows } else { part.items * rows.inner };
            if count == 0 {
                return;
            }
            let forward = &self.forward;
            forward.factor_dispatches(&forward.factors(0), count, &bindings, Some(grad_output), add);
            if let Some(grad_input) = bound.outputs.grad_input.or(grad_input) {
                let of = Gradient { of: grad_input, adds: self.adds("grad_input"), begin: 0 };
                let kernels = match forward.target {
                    CrossEntropyTarget::Classes(_) => &gradient::CLASSES,
                    CrossEntropyTarget::Probabilities(_) => &gradient::PROBABILITIES,
                };
                forward.gradient_dispatch(kernels, plan, count, &bindings, &of, add);
            }
            if let Some(grad_target) = bound.outputs.grad_target.or(grad_target) {
                let of = Gradient { of: grad_target, adds: self.adds("grad_target"), begin: 0 };
                forward.gradient_dispatch(&gradient::TARGETS, plan, count, &bindings, &of, add);
            }
        }

        fn rounding<'a>(
            &'a self,
            _: &CrossEntropyPlan,
            inputs: &'a ArraysOf<Self>,
            _: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let sizes = self.forward.gradient_sizes(
                &inputs.input,
                inputs.target.as_ref(),
                inputs.weight.as_ref(),
                Some(&inputs.grad_output),
            );
            let flat = |array: &'a Option<ArrayD<f32>>| -> Vec<f32> { array.iter().flatten().copied().collect() };
            let (input, target) = (flat(&inputs.grad_input), flat(&inputs.grad_target));
            let rows = &self.forward.rows;
            Ok(Box::new(move |name, index| {
                let row = index / rows.share() * rows.inner + index % rows.inner;
                let [of_input, of_target] = sizes[row];
                let (size, added) = if name == "grad_input" { (of_input, &input) } else { (of_target, &target) };
                // Sums with what is there may be rounded apart, by as much as one of them is.
                rounding(34, size) + rounding(2, added.get(index).map_or(0.0, |x| f64::from(x.abs())))
            }))
        }

        fn check(&self, inputs: &InputsOf<Self, &Tensor, &Tensor<i32>>) -> Result<()> {
            let check = |target| self.forward.check_known_classes(CrossEntropy::BACKWARD, target);
            inputs.target.as_ref().map_or(Ok(()), check)
        }
    }

    /// The gradients of [`cross_entropy`](crate::cross_entropy), as PyTorch's autograd of
    /// [`torch.nn.functional.cross_entropy`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.cross_entropy.html).
    ///
    /// With p the softmax of a row, f its `grad_output`, which for a mean is divided by the sum of the weights of the
    /// classes of all rows that are not ignored (or by the number of rows, with probabilities), and e the label smoothing, grad_input is
    /// f ((1 - e) w\[y\] (p - q) + e / C (p W - w)) for a row of class y, with q 1 for that class and 0 for others, and W the
    /// sum of all weights w; for probabilities t it is f (p S - w s), with s = (1 - e) t + e / C and S the sum of w s. grad_target
    /// is f (1 - e) w (-log p). Rows that are ignored have the gradient 0, but NaN where their scores have no softmax.
    ///
    /// In a step of a training, [`CrossEntropy::with_gradient`] computes loss and gradient at once.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{CrossEntropyParams, CrossEntropyTarget, Gpu, Tensor, cross_entropy_backward};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let logits = Tensor::from_array(&gpu, &ndarray::array![[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])?;
    /// let classes = Tensor::from_array(&gpu, &ndarray::array![0, 1])?;
    /// let target = CrossEntropyTarget::Classes(&classes);
    /// let grad_output = Tensor::from_slice(&gpu, &[1.0], &[])?;
    /// let gradients = cross_entropy_backward(&grad_output, &logits, target, None, &CrossEntropyParams::default())?;
    /// assert_eq!(gradients.grad_input.unwrap().shape(), logits.shape());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`cross_entropy`](crate::cross_entropy).
    pub fn cross_entropy_backward(
        grad_output: &Tensor,
        input: &Tensor,
        target: CrossEntropyTarget<&Tensor<i32>, &Tensor>,
        weight: Option<&Tensor>,
        params: &CrossEntropyParams,
    ) -> Result<CrossEntropyGradients<Tensor>> {
        let operator = CrossEntropy::new(input.shape(), target.shape(), weight.map(Tensor::shape), params)?;
        let new = CrossEntropyBackwardInputs::new(grad_output, input);
        operator.backward_of_all()?.call(&CrossEntropyBackwardInputs { target: Some(target), weight, ..new })
    }
}
