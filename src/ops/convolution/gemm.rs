//! Convolutions as products of matrices in tiles, with the uniforms of shaders/parts/gemm.wgsl.

use smallvec::SmallVec;

use super::Geometry;
use super::gemm_tiles::GemmTiles;
use crate::gpu::kernel::{Binding, Dispatch, Kernel, UniformWindow, uniform};
use crate::ops::epilogue::{Finisher, finished_kernels};

uniform! {
    pub(crate) struct GemmParams {
        rows: UniformWindow,
        cols: UniformWindow,
        epilogue: [u32; 4],
        images: i32,
        largest_pixels: i32,
        groups: i32,
        in_channels: i32,
        out_channels: i32,
        in_rows: i32,
        in_cols: i32,
        out_rows: i32,
        out_cols: i32,
        divisor_rows: i32,
        divisor_cols: i32,
        k_begin: i32,
        k_end: i32,
        k_per_split: i32,
        splits: i32,
        continues: u32,
        has_bias: u32,
        input_base: u32,
        output_base: u32,
        workspace_base: u32,
    }
}

/// The kernels of a convolution, which linear takes too: each without and with an epilogue.
pub(crate) static MULTIPLY: [Kernel; 2] =
    finished_kernels!("conv2d_gemm", "multiply", GemmParams, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
pub(crate) static ADD_SPLITS: [Kernel; 2] =
    finished_kernels!("conv2d_gemm", "add_splits", GemmParams, [(4, ReadWrite), (5, ReadWrite)]);

impl GemmParams {
    /// The params of a convolution of images, without those that follow from its pixels, its phases and the tiles.
    pub fn new(of: &Geometry<'_>, images: usize) -> Self {
        let [rows, cols] = of.windows;
        let [out_channels, out_rows, out_cols] = of.output;
        let [input_base, output_base, workspace_base] = of.bases;
        GemmParams {
            rows: rows.into(),
            cols: cols.into(),
            epilogue: of.epilogue,
            images: images as i32,
            groups: of.groups as i32,
            in_channels: (of.input.channels / of.groups) as i32,
            out_channels: (out_channels / of.groups) as i32,
            in_rows: of.input.rows as i32,
            in_cols: of.input.cols as i32,
            out_rows: out_rows as i32,
            out_cols: out_cols as i32,
            continues: u32::from(of.continues),
            has_bias: u32::from(of.has_bias),
            input_base,
            output_base,
            workspace_base,
            ..Default::default()
        }
    }
}

/// The most loop iterations that a product takes, with its share of loading a slice, and with sums that are not finite
/// computed again: 4 squares an invocation.
const PRODUCT_COST: usize = 6;
/// A range of products consists of whole slices.
const MOST_SLICE: usize = 16;

/// The products of a dispatch.
fn range(splits: usize, loop_budget: u32) -> usize {
    splits.saturating_mul(loop_budget as usize / PRODUCT_COST / MOST_SLICE * MOST_SLICE)
}

/// Whether sums of `k` products are stored once: in one dispatch, or when splits are added.
pub(crate) fn stores_once(tiles: &GemmTiles, k: usize, loop_budget: u32) -> bool {
    tiles.splits > 1 || k <= range(1, loop_budget)
}

/// Products of matrices: several problems, each with the channels and pixels of some groups.
#[derive(Debug)]
pub(crate) struct Gemm {
    /// `multiply` and `add_splits`, each without and with an epilogue.
    pub kernels: [&'static [Kernel; 2]; 2],
    pub finisher: Finisher,
    pub tiles: GemmTiles,
    /// The number of problems, and the most products in the sum of one element.
    pub problems: usize,
    pub k: usize,
    /// Input, weight, bias, output.
    pub arguments: [Binding; 4],
    pub workspace: Binding,
    pub output_count: usize,
    pub loop_budget: u32,
}

impl Gemm {
    /// The dispatches of a convolution. `params` lacks what follows from the tiles.
    pub fn dispatches(self, params: GemmParams, add: &mut dyn FnMut(Dispatch)) {
        let [multiply, add_splits] = self.kernels;
        let GemmTiles { splits, .. } = self.tiles;
        // The channels and pixels of a tile.
        let size = 4 * self.tiles.side * self.tiles.halves;
        let [channels, pixels] = [params.out_channels, params.largest_pixels].map(|length| length as usize);
        let workgroups = self.problems * channels.div_ceil(size) * pixels.div_ceil(size) * splits;
        let [input, weight, bias, output] = self.arguments;
        let sums = if splits > 1 { self.workspace } else { output };
        let range = range(splits, self.loop_budget);
        let is_split = splits > 1;
        for begin in (0..self.k).step_by(range) {
            let end = (begin + range).min(self.k);
            let params = GemmParams {
                k_begin: begin as i32,
                k_end: end as i32,
                k_per_split: (end - begin).div_ceil(splits) as i32,
                splits: splits as i32,
                // The splits' sums are added to what the output holds when they are complete.
                continues: u32::from(begin > 0 || params.continues != 0 && !is_split),
                has_bias: params.has_bias * u32::from(begin == 0),
                ..params
            };
            let arguments = [input, weight, bias, sums];
            let (kernel, arguments) = match is_split {
                true => (&multiply[0], SmallVec::from_slice(&arguments)),
                false => (self.finisher.kernel(multiply), self.finisher.arguments(&arguments)),
            };
            let dispatch = Dispatch::per_workgroup(kernel, params.to_bytes(), &arguments, workgroups)
                .with_constant("SIDE", self.tiles.side as u32)
                .with_constant("HALVES", self.tiles.halves as u32)
                .with_constant("TILE_K", self.tiles.tile_k as u32);
            add(if is_split { dispatch } else { self.finisher.activated(dispatch) });
        }
        if is_split {
            let params = GemmParams { splits: splits as i32, ..params };
            let (kernel, arguments) =
                (self.finisher.kernel(add_splits), self.finisher.arguments(&[output, self.workspace]));
            let dispatch = Dispatch::per_element(kernel, params.to_bytes(), &arguments, self.output_count);
            add(self.finisher.activated(dispatch));
        }
    }
}
