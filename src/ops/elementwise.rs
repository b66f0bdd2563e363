//! What the activations share as operators: each output element is computed from one input element.

use crate::operator::arguments;

mod backward;

#[cfg(feature = "gpu-core")]
pub(crate) use backward::activation_backward;
pub use backward::{IsActivation, UnaryBackwardInputs, UnaryGradients};

arguments! {
    /// The inputs of an operator that has one.
    #[derive(Copy)]
    pub struct UnaryInputs<F> {
        /// f32, of any shape.
        input: float,
    }
}

arguments! {
    /// The outputs of an operator that has one input.
    #[derive(Copy)]
    pub struct UnaryOutputs<F> {
        /// f32, of the operator's output shape.
        output: float,
    }
}

/// Defines an operator on an input of any shape, by its type, its name, and the activation that it is; with parameters,
/// the activation is a function of them. `shaders/NAME.wgsl` has the part `elementwise`.
macro_rules! elementwise {
    ($(#[$meta:meta])* pub struct $operator:ident = $name:literal, $activation:expr;) => {
        $crate::ops::elementwise::elementwise!(@ [$(#[$meta])*] $operator, $name, $crate::operator::NoParams, |_| $activation);

        impl $operator {
            /// Checks an input of any shape.
            ///
            /// # Errors
            /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted.
            pub fn new(input: &[usize]) -> $crate::Result<Self> {
                Self::with_params(input, &Default::default())
            }
        }
    };
    ($(#[$meta:meta])* pub struct $operator:ident = $name:literal, $params:ident, $activation:expr;) => {
        $crate::ops::elementwise::elementwise!(@ [$(#[$meta])*] $operator, $name, $params, $activation);

        impl $operator {
            /// Checks an input of any shape.
            ///
            /// # Errors
            /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted;
            /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a number that is infinite in float32.
            pub fn new(input: &[usize], params: &$params) -> $crate::Result<Self> {
                Self::with_params(input, params)
            }
        }
    };
    (@ [$(#[$meta:meta])*] $operator:ident, $name:literal, $params:ty, $activation:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $operator {
            shape: Vec<usize>,
            pub(crate) activation: $crate::Activation,
        }

        impl $operator {
            fn with_params(input: &[usize], params: &$params) -> $crate::Result<Self> {
                $crate::shape::element_count($name, "input", input)?;
                let activation: fn(&$params) -> $crate::Activation = $activation;
                let activation = activation(params);
                activation.check($name)?;
                Ok($operator { shape: input.to_vec(), activation })
            }

            /// The shape of the output: that of the input.
            pub fn output_shape(&self) -> &[usize] {
                &self.shape
            }
        }

        impl $crate::operator::Definition for $operator {
            const NAME: &'static str = $name;
            type Params = $params;
            type Inputs = $crate::UnaryInputs<()>;
            type Outputs = $crate::UnaryOutputs<()>;

            fn of_shapes(inputs: &$crate::UnaryInputs<Vec<usize>>, params: &$params) -> $crate::Result<Self> {
                $operator::with_params(&inputs.input, params)
            }

            fn gradients(&self) -> Option<&dyn $crate::operator::AnyDifferentiable> {
                Some(self)
            }
        }

        impl $crate::operator::Differentiable for $operator {
            const BACKWARD: &'static str = concat!($name, "_backward");
            type BackwardInputs = $crate::UnaryBackwardInputs<()>;
            type Gradients = $crate::UnaryGradients<()>;

            fn gradient_shapes(&self) -> $crate::UnaryGradients<Vec<usize>> {
                $crate::UnaryGradients { grad_input: Some(self.shape.clone()) }
            }

            fn backward_shapes(
                &self,
                backward: &$crate::operator::Backward<Self>,
            ) -> $crate::UnaryBackwardInputs<Vec<usize>> {
                let by_output = self.activation.differentiates_by_output();
                $crate::UnaryBackwardInputs {
                    grad_output: self.shape.clone(),
                    input: (!by_output).then(|| self.shape.clone()),
                    output: by_output.then(|| self.shape.clone()),
                    grad_input: backward.added("grad_input", &self.shape),
                }
            }
        }

        impl $crate::IsActivation for $operator {
            fn activation(&self) -> $crate::Activation {
                self.activation
            }

            fn shape(&self) -> &[usize] {
                &self.shape
            }
        }

        #[cfg(feature = "gpu-core")]
        mod on_gpu {
            use super::$operator;
            use crate::gpu::capabilities::Capabilities;
            use crate::gpu::kernel::{Dispatch, Kernel};
            use crate::gpu::work::Part;
            use crate::operator::{ArraysOf, Bound, Computed, Operator, Slot, Slots, Tolerance};
            use crate::ops::elementwise::{Elementwise, ElementwiseKernels, elementwise_kernels, tolerance};
            use crate::{UnaryInputs, UnaryOutputs};

            static KERNELS: ElementwiseKernels = elementwise_kernels!($name, []);

            impl Operator for $operator {
                type Plan = Elementwise;
                const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS[0], &KERNELS[1]];

                fn plan(&self, _: &Capabilities) -> Elementwise {
                    Elementwise
                }

                fn declare(&self, _: &Elementwise) -> Slots<Self> {
                    let inputs = UnaryInputs { input: Slot::read(&self.shape).cut(1).or_output() };
                    Slots::new(inputs, UnaryOutputs { output: Slot::write(&self.shape).cut(1) })
                        .cut(self.shape.iter().product())
                }

                fn dispatches(&self, plan: &Elementwise, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
                    let arguments = [bound.inputs.input, bound.outputs.output];
                    plan.dispatches(&KERNELS, self.activation, part.items, arguments, None, add);
                }

                fn rounding<'a>(
                    &'a self,
                    _: &Elementwise,
                    _: &ArraysOf<Self>,
                    computed: &'a Computed<Self>,
                ) -> $crate::Result<Tolerance<'a>> {
                    Ok(tolerance(self.activation, &computed.outputs.output))
                }
            }
        }
    };
}
pub(crate) use elementwise;

#[cfg(feature = "gpu-core")]
pub use on_gpu::Elementwise;
#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::{ChannelSlopes, ElementwiseKernels, ElementwiseParams, elementwise_kernels, tolerance};

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use ndarray::ArrayD;

    use crate::Activation;
    use crate::gpu::kernel::{Binding, Dispatch, Kernel, blocks_and_rest, uniform};
    use crate::operator::Tolerance;
    use crate::operator::replay::rounding;

    uniform! {
        pub(crate) struct ElementwiseParams {
            count: u32,
            base: u32,
            first: u32,
            inner: u32,
            channels: u32,
            slope: f32,
        }
    }

    /// For an output apart and in place, each of single elements and of blocks.
    pub(crate) type ElementwiseKernels = [[Kernel; 2]; 2];

    /// The kernels of an activation's file, which may bind more than input and output.
    macro_rules! elementwise_kernels {
        ($file:literal, [$($more:tt)*]) => {{
            use $crate::gpu::kernel::kernel;
            type Params = $crate::ops::elementwise::ElementwiseParams;
            [
                [
                    kernel!($file, "elements", Params, [(1, Read), (2, ReadWrite), $($more)*]),
                    kernel!($file, "blocks", Params, [(1, Read), (2, ReadWrite), $($more)*]),
                ],
                [
                    kernel!($file with "input_in_place" as concat!($file, "_in_place"), "elements", Params, [(2, ReadWrite), $($more)*]),
                    kernel!($file with "input_in_place" as concat!($file, "_in_place"), "blocks", Params, [(2, ReadWrite), $($more)*]),
                ],
            ]
        }};
    }
    pub(crate) use elementwise_kernels;

    /// The plan of such an operator, the same on all devices.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Elementwise;

    impl fmt::Display for Elementwise {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("blocks of 4 elements, and the rest")
        }
    }

    /// Slopes in a buffer: how many, and the elements that follow each.
    pub(crate) struct ChannelSlopes {
        pub weight: Binding,
        pub channels: usize,
        pub inner: usize,
    }

    impl Elementwise {
        /// Whole blocks go to one kernel, the remaining elements to another. Input and output are in one binding where
        /// the operator works in place.
        pub(crate) fn dispatches(
            self,
            kernels: &'static ElementwiseKernels,
            activation: Activation,
            items: usize,
            [input, output]: [Binding; 2],
            slopes: Option<ChannelSlopes>,
            add: &mut dyn FnMut(Dispatch),
        ) {
            let is_in_place = input == output;
            let [elements, blocks] = &kernels[usize::from(is_in_place)];
            let weight = slopes.as_ref().map(|slopes| slopes.weight);
            let arguments = [input, output].into_iter().skip(usize::from(is_in_place)).chain(weight);
            let arguments: smallvec::SmallVec<[Binding; 3]> = arguments.collect();
            let [channels, inner] = slopes.map_or([1, 1], |slopes| [slopes.channels, slopes.inner]);
            let base = output.base;
            for (kernel, count, first) in blocks_and_rest(Some(blocks), elements, base, items) {
                let params = ElementwiseParams {
                    count,
                    base: base + first,
                    first,
                    inner: inner as u32,
                    channels: channels as u32,
                    slope: activation.slope(),
                };
                add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count as usize)
                    .with_constant("ACTIVATION", activation.constant()));
            }
        }
    }

    /// How far rounding may bring an activation of exact numbers.
    pub(crate) fn tolerance<'a>(activation: Activation, output: &'a ArrayD<f32>) -> Tolerance<'a> {
        let sizes = output.clone().into_flat();
        Box::new(move |_, index| match activation.roundings() {
            0 => 0.0,
            // Factors may be read as 0 where they are denormal.
            roundings => rounding(roundings, f64::from(sizes[index].abs()).max(1e-30)),
        })
    }
}
