//! The gradients of batch_norm on the GPU: their plan, their dispatches, and the eager call.

use std::fmt;
use std::slice::from_ref;

use ndarray::ArrayD;

use super::super::walk::Walk;
use super::{BatchNorm, BatchNormBackwardInputs, BatchNormGradients, BatchNormParams};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{rounding, unless_overflown};
use crate::operator::{ArraysOf, Backward, Bound, Computed, Operator, Slots, Tolerance};
use crate::ops::reduction::reduction_parts;

/// The number of f32s in the workspace for each channel, and for each chunk of a channel.
const CHANNEL_WORDS: usize = 7;
const CHUNK_WORDS: usize = 4;

uniform! {
    struct Params {
        channels: u32,
        inner: u32,
        channel_count: u32,
        chunks: u32,
        total: u32,
        eps: f32,
        is_training: u32,
        has_weight: u32,
        has_products: u32,
        adds: u32,
        hidden_zero: u32,
        base: u32,
    }
}

macro_rules! backward {
    ($entry_point:literal, $storage:tt) => {
        kernel!("batch_norm_backward", $entry_point, Params, $storage)
    };
}
static CHUNK_SUMS: Kernel = backward!("chunk_sums", [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
static CHUNK_SUMS_OF_BLOCKS: Kernel =
    backward!("chunk_sums_of_blocks", [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
static CHANNEL_TERMS: Kernel = backward!("channel_terms", [(3, Read), (4, ReadWrite), (5, Read), (6, Read)]);
static WEIGHT_GRADIENT: Kernel = backward!("weight_gradient", [(4, ReadWrite), (7, ReadWrite)]);
static BIAS_GRADIENT: Kernel = backward!("bias_gradient", [(4, ReadWrite), (8, ReadWrite)]);
static INPUT_ELEMENTS: Kernel = backward!("input_elements", [(1, Read), (2, Read), (4, ReadWrite), (9, ReadWrite)]);
static INPUT_PLANES: Kernel = backward!("input_planes", [(1, Read), (2, Read), (4, ReadWrite), (9, ReadWrite)]);
static INPUT_BLOCKS_OF_PLANES: Kernel =
    backward!("input_blocks_of_planes", [(1, Read), (2, Read), (4, ReadWrite), (9, ReadWrite)]);

/// How the gradients of batch_norm are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNormBackwardPlan {
    /// Whether sums over channels are needed.
    has_sums: bool,
    /// Whether they are taken of blocks of 4 elements.
    in_blocks: bool,
    /// How the input's gradient is computed, if it is wanted.
    walk: Option<Walk>,
}

impl fmt::Display for BatchNormBackwardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.has_sums, self.in_blocks) {
            (false, _) => "no sums",
            (true, false) => "sums of channels in chunks",
            (true, true) => "sums of channels in chunks of blocks",
        })?;
        f.write_str(match self.walk {
            None => "",
            Some(Walk::Elements) => "; elements",
            Some(Walk::Planes) => "; elements of planes",
            Some(Walk::Blocks) => "; blocks of planes",
        })
    }
}

impl Operator for Backward<BatchNorm> {
    type Plan = BatchNormBackwardPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[
        from_ref(&CHUNK_SUMS),
        from_ref(&CHUNK_SUMS_OF_BLOCKS),
        from_ref(&CHANNEL_TERMS),
        from_ref(&WEIGHT_GRADIENT),
        from_ref(&BIAS_GRADIENT),
        from_ref(&INPUT_ELEMENTS),
        from_ref(&INPUT_PLANES),
        from_ref(&INPUT_BLOCKS_OF_PLANES),
    ];

    fn plan(&self, _: &Capabilities) -> BatchNormBackwardPlan {
        let BatchNorm { params, inner, .. } = &self.forward;
        BatchNormBackwardPlan {
            has_sums: params.training || self.wants("grad_weight") || self.wants("grad_bias"),
            in_blocks: inner.is_multiple_of(BLOCK as usize),
            walk: self.wants("grad_input").then(|| Walk::of_planes(*inner)),
        }
    }

    fn declare(&self, plan: &BatchNormBackwardPlan) -> Slots<Self> {
        let BatchNorm { batch, channels, inner, .. } = self.forward;
        let image = |name| matches!(name, "grad_output" | "grad_input").then_some(channels * inner);
        let slots = self.slots(image).with_workspace(channels * (CHANNEL_WORDS + self.chunks(plan) * CHUNK_WORDS));
        // Sums are those of the whole batch.
        if plan.has_sums { slots.whole() } else { slots.cut(batch) }
    }

