//! How conv2d is computed on the GPU: the kernels, which of them runs, and what they are given.

use super::choice::{LANES, PATCH_PIXELS, patch_channels};
use super::{Conv2d, Conv2dAlgorithm};
use crate::gpu::gemm::{Gemm, GemmParams};
use crate::gpu::kernel::{
    BLOCK, Dispatch, Kernel, LoopPart, kernel, split_loops, uniform, weights_kernel, weights_kernels,
};
use crate::gpu::operator::Part;
use crate::gpu::{AdapterClass, Gpu};

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
static PATCHES: [Kernel; 2] =
    weights_kernels!("conv2d_patches" = ["patches", "pixels"], "conv2d_patches_subgroup", "convolve_patches", Params);
static TILES: [Kernel; 2] =
    weights_kernels!("conv2d_tiles" = ["pixels"], "conv2d_tiles_subgroup", "convolve_tiles", Params);
static POINTS: [Kernel; 2] =
    weights_kernels!("conv2d_points" = ["patches"], "conv2d_points_subgroup", "convolve_points", Params);
static WINOGRAD2X2: Kernel = kernel!(
    "conv2d_winograd2x2_fused",
    "convolve_winograd2x2",
    Params,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);

static MULTIPLY: Kernel = kernel!(
    "conv2d_gemm" = ["gemm"] "conv2d_gemm",
    "multiply",
    GemmParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);
static ADD_SPLITS: Kernel =
    kernel!("conv2d_gemm" = ["gemm"] "conv2d_gemm", "add_splits", GemmParams, [(4, ReadWrite), (5, ReadWrite)]);

pub(crate) const KERNELS: &[&Kernel] = &[
    &DIRECT,
    &PATCHES[0],
    &PATCHES[1],
    &TILES[0],
    &TILES[1],
    &POINTS[0],
    &POINTS[1],
    &WINOGRAD2X2,
    &MULTIPLY,
    &ADD_SPLITS,
];

/// Tiles and output channels of a workgroup that computes by Winograd's algorithm in one dispatch.
const WINOGRAD_TILES: usize = 32;
const WINOGRAD_CHANNELS: usize = 32;
/// [`split_loops`] of channels, kernel rows and kernel columns where the loop over channels is the innermost.
pub(crate) fn split_channels_innermost(gpu: &Gpu, [channels, rows, cols]: [usize; 3], cost: u32) -> Vec<LoopPart> {
    split_loops(gpu, [rows, cols, channels], cost)
        .into_iter()
        .map(|[rows, cols, channels]| [channels, rows, cols])
        .collect()
}

/// A dispatch that computes planes of so many pixels and channels in patches, by the kernel that loads weights on its
/// own or the one that shares loads in subgroups.
pub(crate) fn patches(
    gpu: &Gpu,
    kernels: &'static [Kernel; 2],
    uniform: Vec<u8>,
    arguments: Vec<&'static str>,
    [planes, pixels, channels]: [usize; 3],
) -> Dispatch {
    let patch_channels = patch_channels(channels);
    let workgroups = planes * pixels.div_ceil(LANES * PATCH_PIXELS) * channels.div_ceil(patch_channels);
    Dispatch::per_workgroup(weights_kernel(gpu, kernels), uniform, arguments, workgroups)
        .with_constant("WORKGROUP_SIZE", LANES as u32)
        .with_constant("CHANNELS", patch_channels as u32)
}

impl Conv2d {
    /// The algorithm that runs on this device: never [`Conv2dAlgorithm::Auto`].
    pub fn algorithm_on(&self, gpu: &Gpu) -> Conv2dAlgorithm {
        match self.algorithm {
            Conv2dAlgorithm::Auto => match gpu.class() {
                AdapterClass::Hardware => self.algorithm_of_gpus(),
                // Transforms are fast in subgroups alone.
                AdapterClass::Llvmpipe => {
                    self.algorithm_of_software(gpu.has(wgpu::Features::SUBGROUP) && self.is_transformable(gpu))
                }
                // SwiftShader compiles them for more than 40 s.
                AdapterClass::Cpu => self.algorithm_of_software(false),
            },
            algorithm => algorithm,
        }
    }

