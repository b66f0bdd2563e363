//! The gradient of a convolution's weight: its plan and its dispatches.

use std::fmt;
use std::slice::from_ref;

use super::gemm_tiles::GemmTiles;
use super::patches::LANES;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, UniformWindow, kernel, uniform};
use crate::shape::ImageShape;
use crate::window::Window;

uniform! {
    struct Params {
        rows: UniformWindow,
        cols: UniformWindow,
        images: i32,
        groups: i32,
        in_channels: i32,
        out_channels: i32,
        in_rows: i32,
        in_cols: i32,
        out_rows: i32,
        out_cols: i32,
        row_blocks: i32,
        blocks: i32,
        split_blocks: i32,
        splits: i32,
        count: i32,
        adds: u32,
        hidden_zero: u32,
        input_base: u32,
        grad_base: u32,
        workspace_base: u32,
    }
}

/// Without and with loads that are shared in subgroups.
macro_rules! columns {
    ([$($variant:literal)*], $module:literal) => {
        [
            kernel!(
                @ "conv2d_backward_weight", $module, &[$($variant),*], "gradient_of_columns", Params,
                [(1, Read), (2, Read), (3, ReadWrite)]
            ),
            kernel!(
                @ "conv2d_backward_weight", concat!($module, "_subgroup"), &["grads_subgroup", $($variant),*],
                "gradient_of_columns", Params, [(1, Read), (2, Read), (3, ReadWrite)]
            ),
        ]
    };
}
/// Of elements, of gradients in blocks, and of both in blocks.
static COLUMNS: [[Kernel; 2]; 3] = [
    columns!([], "conv2d_backward_weight"),
    columns!(["gradient_blocks"], "conv2d_backward_weight_blocks"),
    columns!(["gradient_blocks" "columns_in_blocks"], "conv2d_backward_weight_points"),
];
/// Of elements and of gradients in blocks, with channels in lanes and with pixels in lanes.
macro_rules! depthwise {
    ($entry_point:literal) => {
        [
            kernel!("conv2d_backward_weight_depthwise", $entry_point, Params, [(1, Read), (2, Read), (3, ReadWrite)]),
            kernel!(
                "conv2d_backward_weight_depthwise" with "gradient_blocks" as "conv2d_backward_weight_depthwise_blocks",
                $entry_point,
                Params,
                [(1, Read), (2, Read), (3, ReadWrite)]
            ),
        ]
    };
}
static DEPTHWISE: [[Kernel; 2]; 2] = [depthwise!("channels_in_lanes"), depthwise!("pixels_in_lanes")];
static GEMM: Kernel =
    kernel!("conv2d_backward_weight_gemm", "multiply", Params, [(1, Read), (2, Read), (3, ReadWrite)]);
static ADD_SPLITS: Kernel =
    kernel!("conv2d_backward_weight_splits", "add_splits", Params, [(3, ReadWrite), (4, ReadWrite)]);

/// The kernels of weight gradients.
pub(crate) const WEIGHT_GRADIENT_KERNELS: [&[Kernel]; 7] =
    [&COLUMNS[0], &COLUMNS[1], &COLUMNS[2], &DEPTHWISE[0], &DEPTHWISE[1], from_ref(&GEMM), from_ref(&ADD_SPLITS)];

/// The blocks that a split adds one after the other, so that long sums do not add rounding.
const SPLIT_BLOCKS: usize = 512;
/// The most elements of a workspace, unless loops would be too long.
const MOST_ELEMENTS: usize = 16 << 20;

/// Which kernel computes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WeightAlgorithm {
    /// The one that fits the shapes and the adapter best.
    Auto,
    /// Columns in registers, for software adapters.
    Columns,
    /// A product of matrices in tiles, for GPUs.
    ImplicitGemm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// This many channels by 4 columns, of which so many are neighbours in a row of the kernel.
    Columns {
        channels: usize,
        taps: usize,
        by_subgroups: bool,
    },
    Depthwise {
        is_hardware: bool,
    },
    ImplicitGemm {
        tiles: GemmTiles,
    },
}

/// How the gradient of a weight is computed on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightGradientPlan {
    way: Way,
    splits: usize,
}

