//! sigmoid: the logistic function of every element.

use crate::error::Result;
use crate::shape;

const NAME: &str = "sigmoid";

/// A validated [`sigmoid`](crate::sigmoid) on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sigmoid {
    shape: Vec<usize>,
}

impl Sigmoid {
    /// Checks an input of any shape.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted.
    pub fn new(input: &[usize]) -> Result<Self> {
        shape::element_count(NAME, "input", input)?;
        Ok(Sigmoid { shape: input.to_vec() })
    }

    /// The shape of the output: that of the input.
    pub fn output_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    /// Bytes of workspace that recording needs: none.
    pub fn workspace_size(&self) -> u64 {
        0
    }
}

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::{NAME, Sigmoid};
    use crate::error::Result;
    use crate::gpu::Gpu;
    use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, kernel, uniform};
    use crate::gpu::operator::{Operator, Part, Sealed, Split};
    use crate::gpu::recorder::{Argument, Recorder};
    use crate::gpu::tensor::Tensor;
    use crate::reference;
    use crate::validation::{Replay, read, replay, rounding};

    uniform! {
            struct Params {
                count: u32,
    base: u32,
            }
        }

    static SIGMOID: Kernel = kernel!("sigmoid", "sigmoid", Params, [(1, Read), (2, ReadWrite)]);
    static SIGMOID_BLOCKS: Kernel = kernel!("sigmoid", "sigmoid_blocks", Params, [(1, Read), (2, ReadWrite)]);
    pub(crate) const KERNELS: &[&Kernel] = &[&SIGMOID, &SIGMOID_BLOCKS];

    /// The buffers of a recorded [`Sigmoid`].
    #[derive(Debug, Clone, Copy)]
    pub struct SigmoidBuffers<'a> {
        /// f32, of the input's shape.
        pub input: wgpu::BufferSlice<'a>,
        /// f32, of the input's shape.
        pub output: wgpu::BufferSlice<'a>,
    }

    impl Sealed for Sigmoid {}

    impl Operator for Sigmoid {
        fn name(&self) -> &'static str {
            NAME
        }

        fn split(&self) -> Split {
            Split { items: self.count(), shares: vec![("input", 1), ("output", 1)] }
        }

        fn dispatches(&self, _: &Gpu, part: &Part) -> Vec<Dispatch> {
            let base = part.base("input");
            let blocks = if base.is_multiple_of(BLOCK) { part.items as u32 / BLOCK } else { 0 };
            let rest = part.items as u32 - blocks * BLOCK;
            [(&SIGMOID_BLOCKS, blocks, base), (&SIGMOID, rest, base + blocks * BLOCK)]
                .into_iter()
                .filter(|&(_, count, _)| count > 0)
                .map(|(kernel, count, base)| {
                    let params = Params { count, base };
                    Dispatch::per_element(kernel, params.to_bytes(), vec!["input", "output"], count as usize)
                })
                .collect()
        }
    }

    impl Sigmoid {
        fn count(&self) -> usize {
            self.shape.iter().product::<usize>()
        }

        /// Compiles what recording needs, now rather than then.
        ///
        /// # Errors
        /// As [`Gpu::warm_up`].
        pub fn warm_up(&self, gpu: &Gpu) -> Result<()> {
            gpu.warm_up(&[self])
        }

        /// Records the operator on the caller's buffers.
        ///
        /// # Errors
        /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is too small, misaligned,
        /// without `STORAGE`, or both read and written; [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the
        /// device's limits.
        pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &SigmoidBuffers<'_>) -> Result<()> {
            let arguments = [
                Argument::read("input", buffers.input, self.count()),
                Argument::write("output", buffers.output, self.count()),
            ];
            recorder.run(self, &arguments)
        }
    }

    /// 1 / (1 + exp(-x)) of every element of an input of any shape, as
    /// [`torch.sigmoid`](https://pytorch.org/docs/2.11/generated/torch.sigmoid.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, Tensor, sigmoid};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::array![-1.0, 0.0, 1.0])?;
    /// assert_eq!(sigmoid(&input)?.read_blocking()?[1], 0.5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Sigmoid::new`] and [`Sigmoid::record`].
    pub fn sigmoid(input: &Tensor) -> Result<Tensor> {
        let operator = Sigmoid::new(input.shape())?;
        let output = Tensor::uninitialized(input.gpu(), NAME, input.shape())?;
        input.gpu().eager(&operator, &[input.storage()], &[output.storage()], |recorder| {
            operator.record(recorder, &SigmoidBuffers { input: input.own_slice(), output: output.own_slice() })
        })?;
        replay(input.gpu(), NAME, || {
            let expected = reference::sigmoid(&read(input)?)?;
            let sizes = expected.clone().into_flat();
            Replay { operator: NAME, shapes: vec![("input", input.shape().to_vec())] }.floats(
                "output",
                &output,
                &expected,
                |index| rounding(16, sizes[index].into()),
            )?;
            Ok(())
        })?;
        Ok(output)
    }
}
