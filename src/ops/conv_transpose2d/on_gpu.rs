//! conv_transpose2d on the GPU: its arguments, its dispatches, and the eager call.

use std::slice::from_ref;

use super::plan::inverse;
use super::{
    ConvTranspose2d, ConvTranspose2dInputs, ConvTranspose2dOutputs, ConvTranspose2dParams, ConvTranspose2dPlan,
};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, LoopPart, UniformBytes, UniformWindow, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::magnitudes;
use crate::operator::{ArraysOf, Bound, Computed, OnCpu, Operator, Slot, Slots, Tolerance};
use crate::ops::Finished;
use crate::ops::convolution::gemm::{Gemm, GemmParams};
use crate::ops::convolution::gemm_tiles::GemmTiles;
use crate::ops::convolution::patches::{LANES, patches};
use crate::ops::convolution::weights::weights_kernels;
use crate::ops::convolution::{ConvolutionParams, Geometry};
use crate::ops::epilogue::{FINISH_KERNELS, Finisher, finished_kernels};

uniform! {
    struct PhaseParams {
        rows: UniformWindow,
        cols: UniformWindow,
        epilogue: [u32; 4],
        output_count: u32,
        groups: i32,
        in_channels: i32,
        out_channels: i32,
        in_rows: i32,
        in_cols: i32,
        out_rows: i32,
        out_cols: i32,
        divisor_rows: i32,
        divisor_cols: i32,
        inverse_rows: i32,
        inverse_cols: i32,
        channel_begin: i32,
        channel_end: i32,
        tap_row_begin: i32,
        tap_row_end: i32,
        tap_col_begin: i32,
        tap_col_end: i32,
        continues: u32,
        has_bias: u32,
        input_base: u32,
        output_base: u32,
    }
}