    pub(super) fn dispatches_by(&self, algorithm: Conv2dAlgorithm, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        if let Some(tile) = self.transformed_tile(gpu) {
            return self.transformed(gpu, part, tile);
        }
        let [rows, cols] = &self.windows;
        let lengths = [self.in_channels(), rows.kernel, cols.kernel];
        let ranges = match algorithm {
            Conv2dAlgorithm::ImplicitGemm => return self.implicit_gemm(gpu, part),
            Conv2dAlgorithm::Patches => split_channels_innermost(gpu, lengths, 1),
            // Rows and columns of the kernel are no loops.
            Conv2dAlgorithm::Tiles => split_channels_innermost(gpu, [lengths[0], 1, 1], 1),
            // Up to 4 times per channel a sum is computed again.
            Conv2dAlgorithm::Winograd2x2 => split_channels_innermost(gpu, [lengths[0], 1, 1], 6),
            _ => split_loops(gpu, lengths, 1),
        };
        ranges
            .into_iter()
            .enumerate()
            .map(|(index, range)| {
                let uniform = self.params(part, range, index == 0).to_bytes();
                match algorithm {
                    Conv2dAlgorithm::Patches if self.is_pointwise(part) => self.points(gpu, part, uniform),
                    Conv2dAlgorithm::Patches => self.patches(gpu, part, uniform),
                    Conv2dAlgorithm::Tiles => self.tiles(gpu, part, uniform),
                    Conv2dAlgorithm::Winograd2x2 => self.winograd2x2(part, uniform),
                    _ => Dispatch::per_element(&DIRECT, uniform, self.arguments(), self.output_count(part)),
                }
            })
            .collect()
    }

    fn params(&self, part: &Part, [channels, kernel_rows, kernel_cols]: LoopPart, is_first: bool) -> Params {
        let [rows, cols] = &self.windows;
        Params {
            output_count: self.output_count(part) as u32,
            groups: self.groups as i32,
            in_channels: self.in_channels() as i32,
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
    }

    /// What the kernels bind. Without a bias the weight stands in for it; they do not look at it.
    fn arguments(&self) -> Vec<&'static str> {
        vec!["input", "weight", if self.has_bias { "bias" } else { "weight" }, "output"]
    }

    fn output_count(&self, part: &Part) -> usize {
        part.items * self.out_channels * self.out_rows * self.out_cols
    }

    /// How many planes, each a group of an image, with how many pixels and channels.
    fn planes(&self, part: &Part) -> [usize; 3] {
        [part.items * self.groups, self.out_rows * self.out_cols, self.group_out_channels()]
    }

    fn patches(&self, gpu: &Gpu, part: &Part, uniform: Vec<u8>) -> Dispatch {
        patches(gpu, &PATCHES, uniform, self.arguments(), self.planes(part))
    }

    /// Whether pixels of the output are those of the input, and come in blocks.
    fn is_pointwise(&self, part: &Part) -> bool {
        self.windows.iter().all(|window| {
            window.kernel == 1 && window.stride == 1 && window.padding_before == 0 && window.padding_after == 0
        }) && (self.out_rows * self.out_cols).is_multiple_of(BLOCK as usize)
            && ["input", "output"].iter().all(|argument| part.base(argument).is_multiple_of(BLOCK))
    }

    fn points(&self, gpu: &Gpu, part: &Part, uniform: Vec<u8>) -> Dispatch {
        patches(gpu, &POINTS, uniform, self.arguments(), self.planes(part))
    }

    fn tiles(&self, gpu: &Gpu, part: &Part, uniform: Vec<u8>) -> Dispatch {
        let [planes, ..] = self.planes(part);
        let [tile_channels, halves, workgroups] = self.tile_shape();
        Dispatch::per_workgroup(weights_kernel(gpu, &TILES), uniform, self.arguments(), planes * workgroups)
            .with_constant("WORKGROUP_SIZE", LANES as u32)
            .with_constant("CHANNELS", tile_channels as u32)
            .with_constant("HALVES", halves as u32)
    }

    fn winograd2x2(&self, part: &Part, uniform: Vec<u8>) -> Dispatch {
        let tiles = part.items * self.out_rows.div_ceil(2) * self.out_cols.div_ceil(2);
        let channels = self.group_out_channels();
        let workgroups = self.groups * tiles.div_ceil(WINOGRAD_TILES) * channels.div_ceil(WINOGRAD_CHANNELS);
        Dispatch::per_workgroup(&WINOGRAD2X2, uniform, self.arguments(), workgroups)
    }

    fn implicit_gemm(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let pixels = part.items * self.out_rows * self.out_cols;
        let gemm = Gemm {
            kernels: [&MULTIPLY, &ADD_SPLITS],
            tiles: self.gemm_tiles(),
            problems: self.groups,
            k: self.k(),
            arguments: self.arguments(),
            output_count: self.output_count(part),
        };
        gemm.dispatches(
            gpu,
            GemmParams {
                largest_pixels: pixels as i32,
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
}
