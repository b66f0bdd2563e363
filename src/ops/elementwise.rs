//! What elementwise operators share: each output element is computed from one input element.

use crate::operator::arguments;

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

/// Defines an operator on an input of any shape, by its type and its name. `shaders/NAME.wgsl` has the part
/// `elementwise`. The last argument is how many roundings the GPU's result may be from the CPU's; 0 if none.
macro_rules! elementwise {
    ($(#[$meta:meta])* pub struct $operator:ident = $name:literal, $roundings:literal;) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $operator {
            shape: Vec<usize>,
        }

        impl $operator {
            /// Checks an input of any shape.
            ///
            /// # Errors
            /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted.
            pub fn new(input: &[usize]) -> $crate::Result<Self> {
                $crate::shape::element_count($name, "input", input)?;
                Ok($operator { shape: input.to_vec() })
            }

            /// The shape of the output: that of the input.
            pub fn output_shape(&self) -> &[usize] {
                &self.shape
            }
        }

        impl $crate::operator::Definition for $operator {
            const NAME: &'static str = $name;
            type Params = $crate::operator::NoParams;
            type Inputs = $crate::UnaryInputs<()>;
            type Outputs = $crate::UnaryOutputs<()>;

            fn of_shapes(
                inputs: &$crate::UnaryInputs<Vec<usize>>,
                _: &$crate::operator::NoParams,
            ) -> $crate::Result<Self> {
                $operator::new(&inputs.input)
            }
        }

        #[cfg(feature = "gpu-core")]
        mod on_gpu {
            use super::$operator;
            use crate::gpu::capabilities::Capabilities;
            use crate::gpu::kernel::{Dispatch, Kernel, kernel};
            use crate::gpu::work::Part;
            use crate::operator::replay::rounding;
            use crate::operator::{ArraysOf, Bound, Computed, Operator, Slots, Tolerance};
            use crate::ops::elementwise::{self, Elementwise, ElementwiseParams};

            static ELEMENTS: Kernel = kernel!($name, "elements", ElementwiseParams, [(1, Read), (2, ReadWrite)]);
            static BLOCKS: Kernel = kernel!($name, "blocks", ElementwiseParams, [(1, Read), (2, ReadWrite)]);

            impl Operator for $operator {
                type Plan = Elementwise;
                const KERNELS: &'static [&'static Kernel] = &[&ELEMENTS, &BLOCKS];

                fn plan(&self, _: &Capabilities) -> Elementwise {
                    Elementwise
                }

                fn declare(&self, _: &Elementwise) -> Slots<Self> {
                    elementwise::slots(&self.shape)
                }

                fn dispatches(&self, _: &Elementwise, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
                    elementwise::dispatches([&ELEMENTS, &BLOCKS], part, [bound.inputs.input, bound.outputs.output], add);
                }

                fn rounding<'a>(
                    &'a self,
                    _: &Elementwise,
                    _: &ArraysOf<Self>,
                    computed: &'a Computed<Self>,
                ) -> $crate::Result<Tolerance<'a>> {
                    let sizes = computed.outputs.output.clone().into_flat();
                    Ok(Box::new(move |_, index| match $roundings {
                        0 => 0.0,
                        roundings => rounding(roundings, sizes[index].abs().into()),
                    }))
                }
            }
        }
    };
}
pub(crate) use elementwise;

#[cfg(feature = "gpu-core")]
pub use on_gpu::Elementwise;
#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::{ElementwiseParams, dispatches, slots};

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;

    use super::{UnaryInputs, UnaryOutputs};
    use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, uniform};
    use crate::gpu::work::Part;
    use crate::operator::{Definition, Slot, Slots};

    uniform! {
        pub(crate) struct ElementwiseParams {
            count: u32,
            base: u32,
        }
    }

    /// The plan of such an operator, the same on all devices.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Elementwise;

    impl fmt::Display for Elementwise {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("blocks of 4 elements, and the rest")
        }
    }

    /// The slots of an input and an output of one shape.
    pub(crate) fn slots<O>(shape: &[usize]) -> Slots<O>
    where
        O: Definition<Inputs = UnaryInputs<()>, Outputs = UnaryOutputs<()>>,
    {
        let inputs = UnaryInputs { input: Slot::read(shape).cut(1) };
        Slots::new(inputs, UnaryOutputs { output: Slot::write(shape).cut(1) }).cut(shape.iter().product())
    }

    /// Whole blocks go to the second kernel, the remaining elements to the first.
    pub(crate) fn dispatches(
        [elements, blocks]: [&'static Kernel; 2],
        part: &Part,
        arguments: [Binding; 2],
        add: &mut dyn FnMut(Dispatch),
    ) {
        let base = arguments[0].base;
        let block_count = if base.is_multiple_of(BLOCK) { part.items as u32 / BLOCK } else { 0 };
        let rest = part.items as u32 - block_count * BLOCK;
        for (kernel, count, base) in [(blocks, block_count, base), (elements, rest, base + block_count * BLOCK)] {
            if count > 0 {
                let params = ElementwiseParams { count, base };
                add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count as usize));
            }
        }
    }
}
