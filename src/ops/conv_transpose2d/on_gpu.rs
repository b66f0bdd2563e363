//! conv_transpose2d on the GPU: what is dispatched, recorded, and called eagerly.

use super::{ConvTranspose2d, ConvTranspose2dAlgorithm, ConvTranspose2dParams, MAX_SEARCH, NAME, search};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::{Dispatch, Kernel, LoopPart, kernel, split_costly_loops, split_loops, uniform};
use crate::gpu::operator::{Operator, Part, Sealed, Split};
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::tensor::{Tensor, expect_same_gpu};
use crate::ops::conv2d::{patches, split_channels_innermost};
use crate::reference;
use crate::validation::{Replay, magnitudes, read, replay, rounding};
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

static PHASES: Kernel = kernel!(
    "conv_transpose2d_phases" = ["weights", "patches", "pixels"] "conv_transpose2d_phases",
    "convolve_phases",
    PhaseParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static PHASES_SUBGROUP: Kernel = kernel!(
    "conv_transpose2d_phases_subgroup" = ["weights_subgroup", "patches", "pixels"] "conv_transpose2d_phases",
    "convolve_phases",
    PhaseParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
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
pub(crate) const KERNELS: &[&Kernel] =
    &[&GATHER, &PHASES, &PHASES_SUBGROUP, &START, &SCATTER_ADD, &START_FLOAT32_ATOMIC, &SCATTER_ADD_FLOAT32_ATOMIC];

/// How many iterations an addition by compare-exchange may take: one for each of those that meet in an element.
/// On llvmpipe, which counts them, these are the invocations of a vector (at most 16) on each core.
const EXCHANGE_COST: u32 = 64;

/// The buffers of a recorded [`ConvTranspose2d`].
#[derive(Debug, Clone, Copy)]
pub struct ConvTranspose2dBuffers<'a> {
    /// f32, of the input's shape.
    pub input: wgpu::BufferSlice<'a>,
    /// f32, (C, O / groups, R, S).
    pub weight: wgpu::BufferSlice<'a>,
    /// f32, (O); if the operator was made with one.
    pub bias: Option<wgpu::BufferSlice<'a>>,
    /// f32, of the output's shape.
    pub output: wgpu::BufferSlice<'a>,
    /// [`ConvTranspose2d::workspace_size`] bytes, if that is not 0.
    pub workspace: Option<wgpu::BufferSlice<'a>>,
}

impl Sealed for ConvTranspose2d {}

impl Operator for ConvTranspose2d {
    fn name(&self) -> &'static str {
        NAME
    }

    fn split(&self) -> Split {
        let input = self.input.channels * self.input.rows * self.input.cols;
        let output = self.out_channels * self.out_rows * self.out_cols;
        Split { items: self.input.batch, shares: vec![("input", input), ("output", output)] }
    }

    fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let images = part.items;
        let output_count = images * self.out_channels * self.out_rows * self.out_cols;
        if output_count == 0 {
            return Vec::new();
        }
        match self.algorithm_on(gpu) {
            ConvTranspose2dAlgorithm::ScatterAdd => self.scatter_add(gpu, part, output_count),
            ConvTranspose2dAlgorithm::Phases => self.phases(gpu, part, output_count),
            _ => self.gather(part, output_count),
        }
    }
}