impl fmt::Display for WeightGradientPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Columns { channels, by_subgroups, .. } => {
                let shared = if *by_subgroups { ", gradients shared in subgroups" } else { "" };
                write!(f, "4 columns of {channels} channels{shared}")?;
            }
            Way::Depthwise { is_hardware: false } => f.write_str("depthwise, channels in lanes")?,
            Way::Depthwise { is_hardware: true } => f.write_str("depthwise, pixels in lanes")?,
            Way::ImplicitGemm { tiles } => {
                let size = 4 * tiles.side * tiles.halves;
                write!(f, "implicit GEMM, tiles of {size} channels by {size} columns, slices of {}", tiles.tile_k)?;
            }
        }
        if self.splits > 1 { write!(f, ", pixels split in {}", self.splits) } else { Ok(()) }
    }
}

/// What the gradient of a weight is computed from: what the windows slide over, and what belongs to the pixels of the
/// convolution's output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WeightGradient<'a> {
    pub image: &'a ImageShape,
    pub pixels: &'a ImageShape,
    pub windows: &'a [Window; 2],
    pub groups: usize,
}

impl WeightGradient<'_> {
    fn in_channels(&self) -> usize {
        self.image.channels / self.groups
    }

    fn out_channels(&self) -> usize {
        self.pixels.channels / self.groups
    }

    fn kernel_size(&self) -> usize {
        self.windows[0].kernel * self.windows[1].kernel
    }

    fn count(&self) -> usize {
        self.pixels.channels * self.in_channels() * self.kernel_size()
    }

    fn row_blocks(&self) -> usize {
        self.pixels.cols.div_ceil(BLOCK as usize)
    }

    /// The blocks of so many images.
    fn blocks(&self, images: usize, way: &Way) -> usize {
        match way {
            Way::ImplicitGemm { .. } => (images * self.pixels.rows * self.pixels.cols).div_ceil(BLOCK as usize),
            Way::Columns { .. } | Way::Depthwise { .. } => images * self.pixels.rows * self.row_blocks(),
        }
    }

    pub fn plan(&self, on: &Capabilities, algorithm: WeightAlgorithm) -> WeightGradientPlan {
        let columns = self.in_channels() * self.kernel_size();
        let is_small = self.out_channels() < 8 || columns < 8;
        let way = match algorithm {
            WeightAlgorithm::Auto if self.in_channels() == 1 && self.groups > 1 => {
                Way::Depthwise { is_hardware: !on.is_software() }
            }
            WeightAlgorithm::Auto if on.is_software() || is_small => self.columns(on),
            WeightAlgorithm::Columns => self.columns(on),
            WeightAlgorithm::Auto | WeightAlgorithm::ImplicitGemm => {
                let pixels = self.image.batch * self.pixels.rows * self.pixels.cols;
                Way::ImplicitGemm { tiles: GemmTiles::new([self.groups, self.out_channels(), columns, pixels]) }
            }
        };
        let blocks = self.blocks(self.pixels.batch, &way);
        let fits = (MOST_ELEMENTS / self.count().max(1)).max(1);
        let wanted = blocks.div_ceil(SPLIT_BLOCKS).clamp(1, fits);
        let wanted = match &way {
            // Few tiles leave a GPU idle.
            Way::ImplicitGemm { tiles } => wanted.max(tiles.splits.min(fits)),
            Way::Columns { .. } | Way::Depthwise { .. } => wanted,
        };
        // A block of the matrices' product is 4 pixels of a slice; all others are an iteration.
        WeightGradientPlan { way, splits: wanted.max(blocks.div_ceil(on.loop_budget as usize / 4)) }
    }

    fn columns(&self, on: &Capabilities) -> Way {
        let channels = match self.out_channels() {
            ..=4 => 4,
            5..=8 => 8,
            _ => 16,
        };
        let taps = match self.windows[1].kernel {
            1 => 1,
            2 => 2,
            _ => 4,
        };
        Way::Columns { channels, taps, by_subgroups: on.has(wgpu::Features::SUBGROUP) }
    }

    /// The elements of workspace that a plan needs.
    pub fn workspace(&self, plan: &WeightGradientPlan) -> usize {
        if plan.splits > 1 { plan.splits * self.count() } else { 0 }
    }

    /// How many numbers are added one after the other.
    pub fn terms(&self, plan: &WeightGradientPlan) -> usize {
        4 * self.blocks(self.pixels.batch, &plan.way).div_ceil(plan.splits) + 8
    }

    /// The dispatches for some images. Arguments are what the windows slide over, what belongs to pixels, and the
    /// gradient.
    pub fn dispatches(
        &self,
        plan: &WeightGradientPlan,
        images: usize,
        [image, pixels, gradient]: [Binding; 3],
        workspace: Binding,
        adds: bool,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let [rows, cols] = self.windows;
        let blocks = self.blocks(images, &plan.way);
        let params = Params {
            rows: rows.into(),
            cols: cols.into(),
            images: images as i32,
            groups: self.groups as i32,
            in_channels: self.in_channels() as i32,
            out_channels: self.out_channels() as i32,
            in_rows: self.image.rows as i32,
            in_cols: self.image.cols as i32,
            out_rows: self.pixels.rows as i32,
            out_cols: self.pixels.cols as i32,
            row_blocks: self.row_blocks() as i32,
            blocks: blocks as i32,
            split_blocks: blocks.div_ceil(plan.splits) as i32,
            splits: plan.splits as i32,
            count: self.count() as i32,
            adds: u32::from(adds),
            hidden_zero: 0,
            input_base: image.base,
            grad_base: pixels.base,
            workspace_base: workspace.base,
        }
        .to_bytes();
        let is_split = plan.splits > 1;
        let arguments = [image, pixels, if is_split { workspace } else { gradient }];
        let is_dense = u32::from(cols.stride == 1 && cols.dilation == 1);
        // An empty batch is not made of blocks.
        let in_blocks =
            images > 0 && self.pixels.cols.is_multiple_of(BLOCK as usize) && pixels.base.is_multiple_of(BLOCK);
        let columns = self.in_channels() * self.kernel_size();
        let dispatch = match &plan.way {
            Way::Columns { channels, taps, by_subgroups } => {
                let row_tiles = (self.in_channels() * rows.kernel).div_ceil(4 / taps * LANES);
                let tiles = row_tiles * cols.kernel.div_ceil(*taps) * self.out_channels().div_ceil(*channels);
                let workgroups = plan.splits * self.groups * tiles;
                let is_pointwise = in_blocks && self.is_pointwise() && image.base.is_multiple_of(BLOCK);
                let kernels = &COLUMNS[usize::from(in_blocks) + usize::from(is_pointwise)];
                let kernel = &kernels[usize::from(*by_subgroups)];
                let dispatch = Dispatch::per_workgroup(kernel, params.clone(), &arguments, workgroups)
                    .with_constant("WORKGROUP_SIZE", LANES as u32)
                    .with_constant("CHANNELS", *channels as u32)
                    .with_constant("TAPS", *taps as u32);
                if is_pointwise { dispatch } else { dispatch.with_constant("IS_DENSE", is_dense) }
            }
            Way::Depthwise { is_hardware } => {
                let pieces = rows.kernel.div_ceil(3) * cols.kernel.div_ceil(3) * plan.splits;
                let lanes = if *is_hardware { 1 } else { LANES };
                let workgroups = pieces * self.pixels.channels.div_ceil(lanes);
                let kernel = &DEPTHWISE[usize::from(*is_hardware)][usize::from(in_blocks)];
                let dispatch = Dispatch::per_workgroup(kernel, params.clone(), &arguments, workgroups)
                    .with_constant("IS_DENSE", is_dense);
                if *is_hardware { dispatch } else { dispatch.with_constant("WORKGROUP_SIZE", LANES as u32) }
            }
            Way::ImplicitGemm { tiles } => {
                let size = 4 * tiles.side * tiles.halves;
                let tiles_of = |length: usize| length.div_ceil(size);
                let workgroups = plan.splits * self.groups * tiles_of(self.out_channels()) * tiles_of(columns);
                Dispatch::per_workgroup(&GEMM, params.clone(), &arguments, workgroups)
                    .with_constant("SIDE", tiles.side as u32)
                    .with_constant("HALVES", tiles.halves as u32)
                    .with_constant("TILE_K", tiles.tile_k as u32)
            }
        };
        add(dispatch);
        if is_split {
            add(Dispatch::per_element(&ADD_SPLITS, params, &[gradient, workspace], self.count()));
        }
    }

    /// Whether each pixel meets the input's pixel at the same place.
    fn is_pointwise(&self) -> bool {
        self.image.cols == self.pixels.cols
            && self.image.rows == self.pixels.rows
            && self.windows.iter().all(|window| {
                window.kernel == 1 && window.stride == 1 && window.padding_before == 0 && window.padding_after == 0
            })
    }
}
