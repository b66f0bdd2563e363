//! batch_norm on the GPU: its plan, its dispatches, and the eager call.

use std::fmt;
use std::slice::from_ref;

use ndarray::ArrayD;
use smallvec::SmallVec;

use super::walk::Walk;
use super::{BatchNorm, BatchNormInputs, BatchNormOutputs, BatchNormParams};
use crate::activation::Activation;
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, UniformBytes, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{largest, rounding, unless_overflown};
use crate::operator::{ArraysOf, Bound, Computed, OnCpu, Operator, Slot, Slots, Tolerance};
use crate::ops::reduction::reduction_parts;

/// The number of f32s in the workspace for each channel, and for each chunk of a channel.
const CHANNEL_WORDS: usize = 7;
const CHUNK_WORDS: usize = 6;

uniform! {
    struct Params {
        epilogue: [u32; 4],
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
        kernel!("batch_norm", $entry_point, Params, $storage)
    };
}

/// A kernel that normalizes, and the same with an activation.
macro_rules! normalizing {
    ($file:literal, $entry_point:literal, [$($storage:tt),*]) => {
        [
            kernel!($file, $entry_point, Params, [$($storage),*]),
            kernel!($file with "activation" as concat!($file, "_activation"), $entry_point, Params, [$($storage),*, (12, Read)]),
        ]
    };
}

/// Kernels of shaders/batch_norm_inference.wgsl.
macro_rules! of_running {
    ($entry_point:literal) => {
        normalizing!(
            "batch_norm_inference",
            $entry_point,
            [(1, Read), (3, ReadWrite), (6, Read), (7, Read), (8, Read), (9, Read)]
        )
    };
}

static CHUNK_STATISTICS: Kernel = of_workspace!("chunk_statistics", [(1, Read), (2, ReadWrite)]);
static CHUNK_STATISTICS_OF_BLOCKS: Kernel = of_workspace!("chunk_statistics_of_blocks", [(1, Read), (2, ReadWrite)]);
static CHANNEL_TERMS: Kernel = of_workspace!("channel_terms", [(2, ReadWrite)]);
static UPDATE_RUNNING: Kernel = of_workspace!("update_running", [(2, ReadWrite), (4, ReadWrite), (5, ReadWrite)]);
static SAVE_STATISTICS: Kernel = of_workspace!("save_statistics", [(2, ReadWrite), (10, ReadWrite), (11, ReadWrite)]);
static RUNNING_TERMS: Kernel = of_workspace!("running_terms", [(2, ReadWrite), (8, Read), (9, Read)]);
static AFFINE: Kernel = of_workspace!("affine", [(2, ReadWrite), (6, Read), (7, Read)]);

/// The kernels for elements, planes and blocks, each without and with an activation.
type Normalize = [[Kernel; 2]; 3];
static BY_WORKSPACE: Normalize = [
    normalizing!("batch_norm", "normalize_elements", [(1, Read), (2, ReadWrite), (3, ReadWrite)]),
    normalizing!("batch_norm", "normalize_planes", [(1, Read), (2, ReadWrite), (3, ReadWrite)]),
    normalizing!("batch_norm", "normalize_blocks", [(1, Read), (2, ReadWrite), (3, ReadWrite)]),
];
static BY_RUNNING: Normalize =
    [of_running!("normalize_elements"), of_running!("normalize_planes"), of_running!("normalize_blocks")];

/// The source of the values that a channel is normalized by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The batch's statistics, through the workspace.
    Batch,
    /// The running statistics, in one dispatch.
    Running,
    /// The running statistics through the workspace, for devices that bind fewer buffers.
    RunningByWorkspace,
}

/// How a batch is normalized on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNormPlan {
    source: Source,
    walk: Walk,
    /// Whether statistics are taken of blocks of 4 elements.
    in_blocks: bool,
    is_activated: bool,
}

