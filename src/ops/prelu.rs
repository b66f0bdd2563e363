//! prelu: a leaky relu whose slopes are an argument.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, NoParams, arguments};
use crate::shape;

/// A validated [`prelu`](crate::prelu) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prelu {
    shape: Vec<usize>,
    pub(crate) weight: Vec<usize>,
    pub(crate) channels: usize,
    /// Elements after the channels.
    pub(crate) inner: usize,
}

arguments! {
    /// The inputs of [`prelu`](crate::prelu).
    #[derive(Copy)]
    pub struct PreluInputs<F> {
        /// f32, of any shape; (N,C,..) for more than one slope.
        input: float,
        /// f32, (C), or one slope for all: (1) or a scalar.
        weight: float,
    }
}

arguments! {
    /// The outputs of [`prelu`](crate::prelu).
    #[derive(Copy)]
    pub struct PreluOutputs<F> {
        /// f32, of the input's shape.
        output: float,
    }
}

impl Prelu {
    /// Checks an input of any shape and a weight: a scalar, (1), or (C) for an input (N,C,..).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a `weight` of another shape; [`Error::LimitExceeded`] for more elements than can be
    /// counted.
    pub fn new(input: &[usize], weight: &[usize]) -> Result<Self> {
        shape::element_count(Self::NAME, "input", input)?;
        let channels = input.get(1).copied().unwrap_or(1);
        if !matches!(weight, [] | [1]) && *weight != [channels] {
            let expected = format!("one slope, or shape [{channels}]");
            return Err(Error::invalid(Self::NAME, "weight", expected, format!("shape {weight:?}")));
        }
        let [channels, inner] = match weight {
            [channels] if *channels != 1 => [*channels, input[2..].iter().product()],
            _ => [1, 1],
        };
        Ok(Prelu { shape: input.to_vec(), weight: weight.to_vec(), channels, inner })
    }

    /// The shape of the output: that of the input.
    pub fn output_shape(&self) -> &[usize] {
        &self.shape
    }
}

impl Definition for Prelu {
    const NAME: &'static str = "prelu";
    type Params = NoParams;
    type Inputs = PreluInputs<()>;
    type Outputs = PreluOutputs<()>;

    fn of_shapes(inputs: &PreluInputs<Vec<usize>>, _: &NoParams) -> Result<Self> {
        Prelu::new(&inputs.input, &inputs.weight)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

arguments! {
    /// The inputs of [`prelu_backward`](crate::prelu_backward).
    #[derive(Copy)]
    pub struct PreluBackwardInputs<F> {
        /// f32, of the input's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32: the operator's input.
        input: float,
        /// f32: the operator's weight. Present exactly if the gradient of the input is wanted.
        weight: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, of the weight's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_weight: optional float,
    }
}

arguments! {
    /// The gradients of [`prelu`](crate::prelu).
    #[derive(Copy, Eq)]
    pub struct PreluGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
        /// f32, of the weight's shape.
        grad_weight: optional float,
    }
}

impl Differentiable for Prelu {
    const BACKWARD: &'static str = "prelu_backward";
    type BackwardInputs = PreluBackwardInputs<()>;
    type Gradients = PreluGradients<()>;

    fn gradient_shapes(&self) -> PreluGradients<Vec<usize>> {
        PreluGradients { grad_input: Some(self.shape.clone()), grad_weight: Some(self.weight.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> PreluBackwardInputs<Vec<usize>> {
        PreluBackwardInputs {
            grad_output: self.shape.clone(),
            input: self.shape.clone(),
            weight: backward.needed(&["grad_input"], &self.weight),
            grad_input: backward.added("grad_input", &self.shape),
            grad_weight: backward.added("grad_weight", &self.weight),
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use backward::prelu_backward;
#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod backward;
#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::{Prelu, PreluInputs, PreluOutputs};
    use crate::activation::Activation;
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::{ArraysOf, Bound, Computed, Operator, Slot, Slots, Tolerance};
    use crate::ops::elementwise::{ChannelSlopes, Elementwise, ElementwiseKernels, elementwise_kernels, tolerance};

    static KERNELS: ElementwiseKernels = elementwise_kernels!("prelu", [(3, Read)]);

    impl Operator for Prelu {
        type Plan = Elementwise;
        const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS[0], &KERNELS[1]];

        fn plan(&self, _: &Capabilities) -> Elementwise {
            Elementwise
        }

        fn declare(&self, _: &Elementwise) -> Slots<Self> {
            let share = self.share();
            let inputs =
                PreluInputs { input: Slot::read(&self.shape).cut(share).or_output(), weight: Slot::read(&self.weight) };
            Slots::new(inputs, PreluOutputs { output: Slot::write(&self.shape).cut(share) }).cut(self.items())
        }

        fn dispatches(&self, plan: &Elementwise, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let PreluInputs { input, weight } = bound.inputs;
            let slopes = ChannelSlopes { weight, channels: self.channels, inner: self.inner };
            let items = part.items * self.share();
            plan.dispatches(&KERNELS, self.activation(), items, [input, bound.outputs.output], Some(slopes), add);
        }

        fn rounding<'a>(
            &'a self,
            _: &Elementwise,
            _: &ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            Ok(tolerance(self.activation(), &computed.outputs.output))
        }
    }

    impl Prelu {
        /// The elements of an item of a call that is cut: of an image, so that each part begins at channel 0.
        pub(super) fn share(&self) -> usize {
            self.channels * self.inner
        }

        pub(super) fn items(&self) -> usize {
            self.shape.iter().product::<usize>().checked_div(self.share()).unwrap_or(0)
        }

        fn activation(&self) -> Activation {
            Activation::Prelu { num_parameters: self.channels }
        }
    }

    /// x where x > 0, otherwise weight x, of every element of an input of any shape, as
    /// [`torch.nn.functional.prelu`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.prelu.html). A weight
    /// (C) has a slope for each channel of an input (N,C,..).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, Tensor, prelu};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::array![[-1.0, -1.0, 1.0]])?;
    /// let weight = Tensor::from_array(&gpu, &ndarray::array![0.5, 2.0, 3.0])?;
    /// assert_eq!(prelu(&input, &weight)?.read_vec_blocking()?, [-0.5, -2.0, 1.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Prelu::new`] and [`Operator::call`].
    pub fn prelu(input: &Tensor, weight: &Tensor) -> Result<Tensor> {
        Ok(Prelu::new(input.shape(), weight.shape())?.call(&PreluInputs { input, weight })?.output)
    }

    /// [`prelu`] in the input's own buffer, which it and its clones then hold.
    ///
    /// # Errors
    /// As [`Prelu::new`] and [`Operator::call_in_place`].
    pub fn prelu_(input: &Tensor, weight: &Tensor) -> Result<()> {
        Prelu::new(input.shape(), weight.shape())?.call_in_place(&PreluInputs { input, weight })
    }
}
