//! The plan of a convolution: which algorithm runs where, and how it is cut. Only this file decides by the device.

use std::fmt;

use super::Conv2d;
use super::winograd::{Layout, MAX_CHANNELS, MIN_CHANNELS_4X4, TILES};
use crate::error::{Error, Result};
use crate::gpu::AdapterClass;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, LoopParts, split_loops};
use crate::operator::Definition;
use crate::ops::Finished;
use crate::ops::convolution::gemm::stores_once;
use crate::ops::convolution::gemm_tiles::GemmTiles;
use crate::ops::convolution::patches::{LANES, PATCH_PIXELS, patch_channels, split_channels_innermost};
use crate::shape::ELEMENT_BYTES;

/// How [`conv2d`](crate::conv2d) is computed on the GPU. Default: `Auto`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conv2dAlgorithm {
    /// The algorithm that fits the shapes and the adapter best.
    #[default]
    Auto,
    /// One sum of products for each output element.
    Direct,
    #[doc(hidden)]
    /// Patches of 8 pixels by up to 16 channels in registers: for software adapters.
    Patches,
    #[doc(hidden)]
    /// Tiles of 4 by 4 pixels by up to 8 channels in registers: for software adapters. Only for kernels of 3 by 3 with
    /// stride and dilation 1.
    Tiles,
    /// A product of matrices in tiles, without the matrix of inputs in memory (implicit GEMM): for GPUs. Small outputs
    /// are split among workgroups, and need a workspace.
    ImplicitGemm,
    /// Winograd's F(2x2, 3x3), with 2.25 times fewer products. Only for kernels of 3 by 3 with stride and dilation 1.
    /// On GPUs it is one kernel, which takes the 16 KiB of workgroup memory that WebGPU guarantees. On Mesa's software
    /// adapters it is four kernels, with a workspace of some 16 MiB and at least twice the weight; the weight can be
    /// packed once instead. Sums that are not finite are computed again directly, which takes several times as long.
    Winograd2x2,
    /// Winograd's F(4x4, 3x3), with 4 times fewer products. Only for kernels of 3 by 3 with stride and dilation 1, and
    /// 64 to 7,900 input channels a group. It is four kernels, with a workspace of some 16 MiB and at least 4 times the
    /// weight; the weight can be packed once instead. It rounds more than the others: on the tests' cases its error is
    /// up to 8 times that of PyTorch's float32, theirs up to 4 times, and that of F(2x2, 3x3) up to 5. The error grows where a tile holds few outputs,
    /// or small outputs beside large ones. So [`Conv2dAlgorithm::Auto`] never takes it.
    Winograd4x4,
    /// As `Auto`, but it may also be `Winograd4x4` where that is faster, with its rounding: for networks in which an error
    /// of some 1e-5 of the largest outputs does not matter.
    Fast,
}

impl Conv2dAlgorithm {
    /// Every algorithm that a caller can name.
    pub const ALL: &[Self] = &[
        Self::Auto,
        Self::Direct,
        Self::Patches,
        Self::Tiles,
        Self::ImplicitGemm,
        Self::Winograd2x2,
        Self::Winograd4x4,
        Self::Fast,
    ];
}

/// How a convolution is computed on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conv2dPlan {
    /// One sum of products for each output element, cut where loops would be too long.
    #[doc(hidden)]
    Direct { parts: LoopParts },
    /// Patches of pixels by channels in registers. The invocations of a subgroup may share loads of weights.
    #[doc(hidden)]
    Patches { parts: LoopParts, by_subgroups: bool, is_pointwise: bool },
    /// Tiles of pixels by channels in registers.
    #[doc(hidden)]
    Tiles { parts: LoopParts, by_subgroups: bool },
    /// A product of matrices in tiles.
    #[doc(hidden)]
    ImplicitGemm { tiles: GemmTiles, loop_budget: u32 },
    /// Winograd's F(2x2, 3x3) in one kernel.
    #[doc(hidden)]
    WinogradFused { parts: LoopParts },
    /// Winograd's algorithms in four kernels, through the workspace. Subgroups multiply this many tiles at once;
    /// without a number, workgroups multiply.
    #[doc(hidden)]
    Winograd { layout: Layout, subgroup_tiles: Option<usize> },
}

