//! batch_norm on the GPU: what is dispatched, recorded, and called eagerly.

use ndarray::ArrayD;

use super::{BatchNorm, BatchNormArguments, BatchNormParams, NAME};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, WORKGROUP_SIZE, kernel, uniform};
use crate::gpu::operator::{Operator, Part, Sealed, Split};
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::tensor::{Tensor, expect_same_gpu};
use crate::reference;
use crate::shape::ELEMENT_BYTES;
use crate::validation::{Replay, largest, read, replay, rounding, unless_overflown};

uniform! {
    struct Params {
        channels: u32,
        inner: u32,
        channel_count: u32,
        chunks: u32,
        total: u32,
        eps: f32,
        momentum: f32,
        momentum_rest: f32,
        kept: f32,
        kept_rest: f32,
        has_weight: u32,
        has_bias: u32,
        hidden_zero: u32,
        input_base: u32,
        output_base: u32,
    }
}

/// A kernel of shaders/batch_norm.wgsl.
macro_rules! of_workspace {
    ($entry_point:literal, $storage:tt) => {
        kernel!("batch_norm" = ["pairs", "normalize"] "batch_norm", $entry_point, Params, $storage)
    };
}

/// A kernel of shaders/batch_norm_inference.wgsl.
macro_rules! of_running {
    ($entry_point:literal) => {
        kernel!(
            "batch_norm_inference" = ["pairs", "normalize"] "batch_norm_inference",
            $entry_point,
            Params,
            [(1, Read), (3, ReadWrite), (6, Read), (7, Read), (8, Read), (9, Read)]
        )
    };
}

static CHUNK_STATISTICS: Kernel = of_workspace!("chunk_statistics", [(1, Read), (2, ReadWrite)]);
static CHUNK_STATISTICS_OF_BLOCKS: Kernel = of_workspace!("chunk_statistics_of_blocks", [(1, Read), (2, ReadWrite)]);
static CHANNEL_TERMS: Kernel = of_workspace!("channel_terms", [(2, ReadWrite)]);
static UPDATE_RUNNING: Kernel = of_workspace!("update_running", [(2, ReadWrite), (4, ReadWrite), (5, ReadWrite)]);
static RUNNING_TERMS: Kernel = of_workspace!("running_terms", [(2, ReadWrite), (8, Read), (9, Read)]);
static AFFINE: Kernel = of_workspace!("affine", [(2, ReadWrite), (6, Read), (7, Read)]);

/// Of elements, planes and blocks.
type Normalize = [Kernel; 3];
static BY_WORKSPACE: Normalize = [
    of_workspace!("normalize_elements", [(1, Read), (2, ReadWrite), (3, ReadWrite)]),
    of_workspace!("normalize_planes", [(1, Read), (2, ReadWrite), (3, ReadWrite)]),
    of_workspace!("normalize_blocks", [(1, Read), (2, ReadWrite), (3, ReadWrite)]),
];
static BY_RUNNING: Normalize =
    [of_running!("normalize_elements"), of_running!("normalize_planes"), of_running!("normalize_blocks")];

pub(crate) const KERNELS: &[&Kernel] = &[
    &CHUNK_STATISTICS,
    &CHUNK_STATISTICS_OF_BLOCKS,
    &CHANNEL_TERMS,
    &UPDATE_RUNNING,
    &RUNNING_TERMS,
    &AFFINE,
    &BY_WORKSPACE[0],
    &BY_WORKSPACE[1],
    &BY_WORKSPACE[2],
    &BY_RUNNING[0],
    &BY_RUNNING[1],
    &BY_RUNNING[2],
];

/// Planes of fewer elements leave most of a workgroup idle.
const SMALL_PLANE: usize = 32;

/// How many elements of a larger one, or blocks of them, an invocation normalizes.
const PLANE_ITEMS: usize = 8;

/// The buffers of a recorded [`BatchNorm`].
#[derive(Debug, Clone, Copy)]
pub struct BatchNormBuffers<'a> {
    /// f32, of the input's shape.
    pub input: wgpu::BufferSlice<'a>,
    /// f32, each (C), those that the operator was made with. In training the running ones are updated in place.
    pub arguments: BatchNormArguments<wgpu::BufferSlice<'a>>,
    /// f32, of the input's shape.
    pub output: wgpu::BufferSlice<'a>,
    /// [`BatchNorm::workspace_size_on`] bytes, if that is not 0.
    pub workspace: Option<wgpu::BufferSlice<'a>>,
}

impl Sealed for BatchNorm {}