static GATHER: [Kernel; 2] = finished_kernels!(
    "conv_transpose2d",
    "conv_transpose2d",
    PhaseParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static FILL: Kernel = kernel!("conv_transpose2d", "fill", PhaseParams, [(3, Read), (4, ReadWrite)]);
static PHASES: [[Kernel; 2]; 2] = weights_kernels!("conv_transpose2d_phases", "convolve_phases", PhaseParams);
static POINTS: [[Kernel; 2]; 2] = weights_kernels!("conv_transpose2d_points", "convolve_points", PhaseParams);
static CHANNELS: [Kernel; 2] = [
    kernel!(
        "conv_transpose2d_channels_subgroup",
        "convolve_channels",
        PhaseParams,
        [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
    ),
    kernel!(
        "conv_transpose2d_channels_subgroup" with "epilogue" as "conv_transpose2d_channels_epilogue_subgroup",
        "convolve_channels",
        PhaseParams,
        [(1, Read), (2, Read), (3, Read), (4, ReadWrite), (6, Read), (7, Read)]
    ),
];
static MULTIPLY: [Kernel; 2] = finished_kernels!(
    "conv_transpose2d_gemm",
    "multiply",
    GemmParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static ADD_SPLITS: [Kernel; 2] =
    finished_kernels!("conv_transpose2d_gemm", "add_splits", GemmParams, [(4, ReadWrite), (5, ReadWrite)]);

static START: Kernel = kernel!("conv_transpose2d_scatter_add", "start", ConvolutionParams, [(3, Read), (4, ReadWrite)]);
static SCATTER_ADD: Kernel =
    kernel!("conv_transpose2d_scatter_add", "scatter_add", ConvolutionParams, [(1, Read), (2, Read), (4, ReadWrite)]);
static START_FLOAT32_ATOMIC: Kernel = kernel!(
    "conv_transpose2d_scatter_add" with "float32_atomic_add" as "conv_transpose2d_scatter_add_float32_atomic",
    "start",
    ConvolutionParams,
    [(3, Read), (4, ReadWrite)]
);
static SCATTER_ADD_FLOAT32_ATOMIC: Kernel = kernel!(
    "conv_transpose2d_scatter_add" with "float32_atomic_add" as "conv_transpose2d_scatter_add_float32_atomic",
    "scatter_add",
    ConvolutionParams,
    [(1, Read), (2, Read), (4, ReadWrite)]
);

impl Operator for ConvTranspose2d {
    type Plan = Finished<ConvTranspose2dPlan>;
    const KERNELS: &'static [&'static [Kernel]] = &[
        &GATHER,
        from_ref(&FILL),
        &PHASES[0],
        &PHASES[1],
        &POINTS[0],
        &POINTS[1],
        &CHANNELS,
        &MULTIPLY,
        &ADD_SPLITS,
        &FINISH_KERNELS,
        from_ref(&START),
        from_ref(&SCATTER_ADD),
        from_ref(&START_FLOAT32_ATOMIC),
        from_ref(&SCATTER_ADD_FLOAT32_ATOMIC),
    ];

    fn plan(&self, on: &Capabilities) -> Finished<ConvTranspose2dPlan> {
        self.plan_on(on)
    }

    fn declare(&self, plan: &Finished<ConvTranspose2dPlan>) -> Slots<Self> {
        let [rows, cols] = &self.windows;
        let input = self.input.channels * self.input.rows * self.input.cols;
        let output = self.out_channels * self.out_rows * self.out_cols;
        let output_slot = Slot::write(&self.output).cut(output);
        let inputs = ConvTranspose2dInputs {
            input: Slot::read(&self.input.shape).cut(input),
            weight: Slot::read(&[self.input.channels, self.group_out_channels(), rows.kernel, cols.kernel]),
            bias: self.has_bias.then(|| Slot::read(&[self.out_channels])),
            residual: self.epilogue.residual(&output_slot),
            activation_weight: self.epilogue.activation_weight(),
        };
        let outputs = ConvTranspose2dOutputs { output: output_slot };
        let slots = Slots::new(inputs, outputs).cut(self.input.batch);
        match &plan.main {
            ConvTranspose2dPlan::Gather { .. }
            | ConvTranspose2dPlan::Phases { .. }
            | ConvTranspose2dPlan::Channels { .. }
            | ConvTranspose2dPlan::ScatterAdd { .. } => slots,
            ConvTranspose2dPlan::ImplicitGemm { tiles: GemmTiles { splits, .. }, .. } => {
                let share = if *splits > 1 { splits * output } else { 0 };
                slots.with_shared_workspace(share * self.input.batch, share)
            }
        }
    }

    fn dispatches(
        &self,
        plan: &Finished<ConvTranspose2dPlan>,
        part: &Part,
        bound: &Bound<Self>,
        add: &mut dyn FnMut(Dispatch),
    ) {
        if part.items == 0 {
            return;
        }
        // Without a bias the weight stands in for it; kernels do not look at it.
        let ConvTranspose2dInputs { input, weight, bias, residual, activation_weight } = bound.inputs;
        let (bias, output) = (bias.unwrap_or(weight), bound.outputs.output);
        let arguments = [input, weight, bias, output];
        let output_count = self.output_count(part);
        let (epilogue, finish) = (self.epilogue, plan.finish);
        let finisher = Finisher { epilogue, finish, output, residual, activation_weight, stand_in: weight };
        finisher.before(output_count, add);
        let all_arguments = finisher.arguments(&arguments);
        let of = &self.geometry(bound, &finisher);
        // Then sums continue from the bias that this leaves everywhere.
        let is_filled = !self.are_phases_all();
        let fill = |add: &mut dyn FnMut(Dispatch)| {
            if is_filled {
                let params = self.phase_params(part, of, &[0..0, 0..0, 0..0], true);
                add(Dispatch::per_element(&FILL, params, &[bias, output], output_count));
            }
        };
        match &plan.main {
            ConvTranspose2dPlan::Gather { parts } => {
                for (index, range) in parts.iter().enumerate() {
                    let params = self.phase_params(part, of, range, index == 0);
                    let dispatch =
                        Dispatch::per_element(finisher.kernel(&GATHER), params, &all_arguments, output_count);
                    add(finisher.activated(dispatch));
                }
            }
            ConvTranspose2dPlan::Phases { parts, by_subgroups, is_pointwise } => {
                fill(add);
                let planes = part.items * self.groups;
                let (kernels, sizes) = if *is_pointwise {
                    let elements = self.windows[0].kernel * self.windows[1].kernel;
                    let pixels = self.input.rows * self.input.cols;
                    (&POINTS, [planes, pixels, self.group_out_channels() * elements])
                } else {
                    (&PHASES, [planes * self.phases(), self.phase_pixels(), self.group_out_channels()])
                };
                for (index, range) in parts.iter().enumerate() {
                    let params = self.phase_params(part, of, range, index == 0 && !is_filled);
                    let kernel = finisher.kernel(&kernels[usize::from(*by_subgroups)]);
                    add(finisher.activated(patches(kernel, params, &all_arguments, sizes)));
                }
            }
            ConvTranspose2dPlan::Channels { parts, pixels } => {
                fill(add);
                let tiles = part.items * self.groups * self.phases() * self.phase_pixels().div_ceil(*pixels);
                let workgroups = tiles * self.group_out_channels().div_ceil(4 * LANES);
                for (index, range) in parts.iter().enumerate() {
                    let params = self.phase_params(part, of, range, index == 0 && !is_filled);
                    let kernel = finisher.kernel(&CHANNELS);
                    let dispatch = Dispatch::per_workgroup(kernel, params, &all_arguments, workgroups)
                        .with_constant("WORKGROUP_SIZE", LANES as u32)
                        .with_constant("PIXELS", *pixels as u32);
                    add(finisher.activated(dispatch));
                }
            }
            ConvTranspose2dPlan::ImplicitGemm { tiles, loop_budget } => {
                fill(add);
                let [divisor_rows, divisor_cols] = self.divisors();
                let gemm = Gemm {
                    kernels: [&MULTIPLY, &ADD_SPLITS],
                    finisher,
                    tiles: *tiles,
                    problems: self.groups * self.phases(),
                    k: self.k(),
                    arguments,
                    workspace: bound.workspace,
                    output_count,
                    loop_budget: *loop_budget,
                };
                let params = GemmParams {
                    largest_pixels: (part.items * self.phase_pixels()) as i32,
                    divisor_rows: divisor_rows as i32,
                    divisor_cols: divisor_cols as i32,
                    ..GemmParams::new(of, part.items)
                };
                let filled = GemmParams { continues: 1, has_bias: 0, ..params };
                gemm.dispatches(if is_filled { filled } else { params }, add);
            }
            ConvTranspose2dPlan::ScatterAdd { parts, is_native } => {
                let [start, scatter_add] = if *is_native {
                    [&START_FLOAT32_ATOMIC, &SCATTER_ADD_FLOAT32_ATOMIC]
                } else {
                    [&START, &SCATTER_ADD]
                };
                let params = ConvolutionParams::new(of, output_count, &parts[0], true).to_bytes();
                add(Dispatch::per_element(start, params, &[bias, output], output_count));
                let input_count = part.items * self.input.channels * self.input.rows * self.input.cols;
                for range in parts {
                    let params = ConvolutionParams::new(of, input_count, range, false).to_bytes();
                    add(Dispatch::per_element(scatter_add, params, &[input, weight, output], input_count));
                }
            }
        }
        finisher.after(output_count, self.out_channels, self.out_rows * self.out_cols, add);
    }

    fn rounding<'a>(
        &'a self,
        _: &Finished<ConvTranspose2dPlan>,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let sizes = ConvTranspose2dInputs {
            bias: inputs.bias.as_ref().map(magnitudes),
            residual: inputs.residual.as_ref().map(magnitudes),
            ..ConvTranspose2dInputs::new(magnitudes(&inputs.input), magnitudes(&inputs.weight))
        };
        let plain = ConvTranspose2d { epilogue: self.epilogue.without_activation(), ..self.clone() };
        let sums = plain.compute(&sizes)?.outputs.output.into_flat();
        let products = self.input.channels / self.groups * self.windows[0].kernel * self.windows[1].kernel;
        let (slopes, results) = (inputs.activation_weight.as_ref(), &computed.outputs.output);
        Ok(self.epilogue.tolerance(products, move |index| sums[index].into(), slopes, results))
    }
}

impl ConvTranspose2d {
    fn output_count(&self, part: &Part) -> usize {
        part.items * self.out_channels * self.out_rows * self.out_cols
    }

    fn phase_params(
        &self,
        part: &Part,
        of: &Geometry<'_>,
        [channels, tap_rows, tap_cols]: &LoopPart,
        is_first: bool,
    ) -> UniformBytes {
        let [rows, cols] = &self.windows;
        let [divisor_rows, divisor_cols] = self.divisors();
        let [step_rows, step_cols] = self.kernel_steps();
        PhaseParams {
            output_count: self.output_count(part) as u32,
            groups: self.groups as i32,
            in_channels: (self.input.channels / self.groups) as i32,
            out_channels: self.group_out_channels() as i32,
            in_rows: self.input.rows as i32,
            in_cols: self.input.cols as i32,
            out_rows: self.out_rows as i32,
            out_cols: self.out_cols as i32,
            rows: rows.into(),
            cols: cols.into(),
            epilogue: of.epilogue,
            divisor_rows: divisor_rows as i32,
            divisor_cols: divisor_cols as i32,
            inverse_rows: inverse(rows.dilation / divisor_rows, step_rows) as i32,
            inverse_cols: inverse(cols.dilation / divisor_cols, step_cols) as i32,
            channel_begin: channels.start as i32,
            channel_end: channels.end as i32,
            tap_row_begin: tap_rows.start as i32,
            tap_row_end: tap_rows.end as i32,
            tap_col_begin: tap_cols.start as i32,
            tap_col_end: tap_cols.end as i32,
            continues: u32::from(of.continues || !is_first),
            has_bias: u32::from(self.has_bias && is_first),
            input_base: of.bases[0],
            output_base: of.bases[1],
        }
        .to_bytes()
    }

    fn geometry(&self, bound: &Bound<Self>, finisher: &Finisher) -> Geometry<'_> {
        let Bound { inputs, outputs, workspace } = bound;
        Geometry {
            input: &self.input,
            windows: &self.windows,
            groups: self.groups,
            output: [self.out_channels, self.out_rows, self.out_cols],
            has_bias: self.has_bias,
            continues: finisher.continues(),
            epilogue: finisher.uniform(),
            bases: [inputs.input.base, outputs.output.base, workspace.base],
        }
    }
}

/// The transposed convolution of an input (N,C,H,W) or (C,H,W) with a weight (C,O/groups,R,S), as
/// [`torch.nn.functional.conv_transpose2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.conv_transpose2d.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::Array4;
/// use wgdnn::{ConvTranspose2dParams, Gpu, Tensor, conv_transpose2d};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &Array4::<f32>::zeros((1, 8, 16, 16)))?;
/// let weight = Tensor::from_array(&gpu, &Array4::<f32>::zeros((8, 4, 2, 2)))?;
/// let params = ConvTranspose2dParams { stride: [2, 2], ..Default::default() };
/// let upsampled = conv_transpose2d(&input, &weight, None, &params)?;
/// assert_eq!(upsampled.shape(), [1, 4, 32, 32]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`ConvTranspose2d::new`] and [`Operator::call`].
pub fn conv_transpose2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &ConvTranspose2dParams,
) -> Result<Tensor> {
    let operator = ConvTranspose2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    Ok(operator.call(&ConvTranspose2dInputs { bias, ..ConvTranspose2dInputs::new(input, weight) })?.output)
}