impl fmt::Display for Conv2dPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |by_subgroups: bool| if by_subgroups { ", weights shared in subgroups" } else { "" };
        let cut = match self {
            Conv2dPlan::Direct { parts } => {
                f.write_str("direct")?;
                parts.len()
            }
            Conv2dPlan::Patches { parts, by_subgroups, is_pointwise } => {
                let pixels = if *is_pointwise { " of pixels in blocks" } else { "" };
                write!(f, "patches{pixels}{}", by(*by_subgroups))?;
                parts.len()
            }
            Conv2dPlan::Tiles { parts, by_subgroups } => {
                write!(f, "tiles of 4 by 4 pixels{}", by(*by_subgroups))?;
                parts.len()
            }
            Conv2dPlan::ImplicitGemm { tiles, .. } => {
                write!(f, "implicit GEMM, {tiles}")?;
                1
            }
            Conv2dPlan::WinogradFused { parts } => {
                f.write_str("Winograd F(2x2, 3x3) in one kernel")?;
                parts.len()
            }
            Conv2dPlan::Winograd { layout, subgroup_tiles } => {
                let (tile, tiles) = (layout.tile, layout.room);
                write!(f, "Winograd F({tile}x{tile}, 3x3) through a workspace for {tiles} tiles")?;
                f.write_str(by(subgroup_tiles.is_some()))?;
                1
            }
        };
        if cut > 1 { write!(f, ", in {cut} parts") } else { Ok(()) }
    }
}

/// Rows and columns of a tile.
const TILE: usize = 4;
/// How many multiplications take as long as a load on a software adapter.
const PRODUCTS_PER_LOAD: usize = 50;

impl Conv2d {
    /// The same operator with an algorithm of the caller's choice.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the algorithm does not take this kernel or these numbers of channels.
    pub fn with_algorithm(self, algorithm: Conv2dAlgorithm) -> Result<Self> {
        let operator = Conv2d { algorithm, ..self };
        operator.check_algorithm()?;
        Ok(operator)
    }

    /// The algorithm that the caller chose. If it is [`Conv2dAlgorithm::Auto`], the adapter decides which one runs: see
    /// [`Operator::plan`](crate::Operator::plan).
    pub fn algorithm(&self) -> Conv2dAlgorithm {
        self.algorithm
    }

    /// Some algorithms take only some kernels.
    fn check_algorithm(&self) -> Result<()> {
        let algorithm = self.algorithm;
        let of_3x3 = [Conv2dAlgorithm::Tiles, Conv2dAlgorithm::Winograd2x2, Conv2dAlgorithm::Winograd4x4];
        if of_3x3.contains(&algorithm) && !self.is_dense_3x3() {
            let [rows, cols] = &self.windows;
            return Err(Error::invalid(
                Self::NAME,
                "algorithm",
                "one for any kernel, or a kernel of 3 by 3 with stride and dilation 1",
                format!(
                    "{algorithm:?} with a kernel of {} by {}, stride {:?} and dilation {:?}",
                    rows.kernel,
                    cols.kernel,
                    [rows.stride, cols.stride],
                    [rows.dilation, cols.dilation]
                ),
            ));
        }
        let [least, most] = [MIN_CHANNELS_4X4, MAX_CHANNELS];
        if algorithm == Conv2dAlgorithm::Winograd4x4 && !(least..=most).contains(&self.in_channels()) {
            return Err(Error::invalid(
                Self::NAME,
                "algorithm",
                format!("one for any number of channels, or {least} to {most} input channels a group"),
                format!("{algorithm:?} with {}", self.in_channels()),
            ));
        }
        Ok(())
    }

    /// Whether the kernel is 3 by 3 with stride and dilation 1.
    pub(super) fn is_dense_3x3(&self) -> bool {
        self.windows.iter().all(|window| window.kernel == 3 && window.stride == 1 && window.dilation == 1)
    }

