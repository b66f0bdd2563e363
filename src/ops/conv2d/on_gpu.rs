//! conv2d on the GPU: what is dispatched, recorded, and called eagerly.

use super::{Conv2d, Conv2dAlgorithm, Conv2dParams, NAME};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::{Dispatch, Kernel, LoopPart, kernel, split_loops, uniform};
use crate::gpu::operator::{Operator, Part, Sealed, Split};
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::tensor::{Tensor, expect_same_gpu};
use crate::reference;
use crate::validation::{Replay, magnitudes, read, replay, rounding};

uniform! {
    struct Params {
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

static DIRECT: Kernel = kernel!("conv2d", "conv2d", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
static PATCHES: Kernel = kernel!(
    "conv2d_patches" = ["weights", "patches"] "conv2d_patches",
    "convolve_patches",
    Params,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static PATCHES_SUBGROUP: Kernel = kernel!(
    "conv2d_patches_subgroup" = ["weights_subgroup", "patches"] "conv2d_patches",
    "convolve_patches",
    Params,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static TILES: Kernel = kernel!(
    "conv2d_tiles" = ["weights", "patches"] "conv2d_tiles",
    "convolve_tiles",
    Params,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static TILES_SUBGROUP: Kernel = kernel!(
    "conv2d_tiles_subgroup" = ["weights_subgroup", "patches"] "conv2d_tiles",
    "convolve_tiles",
    Params,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
pub(crate) const KERNELS: &[&Kernel] = &[&DIRECT, &PATCHES, &PATCHES_SUBGROUP, &TILES, &TILES_SUBGROUP];

/// Invocations of a workgroup that computes patches or tiles: a vector of a software adapter's.
const LANES: usize = 8;
/// The pixels of a patch.
const PATCH_PIXELS: usize = 8;
/// Rows and columns of a tile.
const TILE: usize = 4;
/// How many multiplications take as long as a load, on a software adapter.
const PRODUCTS_PER_LOAD: usize = 50;

/// How many of these output channels an invocation computes.
fn patch_channels(channels: usize) -> usize {
    match channels {
        1 => 1,
        2..=4 => 4,
        5..=8 => 8,
        _ => 16,
    }
}

/// [`split_loops`] of channels, kernel rows and kernel columns where the loop over channels is the innermost.
pub(crate) fn split_channels_innermost([channels, rows, cols]: [usize; 3]) -> Vec<LoopPart> {
    split_loops([rows, cols, channels]).into_iter().map(|[rows, cols, channels]| [channels, rows, cols]).collect()
}

/// A dispatch that computes planes of so many pixels and channels in patches, by the kernel that loads weights on its
/// own or the one that shares loads in subgroups.
pub(crate) fn patches(
    gpu: &Gpu,
    [portable, subgroup]: [&'static Kernel; 2],
    uniform: Vec<u8>,
    arguments: Vec<&'static str>,
    [planes, pixels, channels]: [usize; 3],
) -> Dispatch {
    let patch_channels = patch_channels(channels);
    let workgroups = planes * pixels.div_ceil(LANES * PATCH_PIXELS) * channels.div_ceil(patch_channels);
    let kernel = if gpu.has(wgpu::Features::SUBGROUP) { subgroup } else { portable };
    Dispatch::per_workgroup(kernel, uniform, arguments, workgroups)
        .with_constant("WORKGROUP_SIZE", LANES as u32)
        .with_constant("CHANNELS", patch_channels as u32)
}

/// The buffers of a recorded [`Conv2d`].
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBuffers<'a> {
    /// f32, of the input's shape.
    pub input: wgpu::BufferSlice<'a>,
    /// f32, (O, C / groups, R, S).
    pub weight: wgpu::BufferSlice<'a>,
    /// f32, (O); if the operator was made with one.
    pub bias: Option<wgpu::BufferSlice<'a>>,
    /// f32, of the output's shape.
    pub output: wgpu::BufferSlice<'a>,
    /// [`Conv2d::workspace_size`] bytes, if that is not 0.
    pub workspace: Option<wgpu::BufferSlice<'a>>,
}

impl Sealed for Conv2d {}

impl Operator for Conv2d {
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
        let [rows, cols] = &self.windows;
        let bias = if self.has_bias { "bias" } else { "weight" };
        let algorithm = self.algorithm_on(gpu);
        let lengths = [self.in_channels(), rows.kernel, cols.kernel];
        let ranges = match algorithm {
            Conv2dAlgorithm::Patches => split_channels_innermost(lengths),
            // Rows and columns of the kernel are no loops.
            Conv2dAlgorithm::Tiles => split_channels_innermost([lengths[0], 1, 1]),
            _ => split_loops(lengths),
        };
        ranges
            .iter()
            .enumerate()
            .map(|(index, [channels, kernel_rows, kernel_cols])| {
                let params = Params {
                    output_count: output_count as u32,
                    groups: self.groups as i32,
                    in_channels: self.in_channels() as i32,
                    out_channels: (self.out_channels / self.groups) as i32,
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
                    is_first: u32::from(index == 0),
                    has_bias: u32::from(self.has_bias),
                    input_base: part.base("input"),
                    output_base: part.base("output"),
                };
                let arguments = vec!["input", "weight", bias, "output"];
                match algorithm {
                    Conv2dAlgorithm::Patches => {
                        let sizes =
                            [images * self.groups, self.out_rows * self.out_cols, self.out_channels / self.groups];
                        patches(gpu, [&PATCHES, &PATCHES_SUBGROUP], params.to_bytes(), arguments, sizes)
                    }
                    Conv2dAlgorithm::Tiles => self.tiles(gpu, params.to_bytes(), arguments, images),
                    _ => Dispatch::per_element(&DIRECT, params.to_bytes(), arguments, output_count),
                }
            })
            .collect()
    }
}

impl Conv2d {
    /// The algorithm that runs on this device: never [`Conv2dAlgorithm::Auto`].
    pub fn algorithm_on(&self, gpu: &Gpu) -> Conv2dAlgorithm {
        match self.algorithm {
            Conv2dAlgorithm::Auto if gpu.is_software() && self.is_faster_in_tiles() => Conv2dAlgorithm::Tiles,
            Conv2dAlgorithm::Auto if gpu.is_software() => Conv2dAlgorithm::Patches,
            Conv2dAlgorithm::Auto => Conv2dAlgorithm::Direct,
            algorithm => algorithm,
        }
    }

    fn tile_workgroups(&self) -> usize {
        (self.out_rows.div_ceil(TILE) * self.out_cols.div_ceil(TILE)).div_ceil(LANES)
    }

    /// Whether a software adapter has less to do in tiles than in patches: small planes leave invocations without a tile.
    fn is_faster_in_tiles(&self) -> bool {
        let channels = self.out_channels / self.groups;
        let [in_patch, in_tile] = [patch_channels(channels), patch_channels(channels).min(8)];
        let patches = (self.out_rows * self.out_cols).div_ceil(LANES * PATCH_PIXELS) * channels.div_ceil(in_patch);
        let tiles = self.tile_workgroups() * channels.div_ceil(in_tile);
        // Loads of the input and of weights, and products, of an input channel.
        let patch_cost = 9 * (8 + in_patch.div_ceil(8) + 8 * in_patch / PRODUCTS_PER_LOAD);
        let tile_cost = 36 + 9 + 144 * in_tile / PRODUCTS_PER_LOAD;
        self.is_dense_3x3() && tiles * tile_cost < patches * patch_cost
    }

    fn tiles(&self, gpu: &Gpu, uniform: Vec<u8>, arguments: Vec<&'static str>, images: usize) -> Dispatch {
        let channels = self.out_channels / self.groups;
        let tile_channels = patch_channels(channels).min(8);
        let workgroups = images * self.groups * self.tile_workgroups() * channels.div_ceil(tile_channels);
        let kernel = if gpu.has(wgpu::Features::SUBGROUP) { &TILES_SUBGROUP } else { &TILES };
        Dispatch::per_workgroup(kernel, uniform, arguments, workgroups)
            .with_constant("WORKGROUP_SIZE", LANES as u32)
            .with_constant("CHANNELS", tile_channels as u32)
    }

    fn in_channels(&self) -> usize {
        self.input.channels / self.groups
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
    pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &Conv2dBuffers<'_>) -> Result<()> {
        let [rows, cols] = &self.windows;
        let weight_count = self.out_channels * self.in_channels() * rows.kernel * cols.kernel;
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

/// The convolution of an input (N,C,H,W) or (C,H,W) with a weight (O,C/groups,R,S), as
/// [`torch.nn.functional.conv2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.conv2d.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::{Array1, Array4};
/// use wgdnn::{Conv2dParams, Gpu, Tensor, conv2d};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &Array4::<f32>::zeros((1, 3, 32, 32)))?;
/// let weight = Tensor::from_array(&gpu, &Array4::<f32>::zeros((6, 3, 5, 5)))?;
/// let bias = Tensor::from_array(&gpu, &Array1::<f32>::zeros(6))?;
/// let params = Conv2dParams { stride: [2, 2], padding: [2, 2].into(), ..Default::default() };
/// let features = conv2d(&input, &weight, Some(&bias), &params)?;
/// assert_eq!(features.shape(), [1, 6, 16, 16]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Conv2d::new`] and [`Conv2d::record`].
pub fn conv2d(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams) -> Result<Tensor> {
    let gpu = input.gpu();
    let operator = Conv2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    expect_same_gpu(NAME, gpu, &[("weight", Some(weight.gpu())), ("bias", bias.map(Tensor::gpu))])?;
    let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
    let mut reads = vec![input.storage(), weight.storage()];
    reads.extend(bias.map(Tensor::storage));
    gpu.eager(&operator, &reads, &[output.storage()], |recorder| {
        operator.record(
            recorder,
            &Conv2dBuffers {
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
        let expected = reference::conv2d(&x, &w, b.as_ref(), params)?;
        let b = b.as_ref().map(magnitudes);
        let sums = reference::conv2d(&magnitudes(&x), &magnitudes(&w), b.as_ref(), params)?.into_flat();
        let terms = operator.in_channels() * operator.windows[0].kernel * operator.windows[1].kernel;
        let shapes = vec![("input", input.shape().to_vec()), ("weight", weight.shape().to_vec())];
        Replay { operator: NAME, shapes }
            .floats("output", &output, &expected, |index| rounding(terms + 2, sums[index].into()))?;
        Ok(())
    })?;
    Ok(output)
}
