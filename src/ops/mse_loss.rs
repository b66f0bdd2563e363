//! mse_loss: the squared difference of two arrays, or its mean or sum.

use crate::error::{Error, Result};
use crate::ops::Reduction;
use crate::shape;

const NAME: &str = "mse_loss";

/// f32s of a partial sum.
const PARTIAL_WORDS: usize = 2;

/// How many dimensions may remain once neighbours that both operands walk alike are taken as one.
const MAX_RANK: usize = 4;

/// Parameters of [`mse_loss`](crate::mse_loss), as in `torch.nn.functional.mse_loss`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MseLossParams {
    /// Whether the squares are returned as they are, or their mean or sum.
    pub reduction: Reduction,
}

/// A validated [`mse_loss`](crate::mse_loss) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MseLoss {
    pub(crate) reduction: Reduction,
    /// What both operands are broadcast to.
    pub(crate) common: Vec<usize>,
    input: Vec<usize>,
    target: Vec<usize>,
    walk: Vec<WalkDimension>,
}

/// A dimension of the common shape, and how far a step along it moves in each operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WalkDimension {
    length: usize,
    input_stride: usize,
    target_stride: usize,
}

/// The shape that both operands broadcast to.
fn broadcast(input: &[usize], target: &[usize]) -> Result<Vec<usize>> {
    let rank = input.len().max(target.len());
    let length = |shape: &[usize], dim: usize| (dim + shape.len()).checked_sub(rank).map_or(1, |dim| shape[dim]);
    (0..rank)
        .map(|dim| match (length(input, dim), length(target, dim)) {
            (input, target) if input == target => Ok(input),
            (1, other) | (other, 1) => Ok(other),
            _ => Err(Error::invalid(
                NAME,
                "target",
                format!("a shape that broadcasts with that of input, {input:?}"),
                format!("shape {target:?}"),
            )),
        })
        .collect()
}

/// Steps of a contiguous operand along the common shape's dimensions: 0 where it is broadcast.
fn strides(operand: &[usize], common: &[usize]) -> Vec<usize> {
    let mut step = 1;
    let mut strides = vec![0; common.len()];
    for (stride, &length) in strides.iter_mut().rev().zip(operand.iter().rev()) {
        if length != 1 {
            *stride = step;
            step *= length;
        }
    }
    strides
}

/// The common shape without dimensions of one element, and neighbours taken as one where both operands allow it.
fn walk(input: &[usize], target: &[usize], common: &[usize]) -> Vec<WalkDimension> {
    let mut walk: Vec<WalkDimension> = Vec::new();
    let steps = strides(input, common).into_iter().zip(strides(target, common));
    for (&length, (input_stride, target_stride)) in common.iter().zip(steps) {
        if length == 1 {
            continue;
        }
        if let Some(outer) = walk.last_mut()
            && outer.input_stride == input_stride * length
            && outer.target_stride == target_stride * length
        {
            *outer = WalkDimension { length: outer.length * length, input_stride, target_stride };
        } else {
            walk.push(WalkDimension { length, input_stride, target_stride });
        }
    }
    walk
}

impl MseLoss {
    /// Checks an input and a target, whose shapes broadcast together.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a `target` whose shape does not broadcast with that of `input`;
    /// [`Error::LimitExceeded`] for more elements than can be counted, and for shapes that alternate more than three
    /// times between dimensions in which one operand is broadcast and ones in which it is not.
    pub fn new(input: &[usize], target: &[usize], params: &MseLossParams) -> Result<Self> {
        let common = broadcast(input, target)?;
        shape::element_count(NAME, "input", input)?;
        shape::element_count(NAME, "target", target)?;
        let count = shape::element_count(NAME, "output", &common)?;
        let walk = if count == 0 { Vec::new() } else { walk(input, target, &common) };
        if walk.len() > MAX_RANK {
            return Err(Error::LimitExceeded {
                operator: NAME,
                argument: "target",
                limit: "the dimensions of a broadcast",
                maximum: MAX_RANK as u64,
                actual: walk.len() as u64,
            });
        }
        Ok(MseLoss { reduction: params.reduction, common, input: input.to_vec(), target: target.to_vec(), walk })
    }

