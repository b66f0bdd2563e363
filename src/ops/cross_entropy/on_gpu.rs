//! cross_entropy on the GPU: what is dispatched, recorded, and called eagerly.

use super::{CrossEntropy, CrossEntropyParams, CrossEntropyTarget, NAME};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, kernel, uniform};
use crate::gpu::operator::{Operator, Part, Sealed, Split};
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::tensor::{Tensor, expect_same_gpu};
use crate::ops::Reduction;
use crate::reference;
use crate::shape;
use crate::validation::{Replay, largest, read, replay, rounding, unless_overflown};

uniform! {
    struct Params {
        rows: u32,
        classes: u32,
        inner: u32,
        partial_count: u32,
        ignore_index: i32,
        has_ignore_index: u32,
        has_weight: u32,
        is_mean: u32,
        writes_weights: u32,
        label_smoothing: f32,
        hidden_zero: u32,
        input_base: u32,
        target_base: u32,
        output_base: u32,
    }
}

static CLASS_LOSSES: Kernel = kernel!(
    "cross_entropy" = ["pairs", "classes"] "cross_entropy",
    "class_losses",
    Params,
    [(1, Read), (2, Read), (4, Read), (5, ReadWrite)]
);
static CLASS_LOSSES_IN_BLOCKS: Kernel = kernel!(
    "cross_entropy_in_blocks" = ["pairs", "classes_in_blocks"] "cross_entropy",
    "class_losses",
    Params,
    [(1, Read), (2, Read), (4, Read), (5, ReadWrite)]
);
static PROBABILITY_LOSSES: Kernel = kernel!(
    "cross_entropy" = ["pairs", "classes"] "cross_entropy",
    "probability_losses",
    Params,
    [(1, Read), (3, Read), (4, Read), (5, ReadWrite)]
);
static PROBABILITY_LOSSES_IN_BLOCKS: Kernel = kernel!(
    "cross_entropy_in_blocks" = ["pairs", "classes_in_blocks"] "cross_entropy",
    "probability_losses",
    Params,
    [(1, Read), (3, Read), (4, Read), (5, ReadWrite)]
);
static PARTIAL_SUMS: Kernel = kernel!(
    "cross_entropy" = ["pairs", "classes"] "cross_entropy",
    "partial_sums",
    Params,
    [(5, ReadWrite)]
);
static FINISH: Kernel = kernel!(
    "cross_entropy" = ["pairs", "classes"] "cross_entropy",
    "finish",
    Params,
    [(5, ReadWrite), (6, ReadWrite)]
);
pub(crate) const KERNELS: &[&Kernel] = &[
    &CLASS_LOSSES,
    &CLASS_LOSSES_IN_BLOCKS,
    &PROBABILITY_LOSSES,
    &PROBABILITY_LOSSES_IN_BLOCKS,
    &PARTIAL_SUMS,
    &FINISH,
];

/// The buffers of a recorded [`CrossEntropy`].
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropyBuffers<'a> {
    /// f32, of the input's shape.
    pub input: wgpu::BufferSlice<'a>,
    /// i32 classes or f32 probabilities, of the target's shape.
    pub target: wgpu::BufferSlice<'a>,
    /// f32, (C); if the operator was made with one.
    pub weight: Option<wgpu::BufferSlice<'a>>,
    /// f32, of the output's shape.
    pub output: wgpu::BufferSlice<'a>,
    /// [`CrossEntropy::workspace_size`] bytes, if that is not 0.
    pub workspace: Option<wgpu::BufferSlice<'a>>,
}

impl Sealed for CrossEntropy {}