impl Operator for BatchNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn split(&self) -> Split {
        if self.params.training {
            // The statistics are those of the whole batch.
            return Split::none();
        }
        let image = self.channels * self.inner;
        Split { items: self.batch, shares: vec![("input", image), ("output", image)] }
    }

    fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let batch = part.items;
        let batch = if self.params.training { self.batch } else { batch };
        let total = batch * self.channels * self.inner;
        if total == 0 {
            return Vec::new();
        }
        let momentum = self.params.momentum;
        let kept = 1.0 - momentum;
        let rest = |number: f64| (number - f64::from(number as f32)) as f32;
        let params = Params {
            channels: self.channels as u32,
            inner: self.inner as u32,
            channel_count: (batch * self.inner) as u32,
            chunks: self.chunks() as u32,
            total: total as u32,
            eps: self.params.eps as f32,
            momentum: momentum as f32,
            momentum_rest: rest(momentum),
            kept: kept as f32,
            kept_rest: rest(kept),
            has_weight: u32::from(self.has_weight),
            has_bias: u32::from(self.has_bias),
            hidden_zero: 0,
            input_base: part.base("input"),
            output_base: part.base("output"),
        }
        .to_bytes();
        let reduction =
            |kernel, arguments, workgroups| Dispatch::reduction(kernel, params.clone(), arguments, workgroups);
        let per_channel = |kernel, arguments| Dispatch::per_element(kernel, params.clone(), arguments, self.channels);

        let is_in_blocks = self.inner.is_multiple_of(BLOCK as usize)
            && ["input", "output"].iter().all(|argument| part.base(argument).is_multiple_of(BLOCK));
        // One stands in for another that is not there; the shader does not look at it.
        let [weight, bias] = match (self.has_weight, self.has_bias) {
            (true, true) => ["weight", "bias"],
            (true, false) => ["weight", "weight"],
            (false, true) => ["bias", "bias"],
            (false, false) => ["running_mean", "running_mean"],
        };
        let mut dispatches = Vec::new();
        let mut normalize = &BY_WORKSPACE;
        let mut arguments = vec!["input", "workspace", "output"];
        if self.params.training {
            let chunks = self.channels * self.chunks();
            let statistics = if is_in_blocks { &CHUNK_STATISTICS_OF_BLOCKS } else { &CHUNK_STATISTICS };
            dispatches.extend([
                reduction(statistics, vec!["input", "workspace"], chunks),
                reduction(&CHANNEL_TERMS, vec!["workspace"], self.channels),
            ]);
            if self.has_running {
                let arguments = vec!["workspace", "running_mean", "running_var"];
                dispatches.push(per_channel(&UPDATE_RUNNING, arguments));
            }
        } else if binds_all(gpu) {
            normalize = &BY_RUNNING;
            arguments = vec!["input", "output", weight, bias, "running_mean", "running_var"];
        } else {
            let arguments = vec!["workspace", "running_mean", "running_var"];
            dispatches.push(per_channel(&RUNNING_TERMS, arguments));
        }
        if (self.has_weight || self.has_bias) && std::ptr::eq(normalize, &BY_WORKSPACE) {
            dispatches.push(per_channel(&AFFINE, vec!["workspace", weight, bias]));
        }
        let [elements, planes, blocks] = normalize;
        let in_planes = |kernel, plane_items: usize, arguments| {
            let parts = plane_items.div_ceil(WORKGROUP_SIZE as usize * PLANE_ITEMS);
            Dispatch::per_workgroup(kernel, params.clone(), arguments, batch * self.channels * parts)
                .with_constant("WORKGROUP_SIZE", WORKGROUP_SIZE)
                .with_constant("PLANE_ITEMS", PLANE_ITEMS as u32)
        };
        dispatches.push(if self.inner < SMALL_PLANE {
            Dispatch::per_element(elements, params.clone(), arguments, total)
        } else if is_in_blocks {
            in_planes(blocks, self.inner / BLOCK as usize, arguments)
        } else {
            in_planes(planes, self.inner, arguments)
        });
        dispatches
    }
}

/// Whether input, output and the four of a channel can be bound at once, as WebGPU has it everywhere.
fn binds_all(gpu: &Gpu) -> bool {
    gpu.limits().max_storage_buffers_per_shader_stage >= 6
}

impl BatchNorm {
    /// Bytes of workspace that recording needs on this device: those of [`BatchNorm::workspace_size`] but in inference
    /// on one, below WebGPU's least, that binds fewer than 6 storage buffers to a shader.
    pub fn workspace_size_on(&self, gpu: &Gpu) -> u64 {
        self.workspace_elements_on(gpu) as u64 * ELEMENT_BYTES
    }

