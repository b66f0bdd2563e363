//! Convolutions as products of matrices in tiles: what shaders/shared/gemm.wgsl is given.

use crate::gemm_tiles::GemmTiles;
use crate::gpu::Gpu;
use crate::gpu::kernel::{Dispatch, Kernel, uniform};
use crate::gpu::operator::Part;
use crate::shape::ImageShape;
use crate::window::Window;

uniform! {
    pub(crate) struct GemmParams {
        images: i32,
        largest_pixels: i32,
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
        k_begin: i32,
        k_end: i32,
        k_per_split: i32,
        splits: i32,
        is_first: u32,
        has_bias: u32,
        input_base: u32,
        output_base: u32,
        workspace_base: u32,
    }
}

impl GemmParams {
    /// Those of a convolution; what follows from its pixels, its phases and the tiles is left to be set.
    pub fn new(
        part: &Part,
        input: &ImageShape,
        [out_channels, out_rows, out_cols]: [usize; 3],
        [rows, cols]: &[Window; 2],
        groups: usize,
        has_bias: bool,
    ) -> Self {
        GemmParams {
            images: part.items as i32,
            groups: groups as i32,
            in_channels: (input.channels / groups) as i32,
            out_channels: (out_channels / groups) as i32,
            in_rows: input.rows as i32,
            in_cols: input.cols as i32,
            out_rows: out_rows as i32,
            out_cols: out_cols as i32,
            kernel_rows: rows.kernel as i32,
            kernel_cols: cols.kernel as i32,
            stride_rows: rows.stride as i32,
            stride_cols: cols.stride as i32,
            padding_rows: rows.padding_before as i32,
            padding_cols: cols.padding_before as i32,
            dilation_rows: rows.dilation as i32,
            dilation_cols: cols.dilation as i32,
            has_bias: u32::from(has_bias),
            input_base: part.base("input"),
            output_base: part.base("output"),
            workspace_base: part.base("workspace"),
            ..Default::default()
        }
    }
}

/// How many of a loop's iterations a product takes, at most: with its shares of a slice's, and where sums that are not finite
/// are computed again, 4 squares an invocation.
const PRODUCT_COST: usize = 6;
/// Ranges of products are of whole slices.
const MOST_SLICE: usize = 16;

/// Products of matrices: problems, each of some groups' channels by pixels.
#[derive(Debug)]
pub(crate) struct Gemm {
    /// `multiply` and `add_splits`.
    pub kernels: [&'static Kernel; 2],
    pub tiles: GemmTiles,
    /// How many, and the most products that an element of one is the sum of.
    pub problems: usize,
    pub k: usize,
    /// What `multiply` binds; the output is the last.
    pub arguments: Vec<&'static str>,
    pub output_count: usize,
}

impl Gemm {
    /// The dispatches for a convolution, of which `params` lacks what follows from the tiles.
    pub fn dispatches(self, gpu: &Gpu, params: GemmParams) -> Vec<Dispatch> {
        let [multiply, add_splits] = self.kernels;
        let GemmTiles { splits, .. } = self.tiles;
        // Channels, and pixels, of a tile.
        let size = 4 * self.tiles.side * self.tiles.halves;
        let [channels, pixels] = [params.out_channels, params.largest_pixels].map(|length| length as usize);
        let workgroups = self.problems * channels.div_ceil(size) * pixels.div_ceil(size) * splits;
        let mut arguments = self.arguments;
        if splits > 1 {
            arguments[3] = "workspace";
        }
        let most = gpu.loop_budget() as usize / PRODUCT_COST / MOST_SLICE * MOST_SLICE;
        let range = splits.saturating_mul(most);
        let mut dispatches: Vec<_> = (0..self.k)
            .step_by(range)
            .map(|begin| {
                let end = (begin + range).min(self.k);
                let params = GemmParams {
                    k_begin: begin as i32,
                    k_end: end as i32,
                    k_per_split: (end - begin).div_ceil(splits) as i32,
                    splits: splits as i32,
                    is_first: u32::from(begin == 0),
                    ..params
                };
                Dispatch::per_workgroup(multiply, params.to_bytes(), arguments.clone(), workgroups)
                    .with_constant("SIDE", self.tiles.side as u32)
                    .with_constant("HALVES", self.tiles.halves as u32)
                    .with_constant("TILE_K", self.tiles.tile_k as u32)
            })
            .collect();
        if splits > 1 {
            let params = GemmParams { splits: splits as i32, ..params };
            let arguments = vec!["output", "workspace"];
            dispatches.push(Dispatch::per_element(add_splits, params.to_bytes(), arguments, self.output_count));
        }
        dispatches
    }
}
