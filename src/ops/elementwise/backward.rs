//! The gradients of activations.

use crate::Activation;
use crate::operator::{Differentiable, arguments};

arguments! {
    /// The inputs of the backward pass of an operator that has one input and one output.
    #[derive(Copy)]
    pub struct UnaryBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32: the operator's input. Present exactly if the gradient is computed from it.
        input: optional float,
        /// f32: the operator's output. Present exactly if the gradient is computed from it.
        output: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
    }
}

arguments! {
    /// The gradients of an operator that has one input.
    #[derive(Copy, Eq)]
    pub struct UnaryGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
    }
}

/// An operator that is an activation.
pub trait IsActivation:
    Differentiable<BackwardInputs = UnaryBackwardInputs<()>, Gradients = UnaryGradients<()>>
{
    #[doc(hidden)]
    fn activation(&self) -> Activation;

    #[doc(hidden)]
    fn shape(&self) -> &[usize];
}

impl Activation {
    /// Whether the derivative is computed from the output, as in PyTorch where that serves as well. Otherwise it is
    /// computed from the input.
    pub(crate) fn differentiates_by_output(self) -> bool {
        matches!(self, Activation::Relu | Activation::Relu6 | Activation::Tanh | Activation::Sigmoid)
    }
}

#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::activation_backward;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::IsActivation;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel, blocks_and_rest, kernel, uniform};
    use crate::gpu::work::Part;
    use crate::operator::replay::rounding;
    use crate::operator::{ArraysOf, Backward, Bound, Computed, Operator, Slots, Tolerance};
    use crate::ops::elementwise::Elementwise;
    use crate::{Result, Tensor, UnaryBackwardInputs};

    uniform! {
        struct Params {
            count: u32,
            base: u32,
            adds: u32,
            slope: f32,
        }
    }

    static KERNELS: [Kernel; 2] = [
        kernel!("activation_backward", "elements", Params, [(1, Read), (2, Read), (3, ReadWrite)]),
        kernel!("activation_backward", "blocks", Params, [(1, Read), (2, Read), (3, ReadWrite)]),
    ];

    impl<O: IsActivation> Operator for Backward<O> {
        type Plan = Elementwise;
        const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

        fn plan(&self, _: &Capabilities) -> Elementwise {
            Elementwise
        }

        fn declare(&self, _: &Elementwise) -> Slots<Self> {
            self.slots(|_| Some(1)).cut(self.forward.shape().iter().product())
        }

        fn dispatches(&self, _: &Elementwise, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let UnaryBackwardInputs { grad_output, input, output, grad_input } = bound.inputs;
            let grad_input = bound.outputs.grad_input.or(grad_input);
            let (Some(saved), Some(grad_input)) = (input.or(output), grad_input) else { return };
            let activation = self.forward.activation();
            let [elements, blocks] = &KERNELS;
            for (kernel, count, first) in blocks_and_rest(Some(blocks), elements, grad_output.base, part.items) {
                let params = Params {
                    count,
                    base: grad_output.base + first,
                    adds: u32::from(self.adds("grad_input")),
                    slope: activation.slope(),
                };
                let arguments = [grad_output, saved, grad_input];
                add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count as usize)
                    .with_constant("ACTIVATION", activation.constant()));
            }
        }

        fn rounding<'a>(
            &'a self,
            _: &Elementwise,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let steepest = f64::from(self.forward.activation().slope().abs()).max(1.2);
            let sizes: Vec<_> = inputs.grad_output.iter().map(|x| f64::from(x.abs()) * steepest).collect();
            let results = self.results(computed);
            let size =
                move |index: usize| sizes[index] + results.iter().map(|x| f64::from(x[index].abs())).sum::<f64>();
            Ok(Box::new(move |_, index| rounding(32, size(index))))
        }
    }

    /// Calls the backward pass of an activation, given what it is computed from.
    pub(crate) fn activation_backward<O: IsActivation>(
        forward: &O,
        grad_output: &Tensor,
        saved: &Tensor,
    ) -> Result<Tensor> {
        let by_output = forward.activation().differentiates_by_output();
        let [input, output] = [!by_output, by_output].map(|is_needed| is_needed.then_some(saved));
        let inputs = UnaryBackwardInputs { grad_output, input, output, grad_input: None };
        Ok(forward.backward_of_all()?.call(&inputs)?.grad_input.expect("it is wanted"))
    }
}