    pub(super) fn plan_on(&self, on: &Capabilities) -> Finished<Conv2dPlan> {
        let main = self.main_plan(on);
        let is_once = match &main {
            Conv2dPlan::Direct { parts }
            | Conv2dPlan::Patches { parts, .. }
            | Conv2dPlan::Tiles { parts, .. }
            | Conv2dPlan::WinogradFused { parts } => parts.len() == 1,
            Conv2dPlan::ImplicitGemm { tiles, loop_budget } => stores_once(tiles, self.k(), *loop_budget),
            Conv2dPlan::Winograd { .. } => true,
        };
        Finished { main, finish: self.epilogue.plan(on, 4, is_once) }
    }

    fn main_plan(&self, on: &Capabilities) -> Conv2dPlan {
        let [rows, cols] = &self.windows;
        let lengths = [self.in_channels(), rows.kernel, cols.kernel];
        // The rows and columns of a kernel of 3 by 3 are unrolled, not looped over.
        let channels = [lengths[0], 1, 1];
        let by_subgroups = on.has(wgpu::Features::SUBGROUP);
        let algorithm = match (self.algorithm, on.class) {
            (Conv2dAlgorithm::Auto | Conv2dAlgorithm::Fast, AdapterClass::Hardware) => self.algorithm_of_gpus(),
            // Transforms are only fast in subgroups.
            (Conv2dAlgorithm::Auto | Conv2dAlgorithm::Fast, AdapterClass::Llvmpipe) => {
                self.algorithm_of_software(|tile| by_subgroups && self.is_transformable(on, tile))
            }
            // SwiftShader takes more than 40 s to compile them.
            (Conv2dAlgorithm::Auto | Conv2dAlgorithm::Fast, AdapterClass::Cpu) => self.algorithm_of_software(|_| false),
            (algorithm, _) => algorithm,
        };
        match algorithm {
            Conv2dAlgorithm::Auto | Conv2dAlgorithm::Fast | Conv2dAlgorithm::Direct => {
                Conv2dPlan::Direct { parts: split_loops(on, lengths, 1) }
            }
            Conv2dAlgorithm::Patches => {
                let parts = split_channels_innermost(on, lengths, 1);
                Conv2dPlan::Patches { parts, by_subgroups, is_pointwise: self.is_pointwise() }
            }
            Conv2dAlgorithm::Tiles => {
                // Sums of gradients that are not finite are computed again: 4 rows of 8 channels by 9 products.
                let cost = if self.is_mirrored { 1 + 4 * 8 * 10 } else { 1 };
                Conv2dPlan::Tiles { parts: split_channels_innermost(on, channels, cost), by_subgroups }
            }
            Conv2dAlgorithm::ImplicitGemm => {
                let pixels = self.input.batch * self.out_rows * self.out_cols;
                let tiles = GemmTiles::new([self.groups, self.group_out_channels(), pixels, self.k()]);
                Conv2dPlan::ImplicitGemm { tiles, loop_budget: on.loop_budget }
            }
            // F(2x2, 3x3) is one kernel, except on llvmpipe and where the workspace cannot be bound.
            Conv2dAlgorithm::Winograd2x2 if on.class != AdapterClass::Llvmpipe || !self.is_transformable(on, 2) => {
                // Per channel, sums may be computed again up to 4 times.
                Conv2dPlan::WinogradFused { parts: split_channels_innermost(on, channels, 6) }
            }
            Conv2dAlgorithm::Winograd2x2 => self.winograd(on, 2),
            Conv2dAlgorithm::Winograd4x4 => self.winograd(on, 4),
        }
    }

    /// Whether each output pixel comes from the input pixel at the same place, and pixels come in blocks.
    /// Parts of a batch begin at whole blocks then.
    fn is_pointwise(&self) -> bool {
        self.windows.iter().all(|window| {
            window.kernel == 1 && window.stride == 1 && window.padding_before == 0 && window.padding_after == 0
        }) && [self.out_rows, self.out_cols] == [self.input.rows, self.input.cols]
            && (self.out_rows * self.out_cols).is_multiple_of(BLOCK as usize)
    }

    fn winograd(&self, on: &Capabilities, tile: usize) -> Conv2dPlan {
        let layout = Layout::new(self, tile);
        let subgroup_tiles = (on.is_software() && on.has(wgpu::Features::SUBGROUP)).then(|| {
            let is_wide = layout.room > TILES && on.subgroup_min_size as usize >= LANES;
            if is_wide { 2 * TILES } else { TILES }
        });
        Conv2dPlan::Winograd { layout, subgroup_tiles }
    }