impl Operator for CrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn split(&self) -> Split {
        if self.params.reduction != Reduction::None {
            return Split::none();
        }
        let scores = self.classes * self.inner;
        let target = match self.target {
            CrossEntropyTarget::Classes(()) => self.inner,
            CrossEntropyTarget::Probabilities(()) => scores,
        };
        Split {
            items: self.rows / self.inner.max(1),
            shares: vec![("input", scores), ("target", target), ("output", self.inner)],
        }
    }

    fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let batch = part.items;
        let reduction = self.params.reduction;
        let ignore_index = i32::try_from(self.params.ignore_index);
        let rows = if reduction == Reduction::None { batch * self.inner } else { self.rows };
        let partial_count = shape::reduction_parts(rows);
        let params = Params {
            rows: rows as u32,
            classes: self.classes as u32,
            inner: self.inner as u32,
            partial_count: partial_count as u32,
            ignore_index: ignore_index.unwrap_or(0),
            // One that is no i32 is no target's class either.
            has_ignore_index: u32::from(ignore_index.is_ok()),
            has_weight: u32::from(self.has_weight),
            is_mean: u32::from(reduction == Reduction::Mean),
            writes_weights: u32::from(reduction != Reduction::None),
            label_smoothing: self.params.label_smoothing as f32,
            hidden_zero: 0,
            input_base: part.base("input"),
            target_base: part.base("target"),
            output_base: part.base("output"),
        }
        .to_bytes();

        let mut dispatches = Vec::new();
        if rows > 0 {
            let is_in_blocks = self.inner == 1
                && self.classes.is_multiple_of(BLOCK as usize)
                && part.base("input").is_multiple_of(BLOCK);
            let kernel = match (&self.target, is_in_blocks) {
                (CrossEntropyTarget::Classes(()), false) => &CLASS_LOSSES,
                (CrossEntropyTarget::Classes(()), true) => &CLASS_LOSSES_IN_BLOCKS,
                (CrossEntropyTarget::Probabilities(()), false) => &PROBABILITY_LOSSES,
                (CrossEntropyTarget::Probabilities(()), true) => &PROBABILITY_LOSSES_IN_BLOCKS,
            };
            let [lanes, workgroup_size] = self.lanes(gpu);
            let weight = if self.has_weight { "weight" } else { "input" };
            let losses = if reduction == Reduction::None { "output" } else { "workspace" };
            dispatches.push(
                Dispatch::per_workgroup(
                    kernel,
                    params.clone(),
                    vec!["input", "target", weight, losses],
                    rows.div_ceil((workgroup_size / lanes) as usize),
                )
                .with_constant("LANES", lanes)
                .with_constant("WORKGROUP_SIZE", workgroup_size),
            );
        }
        if reduction != Reduction::None {
            if rows > 0 {
                dispatches.push(Dispatch::reduction(&PARTIAL_SUMS, params.clone(), vec!["workspace"], partial_count));
            }
            let arguments = vec!["workspace", "output"];
            dispatches.push(Dispatch::reduction(&FINISH, params, arguments, 1));
        }
        dispatches
    }
}

impl CrossEntropy {
    /// How many invocations share a row, and the workgroup's size.
    fn lanes(&self, gpu: &Gpu) -> [u32; 2] {
        match self.classes {
            0..=32 => [1, 64],
            // A vector of a software adapter's, for which barriers are dear.
            33..=65536 if gpu.is_software() => [8, 64],
            33..=4096 => [32, 64],
            _ => [256, 256],
        }
    }

    /// Compiles what recording needs, now rather than then.
    ///
    /// # Errors
    /// As [`Gpu::warm_up`].
    pub fn warm_up(&self, gpu: &Gpu) -> Result<()> {
        gpu.warm_up(&[self])
    }

    /// Records the operator on the caller's buffers. Class indices in them are not checked: see
    /// [`CrossEntropy::check_classes`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is missing, too small,
    /// misaligned, without `STORAGE`, or both read and written;
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the device's limits.
    pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &CrossEntropyBuffers<'_>) -> Result<()> {
        let input_count = self.rows * self.classes;
        let target_count = match self.target {
            CrossEntropyTarget::Classes(()) => self.rows,
            CrossEntropyTarget::Probabilities(()) => input_count,
        };
        let mut arguments = vec![
            Argument::read("input", buffers.input, input_count),
            Argument::read("target", buffers.target, target_count),
            Argument::write("output", buffers.output, self.output_shape().iter().product::<usize>()),
        ];
        let weight_count = self.has_weight.then_some(self.classes);
        arguments.extend(Argument::optional(NAME, "weight", buffers.weight, weight_count)?);
        arguments.extend(Argument::workspace(NAME, buffers.workspace, self.workspace_elements())?);
        recorder.run(self, &arguments)
    }
}

