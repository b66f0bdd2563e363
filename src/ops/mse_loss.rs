//! mse_loss: the squared difference of two arrays, or its mean or sum.

use crate::error::Result;
use crate::operator::{Definition, arguments};
use crate::ops::Reduction;
use crate::ops::broadcast::{WalkDimension, broadcast, walk};
use crate::shape;

/// The number of f32s in a partial sum.
#[cfg(feature = "gpu-core")]
const PARTIAL_WORDS: usize = 2;

/// Parameters of [`mse_loss`](crate::mse_loss), as in `torch.nn.functional.mse_loss`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MseLossParams {
    /// Whether the squares are returned as they are, or as their mean or sum. Default: the mean.
    pub reduction: Reduction,
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(MseLossParams: default(), reduction);

/// A validated [`mse_loss`](crate::mse_loss) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MseLoss {
    pub(crate) reduction: Reduction,
    /// The shape that both operands broadcast to.
    pub(crate) common: Vec<usize>,
    input: Vec<usize>,
    target: Vec<usize>,
    walk: Vec<WalkDimension>,
}

arguments! {
    /// The inputs of an [`MseLoss`].
    #[derive(Copy)]
    pub struct MseLossInputs<F> {
        /// f32, any shape.
        input: float,
        /// f32, a shape that broadcasts with the input's.
        target: float,
    }
}

arguments! {
    /// The outputs of an [`MseLoss`].
    #[derive(Copy)]
    pub struct MseLossOutputs<F> {
        /// f32: the shape that both operands broadcast to, or a scalar with a reduction.
        output: float,
    }
}

impl MseLoss {
    /// Checks an input and a target, whose shapes broadcast together.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `target` whose shape does not broadcast with that of `input`;
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for more elements than can be counted, and for shapes that alternate more than three
    /// times between dimensions in which one operand is broadcast and dimensions in which it is not.
    pub fn new(input: &[usize], target: &[usize], params: &MseLossParams) -> Result<Self> {
        let operands = [input, target];
        let common = broadcast(Self::NAME, "target", operands)?;
        for (argument, shape) in [("input", input), ("target", target), ("output", &common)] {
            shape::element_count(Self::NAME, argument, shape)?;
        }
        let walk = walk(Self::NAME, "target", operands, &common)?;
        Ok(MseLoss { reduction: params.reduction, common, input: input.to_vec(), target: target.to_vec(), walk })
    }

    /// The shape of the output: the common shape without a reduction, otherwise that of a scalar.
    pub fn output_shape(&self) -> &[usize] {
        match self.reduction {
            Reduction::None => &self.common,
            Reduction::Mean | Reduction::Sum => &[],
        }
    }
}

impl Definition for MseLoss {
    const NAME: &'static str = "mse_loss";
    type Params = MseLossParams;
    type Inputs = MseLossInputs<()>;
    type Outputs = MseLossOutputs<()>;

    fn of_shapes(inputs: &MseLossInputs<Vec<usize>>, params: &MseLossParams) -> Result<Self> {
        MseLoss::new(&inputs.input, &inputs.target, params)
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::fmt;
    use std::slice::from_ref;

    use super::{MseLoss, MseLossInputs, MseLossOutputs, MseLossParams, PARTIAL_WORDS};
    use crate::error::Result;
    use crate::gpu::capabilities::Capabilities;
    use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, kernel, uniform};
    use crate::gpu::tensor::Tensor;
    use crate::gpu::work::Part;
    use crate::operator::replay::{largest, rounding, unless_overflown};
    use crate::operator::{ArraysOf, Bound, Computed, Operator, Slot, Slots, Tolerance};
    use crate::ops::broadcast::{WalkDimension, filled};
    use crate::ops::reduction::{Reduction, reduction_parts};

    uniform! {
        struct Params {
            count: u32,
            partial_count: u32,
            is_mean: u32,
            length_0: u32,
            length_1: u32,
            length_2: u32,
            length_3: u32,
            input_stride_0: u32,
            input_stride_1: u32,
            input_stride_2: u32,
            input_stride_3: u32,
            target_stride_0: u32,
            target_stride_1: u32,
            target_stride_2: u32,
            target_stride_3: u32,
            hidden_zero: u32,
            base: u32,
        }
    }

    static ELEMENTWISE: Kernel = kernel!("mse_loss", "elementwise", Params, [(1, Read), (2, Read), (3, ReadWrite)]);
    static PARTIAL_SUMS: Kernel = kernel!("mse_loss", "partial_sums", Params, [(1, Read), (2, Read), (4, ReadWrite)]);
    static PARTIAL_SUMS_OF_BLOCKS: Kernel =
        kernel!("mse_loss", "partial_sums_of_blocks", Params, [(1, Read), (2, Read), (4, ReadWrite)]);
    static FINISH: Kernel = kernel!("mse_loss", "finish", Params, [(3, ReadWrite), (4, ReadWrite)]);

    /// How it is computed.
    #[non_exhaustive]
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MseLossPlan {
        /// One element of the output from one of each operand, in the same order.
        Elementwise,
        /// One element of the output from the elements that the operands broadcast to it.
        Broadcast,
        /// Partial sums in the workspace, in blocks of 4 elements where possible.
        Reduced {
            /// Whether both operands are read in blocks.
            blocks: bool,
        },
    }

