//! Which algorithm [`Conv2dAlgorithm::Auto`](super::Conv2dAlgorithm::Auto) stands for, on software adapters and on GPUs.
//! Workspaces depend on it, so it depends on shapes alone.

use super::winograd::{Layout, MAX_CHANNELS};
use super::{Conv2d, Conv2dAlgorithm};

/// Invocations of a workgroup that computes patches or tiles: a vector of a software adapter's.
pub(super) const LANES: usize = 8;
/// The pixels of a patch.
pub(super) const PATCH_PIXELS: usize = 8;
/// Rows and columns of a tile.
const TILE: usize = 4;
/// How many multiplications take as long as a load, on a software adapter.
const PRODUCTS_PER_LOAD: usize = 50;

/// How many of these output channels an invocation computes.
pub(super) fn patch_channels(channels: usize) -> usize {
    match channels {
        1 => 1,
        2..=4 => 4,
        5..=8 => 8,
        _ => 16,
    }
}

impl Conv2d {
    pub(super) fn algorithm_of_gpus(&self) -> Conv2dAlgorithm {
        if self.fills_tiles() { Conv2dAlgorithm::ImplicitGemm } else { Conv2dAlgorithm::Direct }
    }

    /// What has the least to do. Small planes leave invocations without a tile, and transforms are worth it where many
    /// channels share them.
    pub(super) fn algorithm_of_software(&self, may_transform: bool) -> Conv2dAlgorithm {
        if !self.is_dense_3x3() {
            return Conv2dAlgorithm::Patches;
        }
        let [patches, tiles] = [self.patches_cost(), self.tiles_cost()];
        if may_transform && self.in_channels() <= MAX_CHANNELS && Layout::new(self, 2).cost(self) < patches.min(tiles) {
            Conv2dAlgorithm::Winograd2x2
        } else if tiles < patches {
            Conv2dAlgorithm::Tiles
        } else {
            Conv2dAlgorithm::Patches
        }
    }

    /// Whether there are products enough for tiles of a matrix: few channels, as in depthwise convolutions, leave them empty.
    fn fills_tiles(&self) -> bool {
        self.group_out_channels() >= 16 && self.k() >= 16
    }

    fn plane_tiles(&self) -> usize {
        self.out_rows.div_ceil(TILE) * self.out_cols.div_ceil(TILE)
    }

    /// Channels that an invocation computes in tiles, into how many parts its workgroup is cut, each with channels of its
    /// own, and the workgroups of a plane.
    pub(super) fn tile_shape(&self) -> [usize; 3] {
        let channels = self.group_out_channels();
        let tile_channels = patch_channels(channels).min(8);
        let halves = if self.plane_tiles() <= LANES / 2 && channels > tile_channels { 2 } else { 1 };
        let workgroups = self.plane_tiles().div_ceil(LANES / halves) * channels.div_ceil(tile_channels * halves);
        [tile_channels, halves, workgroups]
    }

    /// Of all channels of all planes: loads of the input and of weights, and products, in loads.
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