impl ConvTranspose2d {
    fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }

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

    /// The algorithm that runs on this device: never [`ConvTranspose2dAlgorithm::Auto`].
    pub fn algorithm_on(&self, gpu: &Gpu) -> ConvTranspose2dAlgorithm {
        let is_searched = self.windows.iter().all(|window| search(window) <= MAX_SEARCH);
        match self.algorithm {
            ConvTranspose2dAlgorithm::Auto if gpu.is_software() && is_searched => ConvTranspose2dAlgorithm::Phases,
            ConvTranspose2dAlgorithm::Auto => ConvTranspose2dAlgorithm::Gather,
            algorithm => algorithm,
        }
    }

    fn phases(&self, gpu: &Gpu, part: &Part, output_count: usize) -> Vec<Dispatch> {
        let [rows, cols] = &self.windows;
        let [divisor_rows, divisor_cols] = [rows, cols].map(|window| common_divisor(window.stride, window.dilation));
        // The most kernel elements that a phase uses.
        let taps = |window: &Window, divisor: usize| window.kernel.div_ceil(window.stride / divisor);
        let phases = rows.stride.min(self.out_rows) * cols.stride.min(self.out_cols);
        // Of the largest phase.
        let pixels = self.out_rows.div_ceil(rows.stride) * self.out_cols.div_ceil(cols.stride);
        let lengths = [self.input.channels / self.groups, taps(rows, divisor_rows), taps(cols, divisor_cols)];
        split_channels_innermost(lengths)
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
                let bias = if self.has_bias { "bias" } else { "weight" };
                let arguments = vec!["input", "weight", bias, "output"];
                let sizes = [part.items * self.groups * phases, pixels, self.group_out_channels()];
                patches(gpu, [&PHASES, &PHASES_SUBGROUP], params.to_bytes(), arguments, sizes)
            })
            .collect()
    }

    fn gather(&self, part: &Part, output_count: usize) -> Vec<Dispatch> {
        let [rows, cols] = &self.windows;
        let bias = if self.has_bias { "bias" } else { "weight" };
        split_loops([self.input.channels / self.groups, rows.kernel, cols.kernel])
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
        let ranges = split_costly_loops([self.group_out_channels(), rows.kernel, cols.kernel], cost);
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
    pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &ConvTranspose2dBuffers<'_>) -> Result<()> {
        let [rows, cols] = &self.windows;
        let weight_count = self.input.channels * self.group_out_channels() * rows.kernel * cols.kernel;
        let mut arguments = vec![
            Argument::read("input", buffers.input, self.input.count()),
            Argument::read("weight", buffers.weight, weight_count),
            Argument::write("output", buffers.output, self.output_shape().iter().product()),
        ];
        let bias_count = self.has_bias.then_some(self.out_channels);
        arguments.extend(Argument::optional(NAME, "bias", buffers.bias, bias_count)?);
        recorder.run(self, &arguments)
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
/// As [`ConvTranspose2d::new`] and [`ConvTranspose2d::record`].
pub fn conv_transpose2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &ConvTranspose2dParams,
) -> Result<Tensor> {
    let gpu = input.gpu();
    let operator = ConvTranspose2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    expect_same_gpu(NAME, gpu, &[("weight", Some(weight.gpu())), ("bias", bias.map(Tensor::gpu))])?;
    let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
    let mut reads = vec![input.storage(), weight.storage()];
    reads.extend(bias.map(Tensor::storage));
    gpu.eager(&operator, &reads, &[output.storage()], |recorder| {
        operator.record(
            recorder,
            &ConvTranspose2dBuffers {
                input: input.own_slice(),
                weight: weight.own_slice(),
                bias: bias.map(Tensor::own_slice),
                output: output.own_slice(),
                workspace: None,
            },
        )
    })?;
    replay(gpu, NAME, || {
        let [x, w] = [read(input)?, read(weight)?];
        let b = bias.map(read).transpose()?;
        let expected = reference::conv_transpose2d(&x, &w, b.as_ref(), params)?;
        let b = b.as_ref().map(magnitudes);
        let sums = reference::conv_transpose2d(&magnitudes(&x), &magnitudes(&w), b.as_ref(), params)?.into_flat();
        let terms = operator.input.channels / operator.groups * operator.windows[0].kernel * operator.windows[1].kernel;
        let shapes = vec![("input", input.shape().to_vec()), ("weight", weight.shape().to_vec())];
        Replay { operator: NAME, shapes }
            .floats("output", &output, &expected, |index| rounding(terms + 2, sums[index].into()))?;
        Ok(())
    })?;
    Ok(output)
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