    /// The shape of the output: that of both operands without a reduction, else that of a scalar.
    pub fn output_shape(&self) -> Vec<usize> {
        match self.reduction {
            Reduction::None => self.common.clone(),
            Reduction::Mean | Reduction::Sum => Vec::new(),
        }
    }

    fn partial_count(&self) -> usize {
        shape::reduction_parts(self.common.iter().product::<usize>())
    }

    fn workspace_elements(&self) -> usize {
        match self.reduction {
            Reduction::None => 0,
            Reduction::Mean | Reduction::Sum => PARTIAL_WORDS * self.partial_count().max(1),
        }
    }

    /// Bytes of workspace that recording needs.
    pub fn workspace_size(&self) -> u64 {
        self.workspace_elements() as u64 * shape::ELEMENT_BYTES
    }
}

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::{MseLoss, MseLossParams, NAME, WalkDimension};
    use crate::error::Result;
    use crate::gpu::Gpu;
    use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, kernel, uniform};
    use crate::gpu::operator::{Operator, Part, Sealed, Split};
    use crate::gpu::recorder::{Argument, Recorder};
    use crate::gpu::tensor::{Tensor, expect_same_gpu};
    use crate::ops::Reduction;
    use crate::reference;
    use crate::validation::{Replay, largest, read, replay, rounding, unless_overflown};

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

    static ELEMENTWISE: Kernel =
        kernel!("mse_loss" = ["pairs"] "mse_loss", "elementwise", Params, [(1, Read), (2, Read), (3, ReadWrite)]);
    static PARTIAL_SUMS: Kernel =
        kernel!("mse_loss" = ["pairs"] "mse_loss", "partial_sums", Params, [(1, Read), (2, Read), (4, ReadWrite)]);
    static PARTIAL_SUMS_OF_BLOCKS: Kernel = kernel!("mse_loss" = ["pairs"] "mse_loss", "partial_sums_of_blocks", Params, [(1, Read), (2, Read), (4, ReadWrite)]);
    static FINISH: Kernel =
        kernel!("mse_loss" = ["pairs"] "mse_loss", "finish", Params, [(3, ReadWrite), (4, ReadWrite)]);
    pub(crate) const KERNELS: &[&Kernel] = &[&ELEMENTWISE, &PARTIAL_SUMS, &PARTIAL_SUMS_OF_BLOCKS, &FINISH];

    /// The buffers of a recorded [`MseLoss`].
    #[derive(Debug, Clone, Copy)]
    pub struct MseLossBuffers<'a> {
        /// f32, of the input's shape.
        pub input: wgpu::BufferSlice<'a>,
        /// f32, of the target's shape.
        pub target: wgpu::BufferSlice<'a>,
        /// f32, of the output's shape.
        pub output: wgpu::BufferSlice<'a>,
        /// [`MseLoss::workspace_size`] bytes, if that is not 0.
        pub workspace: Option<wgpu::BufferSlice<'a>>,
    }

    impl Sealed for MseLoss {}

    impl Operator for MseLoss {
        fn name(&self) -> &'static str {
            NAME
        }

        fn split(&self) -> Split {
            if !self.is_elementwise() {
                return Split::none();
            }
            let count = self.common.iter().product::<usize>();
            Split { items: count, shares: vec![("input", 1), ("target", 1), ("output", 1)] }
        }

        fn dispatches(&self, _: &Gpu, part: &Part) -> Vec<Dispatch> {
            let count = part.items;
            let is_elementwise = self.is_elementwise();
            let count = if is_elementwise { count } else { self.common.iter().product::<usize>() };
            // Missing dimensions are outer ones of one element.
            let mut walk = [WalkDimension { length: 1, input_stride: 0, target_stride: 0 }; 4];
            let missing = walk.len() - self.walk.len();
            if is_elementwise {
                walk[3] = WalkDimension { length: count, input_stride: 1, target_stride: 1 };
            } else {
                walk[missing..].copy_from_slice(&self.walk);
            }
            let params = Params {
                count: count as u32,
                partial_count: self.partial_count() as u32,
                is_mean: u32::from(self.reduction == Reduction::Mean),
                length_0: walk[0].length as u32,
                length_1: walk[1].length as u32,
                length_2: walk[2].length as u32,
                length_3: walk[3].length as u32,
                input_stride_0: walk[0].input_stride as u32,
                input_stride_1: walk[1].input_stride as u32,
                input_stride_2: walk[2].input_stride as u32,
                input_stride_3: walk[3].input_stride as u32,
                target_stride_0: walk[0].target_stride as u32,
                target_stride_1: walk[1].target_stride as u32,
                target_stride_2: walk[2].target_stride as u32,
                target_stride_3: walk[3].target_stride as u32,
                hidden_zero: 0,
                base: part.base("input"),
            }
            .to_bytes();
            if self.reduction == Reduction::None {
                if count == 0 {
                    return Vec::new();
                }
                let arguments = vec!["input", "target", "output"];
                return vec![Dispatch::per_element(&ELEMENTWISE, params, arguments, count)];
            }
            let mut dispatches = Vec::new();
            if count > 0 {
                let is_in_blocks = self.input == self.target && count.is_multiple_of(BLOCK as usize);
                dispatches.push(Dispatch::reduction(
                    if is_in_blocks { &PARTIAL_SUMS_OF_BLOCKS } else { &PARTIAL_SUMS },
                    params.clone(),
                    vec!["input", "target", "workspace"],
                    self.partial_count(),
                ));
            }
            dispatches.push(Dispatch::reduction(&FINISH, params, vec!["output", "workspace"], 1));
            dispatches
        }
    }

    impl MseLoss {
        /// Whether each element of the output is of one of each operand, in the same order.
        fn is_elementwise(&self) -> bool {
            self.reduction == Reduction::None && self.input == self.target
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
        /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is missing, too small,
        /// misaligned, without `STORAGE`, or both read and written;
        /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the device's limits.
        pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &MseLossBuffers<'_>) -> Result<()> {
            let mut arguments = vec![
                Argument::read("input", buffers.input, self.input.iter().product::<usize>()),
                Argument::read("target", buffers.target, self.target.iter().product::<usize>()),
                Argument::write("output", buffers.output, self.output_shape().iter().product::<usize>()),
            ];
            arguments.extend(Argument::workspace(NAME, buffers.workspace, self.workspace_elements())?);
            recorder.run(self, &arguments)
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
    /// As [`MseLoss::new`] and [`MseLoss::record`].
    pub fn mse_loss(input: &Tensor, target: &Tensor, params: &MseLossParams) -> Result<Tensor> {
        let gpu = input.gpu();
        let operator = MseLoss::new(input.shape(), target.shape(), params)?;
        expect_same_gpu(NAME, gpu, &[("target", Some(target.gpu()))])?;
        gpu.check_size(NAME, "workspace", operator.workspace_elements())?;
        let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
        let workspace = gpu.workspace(NAME, operator.workspace_elements())?;
        gpu.eager(&operator, &[input.storage(), target.storage()], &[output.storage()], |recorder| {
            operator.record(
                recorder,
                &MseLossBuffers {
                    input: input.own_slice(),
                    target: target.own_slice(),
                    output: output.own_slice(),
                    workspace: workspace.as_ref().map(|workspace| workspace.buffer().slice(..)),
                },
            )
        })?;
        replay(gpu, NAME, || {
            let [x, y] = [read(input)?, read(target)?];
            let expected = reference::mse_loss(&x, &y, params)?;
            let peak = (largest(&x) + largest(&y)).powi(2) * operator.common.iter().product::<usize>() as f64;
            let sizes = expected.clone().into_flat();
            let shapes = vec![("input", input.shape().to_vec()), ("target", target.shape().to_vec())];
            Replay { operator: NAME, shapes }.floats("output", &output, &expected, |index| {
                unless_overflown(peak, rounding(16, sizes[index].into()))
            })?;
            Ok(())
        })?;
        Ok(output)
    }
}
