//! zero: 0 in every element.

use crate::error::Result;
use crate::operator::{Definition, NoOutputs, NoParams, arguments};
use crate::shape;

arguments! {
    /// The input of [`zero_`](crate::zero_), which is updated in place.
    #[derive(Copy, Eq)]
    pub struct ZeroInputs<F> {
        /// f32, any shape.
        input: float,
    }
}

/// A validated [`zero_`](crate::zero_) of an array of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zero {
    pub(crate) shape: Vec<usize>,
}

impl Zero {
    /// Takes an array of any shape.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted.
    pub fn new(input: &[usize]) -> Result<Self> {
        shape::element_count(Self::NAME, "input", input)?;
        Ok(Zero { shape: input.to_vec() })
    }
}

impl Definition for Zero {
    const NAME: &'static str = "zero";
    type Params = NoParams;
    type Inputs = ZeroInputs<()>;
    type Outputs = NoOutputs;

    fn of_shapes(inputs: &ZeroInputs<Vec<usize>>, _: &NoParams) -> Result<Self> {
        Zero::new(&inputs.input)
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::{Zero, ZeroInputs};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{Dispatch, Kernel, blocks_and_rest, kernel, uniform};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::{Bound, NoOutputs, Operator, Slot, Slots};
    use crate::ops::elementwise::Elementwise;

    uniform! {
        struct Params {
            count: u32,
            base: u32,
        }
    }

    static KERNELS: [Kernel; 2] =
        [kernel!("zero", "elements", Params, [(1, ReadWrite)]), kernel!("zero", "blocks", Params, [(1, ReadWrite)])];

    impl Operator for Zero {
        type Plan = Elementwise;
        const KERNELS: &'static [&'static [Kernel]] = &[&KERNELS];

        fn plan(&self, _: &Capabilities) -> Elementwise {
            Elementwise
        }

        fn declare(&self, _: &Elementwise) -> Slots<Self> {
            let inputs = ZeroInputs { input: Slot::update(&self.shape).cut(1) };
            Slots::new(inputs, NoOutputs {}).cut(self.shape.iter().product())
        }

        fn dispatches(&self, _: &Elementwise, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let input = bound.inputs.input;
            let [elements, blocks] = &KERNELS;
            for (kernel, count, first) in blocks_and_rest(Some(blocks), elements, input.base, part.items) {
                let params = Params { count, base: input.base + first };
                add(Dispatch::per_element(kernel, params.to_bytes(), &[input], count as usize));
            }
        }
    }

    /// Writes 0 into every element, as
    /// [`torch.Tensor.zero_`](https://pytorch.org/docs/2.11/generated/torch.Tensor.zero_.html): before gradients are added
    /// up, for example. Nothing is read back, and it can be recorded among other operators.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// let gpu = wgdnn::Gpu::new_blocking()?;
    /// let grad = wgdnn::Tensor::from_slice(&gpu, &[1.0, 2.0], &[2])?;
    /// wgdnn::zero_(&grad)?;
    /// assert_eq!(grad.read_vec_blocking()?, [0.0, 0.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Operator::call`].
    pub fn zero_(input: &Tensor) -> Result<()> {
        Zero::new(input.shape())?.call(&ZeroInputs { input }).map(drop)
    }
}