    fn dispatches(
        &self,
        plan: &BatchNormBackwardPlan,
        part: &Part,
        bound: &Bound<Self>,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let (BatchNorm { channels, inner, params, .. }, workspace) = (&self.forward, bound.workspace);
        let (inputs, outputs) = (&bound.inputs, &bound.outputs);
        let batch = if plan.has_sums { self.forward.batch } else { part.items };
        let (chunks, total) = (self.chunks(plan), batch * channels * inner);
        let is_wanted = plan.has_sums || total > 0;
        if *channels == 0 || !is_wanted {
            return;
        }
        // What is absent is not read.
        let grad_output = inputs.grad_output;
        let or_any = |binding: Option<Binding>| binding.unwrap_or(grad_output);
        let (input, mean) = (or_any(inputs.input), or_any(inputs.saved_mean.or(inputs.running_mean)));
        let uniform = |adds: bool| {
            Params {
                channels: *channels as u32,
                inner: *inner as u32,
                channel_count: (batch * inner) as u32,
                chunks: chunks as u32,
                total: total as u32,
                eps: params.eps as f32,
                is_training: u32::from(params.training),
                has_weight: u32::from(inputs.weight.is_some()),
                has_products: u32::from(inputs.input.is_some()),
                adds: u32::from(adds),
                hidden_zero: 0,
                base: grad_output.base,
            }
            .to_bytes()
        };
        if chunks > 0 {
            let kernel = if plan.in_blocks { &CHUNK_SUMS_OF_BLOCKS } else { &CHUNK_SUMS };
            let arguments = [grad_output, input, mean, workspace];
            add(Dispatch::reduction(kernel, uniform(false), &arguments, channels * chunks));
        }
        let spread = or_any(inputs.saved_invstd.or(inputs.running_var));
        let arguments = [mean, workspace, spread, or_any(inputs.weight)];
        add(Dispatch::reduction(&CHANNEL_TERMS, uniform(false), &arguments, *channels));
        let of_channels = [
            (&WEIGHT_GRADIENT, "grad_weight", outputs.grad_weight.or(inputs.grad_weight)),
            (&BIAS_GRADIENT, "grad_bias", outputs.grad_bias.or(inputs.grad_bias)),
        ];
        for (kernel, name, gradient) in of_channels {
            if let Some(gradient) = gradient {
                let params = uniform(self.adds(name));
                add(Dispatch::per_element(kernel, params, &[workspace, gradient], *channels));
            }
        }
        if let (Some(walk), Some(grad_input), true) = (plan.walk, outputs.grad_input.or(inputs.grad_input), total > 0) {
            let params = uniform(self.adds("grad_input"));
            let arguments = [grad_output, input, workspace, grad_input];
            let kernels = [&INPUT_ELEMENTS, &INPUT_PLANES, &INPUT_BLOCKS_OF_PLANES];
            add(walk.dispatch(kernels, params, &arguments, [batch * channels, *inner]));
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &BatchNormBackwardPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let names = ["grad_input", "grad_weight", "grad_bias"];
        let sizes = self.sizes(inputs);
        let results = &computed.outputs;
        let written = names.into_iter().zip([&results.grad_input, &results.grad_weight, &results.grad_bias]);
        let before = names.into_iter().zip([&inputs.grad_input, &inputs.grad_weight, &inputs.grad_bias]);
        let updated = computed.updated_floats().map(|(name, array)| (name.field, array));
        let known = written.chain(before).filter_map(|(name, array)| Some((name, array.as_ref()?))).chain(updated);
        let known: Vec<_> = known.map(|(name, array)| (name, array.clone().into_flat())).collect();
        Ok(Box::new(move |name, index| {
            let of = names.iter().position(|known| *known == name).unwrap_or(0);
            let known =
                known.iter().filter(|(known, _)| *known == name).map(|(_, array)| f64::from(array[index].abs()));
            rounding([16, 8, 4][of], sizes[of][index] + known.sum::<f64>())
        }))
    }
}

impl Backward<BatchNorm> {
    fn chunks(&self, plan: &BatchNormBackwardPlan) -> usize {
        if plan.has_sums { reduction_parts(self.forward.batch * self.forward.inner) } else { 0 }
    }