    impl fmt::Display for MseLossPlan {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                MseLossPlan::Elementwise => "elementwise",
                MseLossPlan::Broadcast => "broadcast",
                MseLossPlan::Reduced { blocks: true } => "sums in parts, by blocks of 4 elements",
                MseLossPlan::Reduced { blocks: false } => "sums in parts",
            })
        }
    }

    impl Operator for MseLoss {
        type Plan = MseLossPlan;
        const KERNELS: &'static [&'static [Kernel]] =
            &[from_ref(&ELEMENTWISE), from_ref(&PARTIAL_SUMS), from_ref(&PARTIAL_SUMS_OF_BLOCKS), from_ref(&FINISH)];

        fn plan(&self, _: &Capabilities) -> MseLossPlan {
            match self.reduction {
                Reduction::None if self.input == self.target => MseLossPlan::Elementwise,
                Reduction::None => MseLossPlan::Broadcast,
                Reduction::Mean | Reduction::Sum => {
                    let blocks = self.input == self.target && self.count().is_multiple_of(BLOCK as usize);
                    MseLossPlan::Reduced { blocks }
                }
            }
        }

        fn declare(&self, plan: &MseLossPlan) -> Slots<Self> {
            let [input, target] = [&self.input, &self.target].map(|shape| Slot::read(shape));
            let output = Slot::write(self.output_shape());
            match plan {
                MseLossPlan::Elementwise => {
                    let inputs = MseLossInputs { input: input.cut(1), target: target.cut(1) };
                    Slots::new(inputs, MseLossOutputs { output: output.cut(1) }).cut(self.count())
                }
                MseLossPlan::Broadcast => Slots::new(MseLossInputs { input, target }, MseLossOutputs { output }),
                MseLossPlan::Reduced { .. } => Slots::new(MseLossInputs { input, target }, MseLossOutputs { output })
                    .with_workspace(PARTIAL_WORDS * self.partial_count().max(1)),
            }
        }

        fn dispatches(&self, plan: &MseLossPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let Bound { inputs, outputs, workspace } = bound;
            let count = if *plan == MseLossPlan::Elementwise { part.items } else { self.count() };
            let walk = match plan {
                MseLossPlan::Elementwise => filled(&[WalkDimension { length: count, strides: [1, 1] }]),
                _ => filled(&self.walk),
            };
            let params = Params {
                count: count as u32,
                partial_count: self.partial_count() as u32,
                is_mean: u32::from(self.reduction == Reduction::Mean),
                length_0: walk[0].length as u32,
                length_1: walk[1].length as u32,
                length_2: walk[2].length as u32,
                length_3: walk[3].length as u32,
                input_stride_0: walk[0].strides[0] as u32,
                input_stride_1: walk[1].strides[0] as u32,
                input_stride_2: walk[2].strides[0] as u32,
                input_stride_3: walk[3].strides[0] as u32,
                target_stride_0: walk[0].strides[1] as u32,
                target_stride_1: walk[1].strides[1] as u32,
                target_stride_2: walk[2].strides[1] as u32,
                target_stride_3: walk[3].strides[1] as u32,
                hidden_zero: 0,
                base: inputs.input.base,
            }
            .to_bytes();
            match plan {
                MseLossPlan::Elementwise | MseLossPlan::Broadcast if count == 0 => {}
                MseLossPlan::Elementwise | MseLossPlan::Broadcast => {
                    let arguments = [inputs.input, inputs.target, outputs.output];
                    add(Dispatch::per_element(&ELEMENTWISE, params, &arguments, count));
                }
                MseLossPlan::Reduced { blocks } => {
                    if count > 0 {
                        let kernel = if *blocks { &PARTIAL_SUMS_OF_BLOCKS } else { &PARTIAL_SUMS };
                        let arguments = [inputs.input, inputs.target, *workspace];
                        add(Dispatch::reduction(kernel, params.clone(), &arguments, self.partial_count()));
                    }
                    add(Dispatch::reduction(&FINISH, params, &[outputs.output, *workspace], 1));
                }
            }
        }

        fn rounding<'a>(
            &'a self,
            _: &MseLossPlan,
            inputs: &'a ArraysOf<Self>,
            computed: &'a Computed<Self>,
        ) -> Result<Tolerance<'a>> {
            let peak = (largest(&inputs.input) + largest(&inputs.target)).powi(2) * self.count() as f64;
            let sizes = computed.outputs.output.clone().into_flat();
            Ok(Box::new(move |_, index| unless_overflown(peak, rounding(16, sizes[index].into()))))
        }
    }

    impl MseLoss {
        fn count(&self) -> usize {
            self.common.iter().product()
        }

        fn partial_count(&self) -> usize {
            reduction_parts(self.count())
        }
    }

    /// The squares (input - target)^2 of two arrays that broadcast together, or their mean or sum, as
    /// [`torch.nn.functional.mse_loss`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.mse_loss.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, MseLossParams, Tensor, mse_loss};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::array![1.0, 2.0])?;
    /// let target = Tensor::from_array(&gpu, &ndarray::array![1.0, 4.0])?;
    /// let loss = mse_loss(&input, &target, &MseLossParams::default())?.read_blocking()?;
    /// assert_eq!(loss.first(), Some(&2.0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`MseLoss::new`] and [`Operator::call`].
    pub fn mse_loss(input: &Tensor, target: &Tensor, params: &MseLossParams) -> Result<Tensor> {
        let operator = MseLoss::new(input.shape(), target.shape(), params)?;
        Ok(operator.call(&MseLossInputs { input, target })?.output)
    }
}
