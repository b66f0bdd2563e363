//! How conv2d by Winograd's algorithms is cut, what its workspace holds, and its cost on a software adapter.

use super::Conv2d;

/// The elements of a block.
const BLOCK: usize = 4;
/// The tiles that an invocation multiplies at once on software adapters; twice as many in subgroups of 8.
pub(super) const TILES: usize = 16;
/// The blocks of transformed tiles that are held at once, if this is enough for [`TILES`]: 16 MiB, which fit into
/// caches.
const MOST_BLOCKS: usize = 1 << 20;

/// The least input channels of a group for F(4x4, 3x3): the more products there are, the less the rounding of the
/// transforms matters.
pub(super) const MIN_CHANNELS_4X4: usize = 64;
/// The most input channels of a group: with more, a tile that must be computed directly takes too many iterations.
pub(super) const MAX_CHANNELS: usize = 7_900;

/// Where everything is in the workspace, in blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Rows and columns of a tile: 2 or 4.
    pub tile: usize,
    /// The elements of a transformed tile, and of a transformed kernel.
    pub positions: usize,
    /// The tiles of an image, along rows and columns.
    pub tile_rows: usize,
    pub tile_cols: usize,
    /// The number of tiles that there is room for.
    pub room: usize,
    /// The input channels of a group, rounded up.
    pub channel_room: usize,
    /// The blocks of output channels of a group.
    pub channel_blocks: usize,
    /// The distance between positions in transformed inputs, products and transformed kernels.
    pub inputs_step: usize,
    pub products_step: usize,
    pub kernels_step: usize,
    /// After the transformed inputs.
    pub products_begin: usize,
    pub bias_begin: usize,
    /// Transformed kernels come last, since they may be packed elsewhere.
    pub kernels_begin: usize,
}

/// The distance between positions that hold this many blocks: an odd number of cache lines, since an even distance
/// would map all positions to the same few lines of a cache.
fn step(blocks: usize) -> usize {
    blocks.saturating_add(7) / 8 * 8 + 4
}

impl Layout {
    /// With tiles of 2 or 4 rows and columns.
    pub(super) fn new(conv: &Conv2d, tile: usize) -> Self {
        let positions = (tile + 2) * (tile + 2);
        let [tile_rows, tile_cols] = [conv.out_rows, conv.out_cols].map(|length| length.div_ceil(tile));
        let channel_room = conv.in_channels().next_multiple_of(BLOCK);
        let channel_blocks = conv.group_out_channels().div_ceil(BLOCK);
        // The blocks that a tile takes at all positions.
        let tile_blocks = positions * conv.groups * (channel_room / BLOCK + channel_blocks);
        let tiles = conv.input.batch * tile_rows * tile_cols;
        let fitting = (MOST_BLOCKS / tile_blocks).max(2 * TILES);
        // The fewest passes that fit, filled evenly.
        let room = match tiles {
            ..=TILES => TILES,
            _ => tiles.div_ceil(tiles.div_ceil(fitting)).next_multiple_of(2 * TILES),
        };
        let inputs_step = step((conv.groups * channel_room).saturating_mul(room / BLOCK));
        let products_step = step((conv.groups * channel_blocks).saturating_mul(room));
        let kernels_step = step((conv.groups * channel_blocks).saturating_mul(channel_room));
        let products_begin = inputs_step.saturating_mul(positions);
        let bias_begin = products_begin.saturating_add(products_step.saturating_mul(positions));
        let kernels_begin = bias_begin.saturating_add(conv.groups * channel_blocks);
        Layout {
            tile,
            positions,
            tile_rows,
            tile_cols,
            room,
            channel_room,
            channel_blocks,
            inputs_step,
            products_step,
            kernels_step,
            products_begin,
            bias_begin,
            kernels_begin,
        }
    }

    /// The cost on a software adapter, in loads by all invocations of a vector, as measured on llvmpipe.
    pub(super) fn cost(&self, conv: &Conv2d) -> usize {
        let transformed = |invocations: usize, cost: usize| invocations.div_ceil(8) * self.positions * cost;
        let tiles = conv.input.batch * self.tile_rows * self.tile_cols;
        let kernels = transformed(self.channel_blocks * self.channel_room, 3);
        let inputs = transformed(self.channel_room * tiles.div_ceil(BLOCK), 5);
        let patches = self.positions * tiles.div_ceil(2 * TILES) * self.channel_blocks.div_ceil(16);
        let patch = if self.room > TILES { 15 } else { 11 };
        let products = transformed(self.channel_blocks * tiles, 4);
        conv.groups * (kernels + inputs + patch * patches * self.channel_room + products)
    }

    /// The number of elements of packed weights.
    pub(super) fn packed_elements(&self) -> usize {
        self.kernels_step.saturating_mul(self.positions * BLOCK)
    }

    pub(super) fn workspace_elements(&self, is_packed: bool) -> usize {
        let kernels = if is_packed { 0 } else { self.packed_elements() };
        self.kernels_begin.saturating_mul(BLOCK).saturating_add(kernels)
    }
}