impl fmt::Display for BatchNormPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.source, self.in_blocks) {
            (Source::Batch, false) => "the batch's statistics, through the workspace",
            (Source::Batch, true) => "the batch's statistics of blocks, through the workspace",
            (Source::Running, _) => "the running statistics, in one dispatch",
            (Source::RunningByWorkspace, _) => "the running statistics, through the workspace",
        })?;
        f.write_str(match self.walk {
            Walk::Elements => "; elements",
            Walk::Planes => "; elements of planes",
            Walk::Blocks => "; blocks of planes",
        })?;
        f.write_str(if self.is_activated { ", fused with what follows" } else { "" })
    }
}

impl Operator for BatchNorm {
    type Plan = BatchNormPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[
        from_ref(&CHUNK_STATISTICS),
        from_ref(&CHUNK_STATISTICS_OF_BLOCKS),
        from_ref(&CHANNEL_TERMS),
        from_ref(&SAVE_STATISTICS),
        from_ref(&UPDATE_RUNNING),
        from_ref(&RUNNING_TERMS),
        from_ref(&AFFINE),
        &BY_WORKSPACE[0],
        &BY_WORKSPACE[1],
        &BY_WORKSPACE[2],
        &BY_RUNNING[0],
        &BY_RUNNING[1],
        &BY_RUNNING[2],
    ];

    fn plan(&self, on: &Capabilities) -> BatchNormPlan {
        let source = if self.params.training {
            Source::Batch
        } else if on.limits.max_storage_buffers_per_shader_stage >= 6 + u32::from(self.epilogue.activation.is_some()) {
            // Every WebGPU device has 8.
            Source::Running
        } else {
            Source::RunningByWorkspace
        };
        // Parts of a batch begin at whole blocks then.
        let in_blocks = self.inner.is_multiple_of(BLOCK as usize);
        let walk = Walk::of_planes(self.inner);
        BatchNormPlan { source, walk, in_blocks, is_activated: self.epilogue.activation.is_some() }
    }

    fn declare(&self, plan: &BatchNormPlan) -> Slots<Self> {
        let image = self.channels * self.inner;
        let of_channels = |is_there: bool| is_there.then(|| Slot::read(&[self.channels]));
        let running = || {
            let updated = Slot::update(&[self.channels]);
            self.has_running.then(|| if self.params.training { updated } else { Slot::read(&[self.channels]) })
        };
        let saved = || self.with_saved.then(|| Slot::write(&[self.channels]));
        let inputs = BatchNormInputs {
            input: Slot::read(&self.shape).cut(image),
            running_mean: running(),
            running_var: running(),
            weight: of_channels(self.has_weight),
            bias: of_channels(self.has_bias),
            activation_weight: self.epilogue.activation_weight(),
        };
        let output = Slot::write(&self.shape).cut(image);
        let slots = Slots::new(inputs, BatchNormOutputs { output, saved_mean: saved(), saved_invstd: saved() });
        let is_empty = self.shape.contains(&0);
        let terms = if is_empty { 0 } else { self.channels * CHANNEL_WORDS };
        let chunks = if is_empty { 0 } else { self.channels * self.chunks() * CHUNK_WORDS };
        match plan.source {
            // The statistics are those of the whole batch, which cannot be cut.
            Source::Batch => slots.whole().with_workspace(terms + chunks),
            Source::Running => slots.cut(self.batch),
            Source::RunningByWorkspace => slots.cut(self.batch).with_workspace(terms),
        }
    }