    /// Whether Winograd's algorithm for tiles of 2 or 4 rows can run through a workspace on such a device.
    fn is_transformable(&self, on: &Capabilities, tile: usize) -> bool {
        let layout = Layout::new(self, tile);
        let largest = layout.workspace_elements(self.is_packed).max(layout.packed_elements());
        self.in_channels() <= MAX_CHANNELS
            && largest as u64 * ELEMENT_BYTES <= on.limits.max_storage_buffer_binding_size
    }

    /// The number of products in the sum of one output element.
    pub(super) fn k(&self) -> usize {
        self.in_channels() * self.windows[0].kernel * self.windows[1].kernel
    }

    pub(super) fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }

    pub(super) fn in_channels(&self) -> usize {
        self.input.channels / self.groups
    }

    pub(super) fn algorithm_of_gpus(&self) -> Conv2dAlgorithm {
        if self.fills_tiles() { Conv2dAlgorithm::ImplicitGemm } else { Conv2dAlgorithm::Direct }
    }

    /// The algorithm with the least work. Small planes leave invocations without a tile, and transforms pay where many
    /// channels share them.
    pub(super) fn algorithm_of_software(&self, may_transform: impl Fn(usize) -> bool) -> Conv2dAlgorithm {
        if !self.is_dense_3x3() {
            return Conv2dAlgorithm::Patches;
        }
        let transformed = |tile| {
            if may_transform(tile) { Layout::new(self, tile).cost(self) } else { usize::MAX }
        };
        let may_be_fast = self.algorithm == Conv2dAlgorithm::Fast && self.in_channels() >= MIN_CHANNELS_4X4;
        let costs = [
            (self.patches_cost(), Conv2dAlgorithm::Patches),
            (self.tiles_cost(), Conv2dAlgorithm::Tiles),
            (transformed(2), Conv2dAlgorithm::Winograd2x2),
            (if may_be_fast { transformed(4) } else { usize::MAX }, Conv2dAlgorithm::Winograd4x4),
        ];
        // The first of equal costs.
        costs.into_iter().min_by_key(|(cost, _)| *cost).map_or(Conv2dAlgorithm::Patches, |(_, algorithm)| algorithm)
    }

    /// Whether there are enough products to fill tiles of a matrix. Few channels, as in depthwise convolutions, leave
    /// tiles empty.
    fn fills_tiles(&self) -> bool {
        self.group_out_channels() >= 16 && self.k() >= 16
    }

    fn plane_tiles(&self) -> usize {
        self.out_rows.div_ceil(TILE) * self.out_cols.div_ceil(TILE)
    }

    /// The channels that an invocation computes in tiles, into how many groups of invocations with channels of their
    /// own its workgroup is divided, and the workgroups of a plane.
    pub(super) fn tile_shape(&self) -> [usize; 3] {
        let channels = self.group_out_channels();
        let tile_channels = patch_channels(channels).min(8);
        let halves = if self.plane_tiles() <= LANES / 2 && channels > tile_channels { 2 } else { 1 };
        let workgroups = self.plane_tiles().div_ceil(LANES / halves) * channels.div_ceil(tile_channels * halves);
        [tile_channels, halves, workgroups]
    }

    /// The cost for all channels of all planes, in loads: loads of inputs and weights, and products.
    fn tiles_cost(&self) -> usize {
        let [channels, halves, workgroups] = self.tile_shape();
        let cost = 36 + 9 * halves + 144 * channels / PRODUCTS_PER_LOAD;
        self.input.batch * self.input.channels * workgroups * cost
    }

    fn patches_cost(&self) -> usize {
        let channels = self.group_out_channels();
        let in_patch = patch_channels(channels);
        let workgroups = (self.out_rows * self.out_cols).div_ceil(LANES * PATCH_PIXELS) * channels.div_ceil(in_patch);
        let cost = 9 * (8 + in_patch.div_ceil(8) + 8 * in_patch / PRODUCTS_PER_LOAD);
        self.input.batch * self.input.channels * workgroups * cost
    }
}