/// The cross entropy between the softmax of an input (C), (N,C) or (N,C,d1,..) and targets, as
/// [`torch.nn.functional.cross_entropy`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.cross_entropy.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{CrossEntropyParams, CrossEntropyTarget, Gpu, Tensor, cross_entropy};
///
/// let gpu = Gpu::new_blocking()?;
/// let logits = Tensor::from_array(&gpu, &ndarray::array![[2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])?;
/// let classes = Tensor::from_array(&gpu, &ndarray::array![0, 1])?;
/// let target = CrossEntropyTarget::Classes(&classes);
/// let loss = cross_entropy(&logits, target, None, &CrossEntropyParams::default())?;
/// assert!(loss.read_blocking()?.first() < Some(&1.0));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`CrossEntropy::new`] and [`CrossEntropy::record`], and as [`CrossEntropy::check_classes`] for class indices
/// that were uploaded.
pub fn cross_entropy(
    input: &Tensor,
    target: CrossEntropyTarget<&Tensor<i32>, &Tensor>,
    weight: Option<&Tensor>,
    params: &CrossEntropyParams,
) -> Result<Tensor> {
    let gpu = input.gpu();
    let (shapes, target_gpu, target_slice, target_storage, classes) = match target {
        CrossEntropyTarget::Classes(classes) => (
            CrossEntropyTarget::Classes(classes.shape()),
            classes.gpu(),
            classes.own_slice(),
            classes.storage(),
            classes.distinct(),
        ),
        CrossEntropyTarget::Probabilities(probabilities) => (
            CrossEntropyTarget::Probabilities(probabilities.shape()),
            probabilities.gpu(),
            probabilities.own_slice(),
            probabilities.storage(),
            None,
        ),
    };
    let operator = CrossEntropy::new(input.shape(), shapes, weight.map(Tensor::shape), params)?;
    operator.check_classes(classes.as_deref().unwrap_or_default().iter().map(|&class| class.into()))?;
    let weight_gpu = weight.map(Tensor::gpu);
    expect_same_gpu(NAME, gpu, &[("target", Some(target_gpu)), ("weight", weight_gpu)])?;
    gpu.check_size(NAME, "workspace", operator.workspace_elements())?;
    let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
    let workspace = gpu.workspace(NAME, operator.workspace_elements())?;
    let mut reads = vec![input.storage(), target_storage];
    reads.extend(weight.map(Tensor::storage));
    gpu.eager(&operator, &reads, &[output.storage()], |recorder| {
        operator.record(
            recorder,
            &CrossEntropyBuffers {
                input: input.own_slice(),
                target: target_slice,
                weight: weight.map(Tensor::own_slice),
                output: output.own_slice(),
                workspace: workspace.as_ref().map(|workspace| workspace.buffer().slice(..)),
            },
        )
    })?;
    replay(gpu, NAME, || {
        let logits = read(input)?;
        let weights = weight.map(read).transpose()?;
        let given = weights.as_ref().map(|weights| weights as _);
        let (expected, share) = match target {
            CrossEntropyTarget::Classes(classes) => {
                let classes = read(classes)?.mapv(i64::from);
                (reference::cross_entropy(&logits, CrossEntropyTarget::Classes(&classes), given, params)?, 1.0)
            }
            CrossEntropyTarget::Probabilities(probabilities) => {
                let array = read(probabilities)?;
                let share = operator.classes as f64 * largest(&array);
                let target = CrossEntropyTarget::Probabilities(&array as _);
                (reference::cross_entropy(&logits, target, given, params)?, share.max(1.0))
            }
        };
        let added = if params.reduction == Reduction::Sum { operator.rows as f64 } else { 1.0 };
        let one = 2.0 * largest(&logits) + (operator.classes as f64).ln() + 1.0;
        let size = one * share * added * weights.as_ref().map_or(1.0, |weights| largest(weights).max(1.0));
        let shapes = vec![("input", input.shape().to_vec())];
        Replay { operator: NAME, shapes }.floats("output", &output, &expected, |_| {
            unless_overflown(size * operator.rows as f64, rounding(16, size))
        })?;
        Ok(())
    })?;
    Ok(output)
}