    fn dispatches(&self, plan: &BatchNormPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let Bound { inputs, outputs, workspace } = bound;
        let workspace = *workspace;
        let batch = if plan.source == Source::Batch { self.batch } else { part.items };
        let total = batch * self.channels * self.inner;
        if total == 0 {
            return;
        }
        let params = self.params(batch, bound).to_bytes();
        let reduction = |kernel, arguments: &[Binding], workgroups| {
            Dispatch::reduction(kernel, params.clone(), arguments, workgroups)
        };
        let per_channel =
            |kernel, arguments: &[Binding]| Dispatch::per_element(kernel, params.clone(), arguments, self.channels);
        // One optional argument stands in for another that is absent; the shader does not read it.
        let affine = (inputs.weight.or(inputs.bias)).zip(inputs.bias.or(inputs.weight));
        let running = inputs.running_mean.zip(inputs.running_var);
        match (plan.source, running) {
            (Source::Batch, _) => {
                let statistics = if plan.in_blocks { &CHUNK_STATISTICS_OF_BLOCKS } else { &CHUNK_STATISTICS };
                add(reduction(statistics, &[inputs.input, workspace], self.channels * self.chunks()));
                add(reduction(&CHANNEL_TERMS, &[workspace], self.channels));
                if let Some((mean, invstd)) = outputs.saved_mean.zip(outputs.saved_invstd) {
                    add(per_channel(&SAVE_STATISTICS, &[workspace, mean, invstd]));
                }
                if let Some((mean, var)) = running {
                    add(per_channel(&UPDATE_RUNNING, &[workspace, mean, var]));
                }
            }
            (Source::RunningByWorkspace, Some((mean, var))) => {
                add(per_channel(&RUNNING_TERMS, &[workspace, mean, var]));
            }
            (Source::Running, Some((mean, var))) => {
                let (weight, bias) = affine.unwrap_or((mean, mean));
                let arguments = [inputs.input, outputs.output, weight, bias, mean, var];
                add(self.normalize(&BY_RUNNING, params, &self.finished(inputs, &arguments), batch, plan.walk));
                return;
            }
            // Inference has running statistics.
            (_, None) => return,
        }
        if let Some((weight, bias)) = affine {
            add(per_channel(&AFFINE, &[workspace, weight, bias]));
        }
        let arguments = [inputs.input, workspace, outputs.output];
        add(self.normalize(&BY_WORKSPACE, params, &self.finished(inputs, &arguments), batch, plan.walk));
    }

    fn rounding<'a>(
        &'a self,
        _: &BatchNormPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        // The rounding of a channel's largest output, and of what cancels in it, in pairs of floats.
        let largest_of = |array: &Option<ArrayD<f32>>| array.as_ref().map_or(1.0, largest);
        let [scale, shift] = [largest_of(&inputs.weight), inputs.bias.as_ref().map_or(0.0, largest)];
        let cancelled = largest(&inputs.input) * scale / self.params.eps.max(1e-12).sqrt() / f64::from(1 << 16);
        let steepness = self.epilogue.steepness(inputs.activation_weight.as_ref());
        // An activation may have made it smaller, or more than 0 of it.
        let plain = match self.epilogue.activation {
            None => None,
            Some(_) => {
                let plain = BatchNorm { epilogue: self.epilogue.without_activation(), ..self.clone() };
                Some(plain.compute(inputs)?.outputs.output)
            }
        };
        let activated = largest(&computed.outputs.output) + plain.as_ref().map_or(0.0, largest);
        let output = steepness * (activated + shift + cancelled);
        let plain = plain.map(ArrayD::into_flat);
        let before = [("running_mean", &inputs.running_mean), ("running_var", &inputs.running_var)];
        let updated = computed.updated_floats().map(|(name, after)| {
            let name = name.field;
            let before = before.iter().find(|(other, _)| *other == name).map_or(0.0, |(_, array)| largest_of(array));
            (name, largest(after) + before)
        });
        let outputs = &computed.outputs;
        let saved = [("saved_mean", &outputs.saved_mean), ("saved_invstd", &outputs.saved_invstd)];
        let saved = saved.into_iter().map(|(name, array)| (name, largest_of(array)));
        let sizes: Vec<_> = updated.chain(saved).chain([("output", output)]).collect();
        let peak = largest(&inputs.input).powi(2) * (self.batch * self.inner) as f64;
        Ok(Box::new(move |name, index| {
            let size = sizes.iter().find(|(other, _)| *other == name).map_or(0.0, |(_, size)| *size);
            // What overflows before the activation may be anything after it.
            let is_overflown = name == "output" && plain.as_ref().is_some_and(|plain| plain[index].is_infinite());
            let peak = if is_overflown { f64::INFINITY } else { peak };
            unless_overflown(peak, rounding(16 + self.epilogue.roundings(), size))
        }))
    }
}

