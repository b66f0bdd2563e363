//! What the convolutions share.

use crate::gpu::kernel::{LoopPart, UniformWindow, uniform};
use crate::shape::ImageShape;
use crate::window::Window;

pub(crate) mod backward;
pub(super) mod gemm;
pub(super) mod gemm_tiles;
pub(super) mod patches;
pub(super) mod weight_gradient;
pub(super) mod weights;

uniform! {
    pub(crate) struct ConvolutionParams {
        rows: UniformWindow,
        cols: UniformWindow,
        epilogue: [u32; 4],
        count: u32,
        groups: i32,
        in_channels: i32,
        out_channels: i32,
        in_rows: i32,
        in_cols: i32,
        out_rows: i32,
        out_cols: i32,
        channel_begin: i32,
        channel_end: i32,
        kernel_row_begin: i32,
        kernel_row_end: i32,
        kernel_col_begin: i32,
        kernel_col_end: i32,
        continues: u32,
        has_bias: u32,
        input_base: u32,
        output_base: u32,
    }
}

/// The sizes of a convolution or a transposed convolution, as kernels take them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry<'a> {
    pub input: &'a ImageShape,
    pub windows: &'a [Window; 2],
    pub groups: usize,
    /// Channels, rows and columns.
    pub output: [usize; 3],
    pub has_bias: bool,
    /// Whether sums are added to what the output holds.
    pub continues: bool,
    /// See shaders/parts/epilogue.wgsl.
    pub epilogue: [u32; 4],
    /// Where input, output and workspace begin in their bindings, in elements.
    pub bases: [u32; 3],
}

impl ConvolutionParams {
    /// The uniform for `count` elements and one range of the loops over channels, kernel rows and kernel columns.
    pub(crate) fn new(of: &Geometry<'_>, count: usize, range: &LoopPart, is_first: bool) -> Self {
        let [rows, cols] = of.windows;
        let [out_channels, out_rows, out_cols] = of.output;
        let [channels, kernel_rows, kernel_cols] = range;
        ConvolutionParams {
            rows: rows.into(),
            cols: cols.into(),
            epilogue: of.epilogue,
            count: count as u32,
            groups: of.groups as i32,
            in_channels: (of.input.channels / of.groups) as i32,
            out_channels: (out_channels / of.groups) as i32,
            in_rows: of.input.rows as i32,
            in_cols: of.input.cols as i32,
            out_rows: out_rows as i32,
            out_cols: out_cols as i32,
            channel_begin: channels.start as i32,
            channel_end: channels.end as i32,
            kernel_row_begin: kernel_rows.start as i32,
            kernel_row_end: kernel_rows.end as i32,
            kernel_col_begin: kernel_cols.start as i32,
            kernel_col_end: kernel_cols.end as i32,
            continues: u32::from(of.continues || !is_first),
            has_bias: u32::from(of.has_bias && is_first),
            input_base: of.bases[0],
            output_base: of.bases[1],
        }
    }
}
