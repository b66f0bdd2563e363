//! How conv2d by Winograd's algorithms is cut, what its workspace holds, and what it costs a software adapter. Workspaces
//! depend on it, so it depends on shapes alone.

use super::Conv2d;

/// Elements are loaded and stored so many at once.
const BLOCK: usize = 4;
/// Tiles that an invocation multiplies at once on software adapters, or twice as many.
pub(super) const TILES: usize = 16;
/// Blocks of transformed tiles that are held at once, if that is enough for [`TILES`]: 16 MiB, which caches may hold.
const MOST_BLOCKS: usize = 1 << 20;

/// Input channels of a group from which on F(4x4, 3x3) is taken: its transforms' own roundings weigh less the more products
/// there are.
pub(super) const MIN_CHANNELS_4X4: usize = 64;
/// Input channels of a group beyond which a tile that must be computed directly would take too many iterations.
pub(super) const MAX_CHANNELS: usize = 7_900;

/// Where things are in the workspace, in blocks.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "only dispatches need all of it"))]
pub(super) struct Layout {
    /// Elements of a transformed tile, and of a transformed kernel.
    pub positions: usize,
    /// Of an image.
    pub tile_rows: usize,
    pub tile_cols: usize,
    /// For how many tiles there is room.
    pub room: usize,
    /// A group's input channels, rounded up.
    pub channel_room: usize,
    /// Blocks of a group's output channels.
    pub channel_blocks: usize,
    /// How far positions are apart in transformed inputs, products and transformed kernels.
    pub inputs_step: usize,
    pub products_step: usize,
    pub kernels_step: usize,
    /// Behind the transformed inputs.
    pub products_begin: usize,
    pub bias_begin: usize,
    /// Transformed kernels are the last, for they may be packed elsewhere.
    pub kernels_begin: usize,
}

/// The distance of positions that hold so many blocks. An odd number of cache lines, or all would fall on the same few lines
/// of a cache.
fn step(blocks: usize) -> usize {
    blocks.saturating_add(7) / 8 * 8 + 4
}

impl Layout {
    /// With tiles of so many rows and columns: 2 or 4.
    pub fn new(conv: &Conv2d, tile: usize) -> Self {
        let positions = (tile + 2) * (tile + 2);
        let [tile_rows, tile_cols] = [conv.out_rows, conv.out_cols].map(|length| length.div_ceil(tile));
        let channel_room = conv.in_channels().next_multiple_of(BLOCK);
        let channel_blocks = conv.group_out_channels().div_ceil(BLOCK);
        // Blocks that a tile takes at all positions.
        let tile_blocks = positions * conv.groups * (channel_room / BLOCK + channel_blocks);
        let tiles = conv.input.batch * tile_rows * tile_cols;
        let fitting = (MOST_BLOCKS / tile_blocks).max(2 * TILES);
        // As many passes as it takes, all of them full.
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

    /// What it takes on a software adapter, in loads by all invocations of a vector, as measured on llvmpipe.
    pub fn cost(&self, conv: &Conv2d) -> usize {
        let transformed = |invocations: usize, cost: usize| invocations.div_ceil(8) * self.positions * cost;
        let tiles = conv.input.batch * self.tile_rows * self.tile_cols;
        let kernels = transformed(self.channel_blocks * self.channel_room, 3);
        let inputs = transformed(self.channel_room * tiles.div_ceil(BLOCK), 5);
        let patches = self.positions * tiles.div_ceil(2 * TILES) * self.channel_blocks.div_ceil(16);
        let patch = if self.room > TILES { 15 } else { 11 };
        let products = transformed(self.channel_blocks * tiles, 4);
        conv.groups * (kernels + inputs + patch * patches * self.channel_room + products)
    }

    /// Elements of packed weights.
    pub fn packed_elements(&self) -> usize {
        self.kernels_step.saturating_mul(self.positions * BLOCK)
    }

    pub fn workspace_elements(&self, is_packed: bool) -> usize {
        let kernels = if is_packed { 0 } else { self.packed_elements() };
        self.kernels_begin.saturating_mul(BLOCK).saturating_add(kernels)
    }
}
