//! How conv_transpose2d is computed on the GPU: the kernels, which of them runs, and what they are given.

use super::{ConvTranspose2d, ConvTranspose2dAlgorithm, inverse};
use crate::gpu::Gpu;
use crate::gpu::gemm::{Gemm, GemmParams};
use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, LoopPart, kernel, split_loops, uniform, weights_kernels};
use crate::gpu::operator::Part;
use crate::ops::conv2d::{patches, split_channels_innermost};
use crate::window::Window;

uniform! {
    struct PhaseParams {
        output_count: u32,
        groups: i32,
        in_channels: i32,
        out_channels: i32,
        in_rows: i32,
        in_cols: i32,
        out_rows: i32,
        out_cols: i32,
        kernel_rows: i32,
        kernel_cols: i32,
        stride_rows: i32,
        stride_cols: i32,
        padding_rows: i32,
        padding_cols: i32,
        dilation_rows: i32,
        dilation_cols: i32,
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
        is_first: u32,
        has_bias: u32,
        input_base: u32,
        output_base: u32,
    }
}

static GATHER: Kernel = kernel!(
    "conv_transpose2d" = ["phase_params"] "conv_transpose2d",
    "conv_transpose2d",
    PhaseParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static FILL: Kernel = kernel!(
    "conv_transpose2d" = ["phase_params"] "conv_transpose2d",
    "fill",
    PhaseParams,
    [(3, Read), (4, ReadWrite)]
);
static PHASES: [Kernel; 2] = weights_kernels!(
    "conv_transpose2d_phases" = ["phase_params", "patches", "pixels", "phases"],
    "conv_transpose2d_phases_subgroup",
    "convolve_phases",
    PhaseParams
);
static POINTS: [Kernel; 2] = weights_kernels!(
    "conv_transpose2d_points" = ["phase_params", "patches"],
    "conv_transpose2d_points_subgroup",
    "convolve_points",
    PhaseParams
);
static MULTIPLY: Kernel = kernel!(
    "conv_transpose2d_gemm" = ["gemm", "phases"] "conv_transpose2d_gemm",
    "multiply",
    GemmParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static ADD_SPLITS: Kernel = kernel!(
    "conv_transpose2d_gemm" = ["gemm", "phases"] "conv_transpose2d_gemm",
    "add_splits",
    GemmParams,
    [(4, ReadWrite), (5, ReadWrite)]
);
uniform! {
    struct ScatterParams {
        count: u32,
        groups: i32,
        in_channels: i32,
        out_channels: i32,
        in_rows: i32,
        in_cols: i32,
        out_rows: i32,
        out_cols: i32,
        kernel_rows: i32,
        kernel_cols: i32,
        stride_rows: i32,
        stride_cols: i32,
        padding_rows: i32,
        padding_cols: i32,
        dilation_rows: i32,
        dilation_cols: i32,
        channel_begin: i32,
        channel_end: i32,
        kernel_row_begin: i32,
        kernel_row_end: i32,
        kernel_col_begin: i32,
        kernel_col_end: i32,
        is_first: u32,
        has_bias: u32,
        input_base: u32,
        output_base: u32,
    }
}

static START: Kernel = kernel!("conv_transpose2d_scatter_add", "start", ScatterParams, [(3, Read), (4, ReadWrite)]);
static SCATTER_ADD: Kernel =
    kernel!("conv_transpose2d_scatter_add", "scatter_add", ScatterParams, [(1, Read), (2, Read), (4, ReadWrite)]);
static START_FLOAT32_ATOMIC: Kernel =
    kernel!("conv_transpose2d_scatter_add_float32_atomic", "start", ScatterParams, [(3, Read), (4, ReadWrite)]);
static SCATTER_ADD_FLOAT32_ATOMIC: Kernel = kernel!(
    "conv_transpose2d_scatter_add_float32_atomic",
    "scatter_add",
    ScatterParams,
    [(1, Read), (2, Read), (4, ReadWrite)]
);
pub(crate) const KERNELS: &[&Kernel] = &[
    &GATHER,
    &FILL,
    &PHASES[0],
    &PHASES[1],
    &POINTS[0],
    &POINTS[1],
    &MULTIPLY,
    &ADD_SPLITS,
    &START,
    &SCATTER_ADD,
    &START_FLOAT32_ATOMIC,
    &SCATTER_ADD_FLOAT32_ATOMIC,
];

/// How many iterations an addition by compare-exchange may take: one for each of those that meet in an element.
/// On llvmpipe, which counts them, these are the invocations of a vector (at most 16) on each core.
const EXCHANGE_COST: u32 = 64;

impl ConvTranspose2d {
    fn phase_params(&self, part: &Part, [channels, tap_rows, tap_cols]: &LoopPart, is_first: bool) -> Vec<u8> {
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
            kernel_rows: rows.kernel as i32,
            kernel_cols: cols.kernel as i32,
            stride_rows: rows.stride as i32,
            stride_cols: cols.stride as i32,
            padding_rows: rows.padding_before as i32,
            padding_cols: cols.padding_before as i32,
            dilation_rows: rows.dilation as i32,
            dilation_cols: cols.dilation as i32,
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
            is_first: u32::from(is_first),
            has_bias: u32::from(self.has_bias),
            input_base: part.base("input"),
            output_base: part.base("output"),
        }
        .to_bytes()
    }

    fn output_count(&self, part: &Part) -> usize {
        part.items * self.out_channels * self.out_rows * self.out_cols
    }

    pub(super) fn dispatches_by(&self, algorithm: ConvTranspose2dAlgorithm, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let by_phases = match algorithm {
            ConvTranspose2dAlgorithm::ScatterAdd => return self.scatter_add(gpu, part),
            ConvTranspose2dAlgorithm::Phases => self.by_phases(gpu, part),
            ConvTranspose2dAlgorithm::ImplicitGemm => self.implicit_gemm(gpu, part),
            _ => return self.gather(gpu, part),
        };
        let fill = (!self.are_phases_all()).then(|| {
            let params = self.phase_params(part, &[0..0, 0..0, 0..0], true);
            Dispatch::per_element(&FILL, params, vec![self.bias(), "output"], self.output_count(part))
        });
        fill.into_iter().chain(by_phases).collect()
    }

    /// The algorithm that runs on this device: never [`ConvTranspose2dAlgorithm::Auto`].
    pub fn algorithm_on(&self, gpu: &Gpu) -> ConvTranspose2dAlgorithm {
        match self.algorithm {
            ConvTranspose2dAlgorithm::Auto if gpu.is_software() => ConvTranspose2dAlgorithm::Phases,
            ConvTranspose2dAlgorithm::Auto if self.fills_tiles() => ConvTranspose2dAlgorithm::ImplicitGemm,
            ConvTranspose2dAlgorithm::Auto => ConvTranspose2dAlgorithm::Gather,
            algorithm => algorithm,
        }
    }

    fn by_phases(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let [rows, cols] = &self.windows;
        let [taps_rows, taps_cols] = self.taps();
        let is_pointwise = self.is_pointwise(part);
        // 4 channels at a time sums that are not finite are computed again.
        split_channels_innermost(gpu, [self.input.channels / self.groups, taps_rows, taps_cols], 5)
            .iter()
            .enumerate()
            .map(|(index, range)| {
                let params = self.phase_params(part, range, index == 0);
                let planes = part.items * self.groups;
                if is_pointwise {
                    let channels = self.group_out_channels() * rows.kernel * cols.kernel;
                    let sizes = [planes, self.input.rows * self.input.cols, channels];
                    return patches(gpu, &POINTS, params, self.arguments(), sizes);
                }
                let sizes = [planes * self.phases(), self.phase_pixels(), self.group_out_channels()];
                patches(gpu, &PHASES, params, self.arguments(), sizes)
            })
            .collect()
    }

    /// The bias, or the weight, which stands in for it: kernels do not look at it.
    fn bias(&self) -> &'static str {
        if self.has_bias { "bias" } else { "weight" }
    }

    /// What the kernels bind.
    fn arguments(&self) -> Vec<&'static str> {
        vec!["input", "weight", self.bias(), "output"]
    }

    fn implicit_gemm(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let [divisor_rows, divisor_cols] = self.divisors();
        let gemm = Gemm {
            kernels: [&MULTIPLY, &ADD_SPLITS],
            tiles: self.gemm_tiles(),
            problems: self.groups * self.phases(),
            k: self.k(),
            arguments: self.arguments(),
            output_count: self.output_count(part),
        };
        gemm.dispatches(
            gpu,
            GemmParams {
                largest_pixels: (part.items * self.phase_pixels()) as i32,
                divisor_rows: divisor_rows as i32,
                divisor_cols: divisor_cols as i32,
                ..GemmParams::new(
                    part,
                    &self.input,
                    [self.out_channels, self.out_rows, self.out_cols],
                    &self.windows,
                    self.groups,
                    self.has_bias,
                )
            },
        )
    }

    /// Whether every input pixel becomes a block of the output of its own, and planes of the input are in blocks of 4.
    fn is_pointwise(&self, part: &Part) -> bool {
        let [rows, cols] = &self.windows;
        let is_whole = |window: &Window, input: usize, output: usize| {
            window.kernel == window.stride
                && window.dilation == 1
                && window.padding_before == 0
                && output == input * window.stride
        };
        is_whole(rows, self.input.rows, self.out_rows)
            && is_whole(cols, self.input.cols, self.out_cols)
            && (self.input.rows * self.input.cols).is_multiple_of(BLOCK as usize)
            && part.base("input").is_multiple_of(BLOCK)
    }

    fn gather(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        // No more than are inside the input.
        let (taps, divisors) = (self.taps(), self.divisors());
        let [tap_rows, tap_cols] = [(0, self.input.rows), (1, self.input.cols)].map(|(axis, length)| {
            let step = self.windows[axis].dilation / divisors[axis];
            taps[axis].min(length.div_ceil(step))
        });
        split_loops(gpu, [self.input.channels / self.groups, tap_rows, tap_cols], 1)
            .iter()
            .enumerate()
            .map(|(index, range)| {
                let params = self.phase_params(part, range, index == 0);
                Dispatch::per_element(&GATHER, params, self.arguments(), self.output_count(part))
            })
            .collect()
    }

    fn scatter_params(&self, part: &Part, count: usize, range: &LoopPart, is_first: bool) -> Vec<u8> {
        let [rows, cols] = &self.windows;
        let [channels, kernel_rows, kernel_cols] = range;
        ScatterParams {
            count: count as u32,
            groups: self.groups as i32,
            in_channels: (self.input.channels / self.groups) as i32,
            out_channels: self.group_out_channels() as i32,
            in_rows: self.input.rows as i32,
            in_cols: self.input.cols as i32,
            out_rows: self.out_rows as i32,
            out_cols: self.out_cols as i32,
            kernel_rows: rows.kernel as i32,
            kernel_cols: cols.kernel as i32,
            stride_rows: rows.stride as i32,
            stride_cols: cols.stride as i32,
            padding_rows: rows.padding_before as i32,
            padding_cols: cols.padding_before as i32,
            dilation_rows: rows.dilation as i32,
            dilation_cols: cols.dilation as i32,
            channel_begin: channels.start as i32,
            channel_end: channels.end as i32,
            kernel_row_begin: kernel_rows.start as i32,
            kernel_row_end: kernel_rows.end as i32,
            kernel_col_begin: kernel_cols.start as i32,
            kernel_col_end: kernel_cols.end as i32,
            is_first: u32::from(is_first),
            has_bias: u32::from(self.has_bias),
            input_base: part.base("input"),
            output_base: part.base("output"),
        }
        .to_bytes()
    }

    fn scatter_add(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let (start, scatter_add, cost) = if gpu.has(wgpu::Features::SHADER_FLOAT32_ATOMIC) {
            (&START_FLOAT32_ATOMIC, &SCATTER_ADD_FLOAT32_ATOMIC, 1)
        } else {
            (&START, &SCATTER_ADD, EXCHANGE_COST)
        };
        let [rows, cols] = &self.windows;
        let ranges = split_loops(gpu, [self.group_out_channels(), rows.kernel, cols.kernel], cost);
        let input_count = part.items * self.input.channels * self.input.rows * self.input.cols;
        let start = Dispatch::per_element(
            start,
            self.scatter_params(part, self.output_count(part), &ranges[0], true),
            vec![self.bias(), "output"],
            self.output_count(part),
        );
        let scatters = ranges.iter().map(|range| {
            Dispatch::per_element(
                scatter_add,
                self.scatter_params(part, input_count, range, false),
                vec!["input", "weight", "output"],
                input_count,
            )
        });
        std::iter::once(start).chain(scatters).collect()
    }
}