    /// What the magnitudes of the terms of each gradient add up to, as far as they are rounded; infinite where float32 may
    /// overflow on the way.
    fn sizes(&self, inputs: &ArraysOf<Self>) -> [Vec<f64>; 3] {
        let BatchNorm { channels, inner, params, batch, .. } = &self.forward;
        let elements_of = |array: &ArrayD<f32>| array.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
        let of = |array: &Option<ArrayD<f32>>| array.as_ref().map(elements_of);
        let grads = elements_of(&inputs.grad_output);
        let input = of(&inputs.input).unwrap_or_else(|| vec![0.0; grads.len()]);
        let at =
            |array: &Option<Vec<f64>>, channel: usize, default: f64| array.as_ref().map_or(default, |x| x[channel]);
        let [means, invstds, variances, weights] = [
            of(&inputs.saved_mean).or(of(&inputs.running_mean)),
            of(&inputs.saved_invstd),
            of(&inputs.running_var),
            of(&inputs.weight),
        ];
        let (mut of_input, count) = (vec![0.0; grads.len()], (batch * inner) as f64);
        let [mut of_weight, mut of_bias] = [vec![0.0; *channels], vec![0.0; *channels]];
        for channel in 0..*channels {
            let invstd = match &variances {
                Some(variances) => 1.0 / (variances[channel] + params.eps).sqrt(),
                None => at(&invstds, channel, 1.0),
            };
            let mean = at(&means, channel, 0.0);
            let elements = || (0..*batch).flat_map(|n| (0..*inner).map(move |s| (n * channels + channel) * inner + s));
            let sum = |of: &dyn Fn(usize) -> f64| elements().map(of).sum::<f64>();
            let sum_of_grads = sum(&|at| grads[at].abs());
            let products = sum(&|at| (grads[at] * (input[at] - mean)).abs());
            // Infinity, or 1.
            let overflow = unless_overflown(sum_of_grads.max(products), 1.0);
            of_bias[channel] = overflow * sum_of_grads / f64::from(1 << 12);
            of_weight[channel] = overflow * products * invstd;
            let factor = overflow * invstd * at(&weights, channel, 1.0).abs();
            let is_training = f64::from(u8::from(params.training));
            for at in elements() {
                let centered = sum_of_grads + (input[at] - mean).abs() * invstd * invstd * products;
                of_input[at] = factor * (grads[at].abs() + is_training * centered / count);
            }
        }
        [of_input, of_weight, of_bias]
    }
}

/// The gradients of [`batch_norm`](crate::batch_norm) with respect to its input, its bias and, if `inputs` has a weight, its
/// weight, as PyTorch's autograd of
/// [`torch.nn.functional.batch_norm`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.batch_norm.html). With
/// x' = (input - mean) * invstd, and sums and means over all elements of a channel:
///
/// - `grad_bias` = sum(grad_output)
/// - `grad_weight` = sum(grad_output * x')
/// - `grad_input` = (grad_output - mean(grad_output) - x' * mean(grad_output * x')) * invstd * weight in training, where mean
///   and invstd are those that [`BatchNorm::with_saved_statistics`] gives
/// - `grad_input` = grad_output * invstd * weight in inference, where invstd = 1 / sqrt(running_var + eps)
///
/// Some of the gradients alone: see [`Differentiable`](crate::operator::Differentiable).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{BatchNorm, BatchNormBackwardInputs, BatchNormInputs, BatchNormParams};
/// use wgdnn::{Gpu, Operator, Tensor, batch_norm_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &ndarray::array![[1.0, 5.0], [3.0, 9.0], [4.0, 4.0]])?;
/// let params = BatchNormParams { training: true, ..Default::default() };
/// let norm = BatchNorm::new(&BatchNormInputs::new(input.shape()), &params)?.with_saved_statistics()?;
/// let normalized = norm.call(&BatchNormInputs::new(&input))?;
/// let grad_output = Tensor::from_array(&gpu, &ndarray::array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])?;
/// let gradients = batch_norm_backward(
///     &BatchNormBackwardInputs {
///         input: Some(&input),
///         saved_mean: normalized.saved_mean.as_ref(),
///         saved_invstd: normalized.saved_invstd.as_ref(),
///         ..BatchNormBackwardInputs::new(&grad_output)
///     },
///     &params,
/// )?;
/// assert_eq!(gradients.grad_input.unwrap().shape(), [3, 2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`BatchNorm::new`] and [`Operator::call`].
pub fn batch_norm_backward(
    inputs: &BatchNormBackwardInputs<&Tensor>,
    params: &BatchNormParams,
) -> Result<BatchNormGradients<Tensor>> {
    BatchNorm::all_gradients(inputs.grad_output.shape(), inputs.weight.is_some(), params)?.call(inputs)
}
