//! How conv_transpose2d is computed on the GPU: the kernels, which of them runs, and what they are given.

use super::{ConvTranspose2d, ConvTranspose2dAlgorithm, MAX_SEARCH, search};
use crate::gpu::Gpu;
use crate::gpu::gemm::{Gemm, GemmParams};
use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, LoopPart, kernel, split_loops, uniform, weights_kernels};
use crate::gpu::operator::Part;
use crate::ops::conv2d::{patches, split_channels_innermost};
use crate::window::Window;

uniform! {
    struct Params {
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

static GATHER: Kernel =
    kernel!("conv_transpose2d", "conv_transpose2d", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
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

static PHASES: [Kernel; 2] = weights_kernels!(
    "conv_transpose2d_phases" = ["patches", "pixels", "phases"],
    "conv_transpose2d_phases_subgroup",
    "convolve_phases",
    PhaseParams
);
static POINTS: [Kernel; 2] = weights_kernels!(
    "conv_transpose2d_points" = ["patches"],
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
static START: Kernel = kernel!("conv_transpose2d_scatter_add", "start", Params, [(3, Read), (4, ReadWrite)]);
static SCATTER_ADD: Kernel =
    kernel!("conv_transpose2d_scatter_add", "scatter_add", Params, [(1, Read), (2, Read), (4, ReadWrite)]);
static START_FLOAT32_ATOMIC: Kernel =
    kernel!("conv_transpose2d_scatter_add_float32_atomic", "start", Params, [(3, Read), (4, ReadWrite)]);
static SCATTER_ADD_FLOAT32_ATOMIC: Kernel = kernel!(
    "conv_transpose2d_scatter_add_float32_atomic",
    "scatter_add",
    Params,
    [(1, Read), (2, Read), (4, ReadWrite)]
);
pub(crate) const KERNELS: &[&Kernel] = &[
    &GATHER,
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
    fn params(&self, part: &Part, count: usize, range: &LoopPart, is_first: bool) -> Vec<u8> {
        let [rows, cols] = &self.windows;
        let [channels, kernel_rows, kernel_cols] = range;
        Params {
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

    pub(super) fn dispatches_by(&self, algorithm: ConvTranspose2dAlgorithm, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let output_count = part.items * self.out_channels * self.out_rows * self.out_cols;
        match algorithm {
            ConvTranspose2dAlgorithm::ScatterAdd => self.scatter_add(gpu, part, output_count),
            ConvTranspose2dAlgorithm::Phases => self.phases(gpu, part, output_count),
            ConvTranspose2dAlgorithm::ImplicitGemm => self.implicit_gemm(gpu, part, output_count),
            _ => self.gather(gpu, part, output_count),
        }
    }

    /// The algorithm that runs on this device: never [`ConvTranspose2dAlgorithm::Auto`].
    pub fn algorithm_on(&self, gpu: &Gpu) -> ConvTranspose2dAlgorithm {
        let is_searched = self.windows.iter().all(|window| search(window) <= MAX_SEARCH);
        match self.algorithm {
            ConvTranspose2dAlgorithm::Auto if gpu.is_software() && is_searched => ConvTranspose2dAlgorithm::Phases,
            ConvTranspose2dAlgorithm::Auto if self.fills_tiles() => ConvTranspose2dAlgorithm::ImplicitGemm,
            ConvTranspose2dAlgorithm::Auto => ConvTranspose2dAlgorithm::Gather,
            algorithm => algorithm,
        }
    }

    fn phases(&self, gpu: &Gpu, part: &Part, output_count: usize) -> Vec<Dispatch> {
        let [rows, cols] = &self.windows;
        let [divisor_rows, divisor_cols] = self.divisors();
        let [taps_rows, taps_cols] = self.taps();
        let phases = rows.stride.min(self.out_rows) * cols.stride.min(self.out_cols);
        let lengths = [self.input.channels / self.groups, taps_rows, taps_cols];
        let is_pointwise = self.is_pointwise(part);
        split_channels_innermost(gpu, lengths, 1)
            .iter()
            .enumerate()
            .map(|(index, [range, tap_rows, tap_cols])| {
                let params = PhaseParams {
                    output_count: output_count as u32,
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
                    channel_begin: range.start as i32,
                    channel_end: range.end as i32,
                    tap_row_begin: tap_rows.start as i32,
                    tap_row_end: tap_rows.end as i32,
                    tap_col_begin: tap_cols.start as i32,
                    tap_col_end: tap_cols.end as i32,
                    is_first: u32::from(index == 0),
                    has_bias: u32::from(self.has_bias),
                    input_base: part.base("input"),
                    output_base: part.base("output"),
                };
                let arguments = self.arguments();
                let planes = part.items * self.groups;
                if is_pointwise {
                    let channels = self.group_out_channels() * rows.kernel * cols.kernel;
                    let sizes = [planes, self.input.rows * self.input.cols, channels];
                    return patches(gpu, &POINTS, params.to_bytes(), arguments, sizes);
                }
                let sizes = [planes * phases, self.phase_pixels(), self.group_out_channels()];
                patches(gpu, &PHASES, params.to_bytes(), arguments, sizes)
            })
            .collect()
    }

    /// What the kernels bind. Without a bias the weight stands in for it; they do not look at it.
    fn arguments(&self) -> Vec<&'static str> {
        vec!["input", "weight", if self.has_bias { "bias" } else { "weight" }, "output"]
    }

    fn implicit_gemm(&self, gpu: &Gpu, part: &Part, output_count: usize) -> Vec<Dispatch> {
        let [rows, cols] = &self.windows;
        let [divisor_rows, divisor_cols] = self.divisors();
        let gemm = Gemm {
            kernels: [&MULTIPLY, &ADD_SPLITS],
            tiles: self.gemm_tiles(),
            problems: self.groups * rows.stride.min(self.out_rows) * cols.stride.min(self.out_cols),
            k: self.k(),
            arguments: self.arguments(),
            output_count,
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

    fn gather(&self, gpu: &Gpu, part: &Part, output_count: usize) -> Vec<Dispatch> {
        let [rows, cols] = &self.windows;
        let bias = if self.has_bias { "bias" } else { "weight" };
        split_loops(gpu, [self.input.channels / self.groups, rows.kernel, cols.kernel], 1)
            .iter()
            .enumerate()
            .map(|(index, range)| {
                Dispatch::per_element(
                    &GATHER,
                    self.params(part, output_count, range, index == 0),
                    vec!["input", "weight", bias, "output"],
                    output_count,
                )
            })
            .collect()
    }

    fn scatter_add(&self, gpu: &Gpu, part: &Part, output_count: usize) -> Vec<Dispatch> {
        let (start, scatter_add, cost) = if gpu.has(wgpu::Features::SHADER_FLOAT32_ATOMIC) {
            (&START_FLOAT32_ATOMIC, &SCATTER_ADD_FLOAT32_ATOMIC, 1)
        } else {
            (&START, &SCATTER_ADD, EXCHANGE_COST)
        };
        let [rows, cols] = &self.windows;
        let bias = if self.has_bias { "bias" } else { "weight" };
        let ranges = split_loops(gpu, [self.group_out_channels(), rows.kernel, cols.kernel], cost);
        let input_count = part.items * self.input.channels * self.input.rows * self.input.cols;
        let start = Dispatch::per_element(
            start,
            self.params(part, output_count, &ranges[0], true),
            vec![bias, "output"],
            output_count,
        );
        let scatters = ranges.iter().map(|range| {
            Dispatch::per_element(
                scatter_add,
                self.params(part, input_count, range, false),
                vec!["input", "weight", "output"],
                input_count,
            )
        });
        std::iter::once(start).chain(scatters).collect()
    }
}