    fn workspace_elements_on(&self, gpu: &Gpu) -> usize {
        if self.params.training || binds_all(gpu) { self.workspace_elements() } else { self.terms_elements() }
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
    pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &BatchNormBuffers<'_>) -> Result<()> {
        let total = self.shape.iter().product::<usize>();
        let given = &buffers.arguments;
        let channels = |is_used: bool| is_used.then_some(self.channels);
        let mut arguments =
            vec![Argument::read("input", buffers.input, total), Argument::write("output", buffers.output, total)];
        for (name, slice) in [("running_mean", given.running_mean), ("running_var", given.running_var)] {
            let argument = Argument::optional(NAME, name, slice, channels(self.has_running))?;
            arguments.extend(if self.params.training { argument.map(Argument::written) } else { argument });
        }
        for (name, slice, is_used) in [("weight", given.weight, self.has_weight), ("bias", given.bias, self.has_bias)] {
            arguments.extend(Argument::optional(NAME, name, slice, channels(is_used))?);
        }
        arguments.extend(Argument::workspace(NAME, buffers.workspace, self.workspace_elements_on(recorder.gpu()))?);
        recorder.run(self, &arguments)
    }
}

/// Every channel of an input (N,C) or (N,C,..) shifted and scaled to mean 0 and variance 1, then by weight and
/// bias, as
/// [`torch.nn.functional.batch_norm`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.batch_norm.html).
///
/// In training the running tensors are updated in place, as in PyTorch.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{BatchNormArguments, BatchNormParams, Gpu, Tensor, batch_norm};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![[1.0, 5.0], [3.0, 9.0]])?;
/// let params = BatchNormParams { training: true, ..Default::default() };
/// let output = batch_norm(&input, &BatchNormArguments::default(), &params)?;
/// assert_eq!(output.shape(), [2, 2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`BatchNorm::new`] and [`BatchNorm::record`].
pub fn batch_norm(input: &Tensor, arguments: &BatchNormArguments<&Tensor>, params: &BatchNormParams) -> Result<Tensor> {
    let gpu = input.gpu();
    let operator = BatchNorm::new(input.shape(), &arguments.map(|tensor| tensor.shape()), params)?;
    let gpus = arguments.map(|tensor| tensor.gpu());
    expect_same_gpu(
        NAME,
        gpu,
        &[
            ("running_mean", gpus.running_mean),
            ("running_var", gpus.running_var),
            ("weight", gpus.weight),
            ("bias", gpus.bias),
        ],
    )?;
    let workspace_elements = operator.workspace_elements_on(gpu);
    gpu.check_size(NAME, "workspace", workspace_elements)?;
    let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
    let workspace = gpu.workspace(NAME, workspace_elements)?;
    let given = arguments.map(|tensor| tensor.storage());
    let mut reads = vec![input.storage()];
    reads.extend([given.running_mean, given.running_var, given.weight, given.bias].into_iter().flatten());
    let mut writes = vec![output.storage()];
    if params.training {
        writes.extend([given.running_mean, given.running_var].into_iter().flatten());
    }
    // The running ones are about to change.
    let mut before = None;
    replay(gpu, NAME, || {
        before = Some(arguments.try_map(|tensor| read(tensor))?);
        Ok(())
    })?;
    gpu.eager(&operator, &reads, &writes, |recorder| {
        operator.record(
            recorder,
            &BatchNormBuffers {
                input: input.own_slice(),
                arguments: arguments.map(|tensor| tensor.own_slice()),
                output: output.own_slice(),
                workspace: workspace.as_ref().map(|workspace| workspace.buffer().slice(..)),
            },
        )
    })?;
    replay(gpu, NAME, || {
        let Some(before) = before else { return Ok(()) };
        let input_before = read(input)?;
        let expected = reference::batch_norm(&input_before, &before.map(|array| array as _), params)?;
        let held = Replay { operator: NAME, shapes: vec![("input", input.shape().to_vec())] };
        // Of a channel's largest output and of what cancels in it, in pairs of floats.
        let largest_of = |array: &Option<ArrayD<f32>>| array.as_ref().map_or(1.0, largest);
        let [scale, shift] = [largest_of(&before.weight), before.bias.as_ref().map_or(0.0, largest)];
        let cancelled = largest(&input_before) * scale / params.eps.max(1e-12).sqrt() / f64::from(1 << 16);
        let size = largest(&expected.output) + shift + cancelled;
        let peak = largest(&input_before).powi(2) * (operator.batch * operator.inner) as f64;
        held.floats("output", &output, &expected.output, |_| unless_overflown(peak, rounding(16, size)))?;
        for (name, tensor, expected, before) in [
            ("running_mean", arguments.running_mean, &expected.running_mean, &before.running_mean),
            ("running_var", arguments.running_var, &expected.running_var, &before.running_var),
        ] {
            if let (Some(tensor), Some(expected)) = (tensor, expected) {
                let size = largest(expected) + largest_of(before);
                held.floats(name, tensor, expected, |_| unless_overflown(peak, rounding(16, size)))?;
            }
        }
        Ok(())
    })?;
    Ok(output)
}