impl BatchNorm {
    fn chunks(&self) -> usize {
        reduction_parts(self.batch * self.inner)
    }

    fn params(&self, batch: usize, bound: &Bound<Self>) -> Params {
        let momentum = self.params.momentum;
        let kept = 1.0 - momentum;
        let rest = |number: f64| (number - f64::from(number as f32)) as f32;
        let slope = self.epilogue.activation.map_or(0.0, Activation::slope);
        Params {
            epilogue: [slope.to_bits(), self.epilogue.slopes().unwrap_or(0) as u32, 0, 0],
            channels: self.channels as u32,
            inner: self.inner as u32,
            channel_count: (batch * self.inner) as u32,
            chunks: self.chunks() as u32,
            total: (batch * self.channels * self.inner) as u32,
            eps: self.params.eps as f32,
            momentum: momentum as f32,
            momentum_rest: rest(momentum),
            kept: kept as f32,
            kept_rest: rest(kept),
            has_weight: u32::from(self.has_weight),
            has_bias: u32::from(self.has_bias),
            hidden_zero: 0,
            input_base: bound.inputs.input.base,
            output_base: bound.outputs.output.base,
        }
    }

    /// The arguments of a kernel that normalizes, with those of the activation.
    fn finished(&self, inputs: &BatchNormInputs<Binding>, arguments: &[Binding]) -> SmallVec<[Binding; 8]> {
        let mut all = SmallVec::from_slice(arguments);
        if self.epilogue.activation.is_some() {
            all.push(inputs.activation_weight.unwrap_or(inputs.input));
        }
        all
    }

    fn normalize(
        &self,
        kernels: &'static Normalize,
        params: UniformBytes,
        arguments: &[Binding],
        batch: usize,
        walk: Walk,
    ) -> Dispatch {
        let of = usize::from(self.epilogue.activation.is_some());
        let kernels = kernels.each_ref().map(|kernels| &kernels[of]);
        let dispatch = walk.dispatch(kernels, params, arguments, [batch * self.channels, self.inner]);
        match self.epilogue.activation {
            Some(activation) => dispatch.with_constant("ACTIVATION", activation.constant()),
            None => dispatch,
        }
    }
}

/// Shifts and scales every channel of an input (N,C) or (N,C,..) to mean 0 and variance 1, then by weight and bias, as
/// [`torch.nn.functional.batch_norm`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.batch_norm.html).
///
/// In training the running tensors are updated in place, as in PyTorch.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{BatchNormInputs, BatchNormParams, Gpu, Tensor, batch_norm};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![[1.0, 5.0], [3.0, 9.0]])?;
/// let params = BatchNormParams { training: true, ..Default::default() };
/// let output = batch_norm(&BatchNormInputs::new(&input), &params)?;
/// assert_eq!(output.shape(), [2, 2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`BatchNorm::new`] and [`Operator::call`].
pub fn batch_norm(inputs: &BatchNormInputs<&Tensor>, params: &BatchNormParams) -> Result<Tensor> {
    let shapes = BatchNormInputs {
        input: inputs.input.shape(),
        running_mean: inputs.running_mean.map(Tensor::shape),
        running_var: inputs.running_var.map(Tensor::shape),
        weight: inputs.weight.map(Tensor::shape),
        bias: inputs.bias.map(Tensor::shape),
        activation_weight: None,
    };
    Ok(BatchNorm::new(&shapes, params)?.call(inputs)?.output)
}
