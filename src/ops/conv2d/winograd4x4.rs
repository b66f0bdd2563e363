//! How conv2d by Winograd's F(4x4, 3x3) is cut, what its workspace holds, and when a software adapter gains by it.
//! Workspaces depend on it, so it depends on shapes alone.

use super::Conv2d;

/// Rows and columns of a tile.
const TILE: usize = 4;
/// Elements of a transformed tile, and of a transformed kernel.
pub(super) const POSITIONS: usize = 36;
/// Elements are loaded and stored so many at once.
const BLOCK: usize = 4;
/// Tiles that an invocation multiplies at once on software adapters, or twice as many.
pub(super) const TILES: usize = 16;
/// Blocks of transformed tiles that are held at once, if that is enough for [`TILES`]: 16 MiB, which caches may hold.
const MOST_BLOCKS: usize = 1 << 20;

/// Input channels of a group from which on its error is within 4 times that of PyTorch's float32, as every algorithm's is:
/// the transforms' own roundings weigh less the more products there are.
pub(super) const MIN_CHANNELS: usize = 64;
/// Input channels of a group beyond which a tile that must be computed directly would take too many iterations.
pub(super) const MAX_CHANNELS: usize = 7_900;

/// Where things are in the workspace, in blocks.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "gpu"), expect(dead_code, reason = "only dispatches need all of it"))]
pub(super) struct Layout {
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

/// The distance of positions that hold so many blocks. An odd number of cache lines, or all 36 would fall on the same few
/// lines of a cache.
fn step(blocks: usize) -> usize {
    blocks.saturating_add(7) / 8 * 8 + 4
}

impl Layout {
    pub fn new(conv: &Conv2d) -> Self {
        let [tile_rows, tile_cols] = [conv.out_rows, conv.out_cols].map(|length| length.div_ceil(TILE));
        let channel_room = conv.in_channels().next_multiple_of(BLOCK);
        let channel_blocks = conv.group_out_channels().div_ceil(BLOCK);
        // Blocks that a tile takes at all positions, and how many fit.
        let tile_blocks = POSITIONS * conv.groups * (channel_room / BLOCK + channel_blocks);
        let tiles = conv.input.batch * tile_rows * tile_cols;
        let room = match tiles {
            ..=TILES => TILES,
            _ => (MOST_BLOCKS / tile_blocks / (2 * TILES)).clamp(1, tiles.div_ceil(2 * TILES)) * 2 * TILES,
        };
        let inputs_step = step((conv.groups * channel_room).saturating_mul(room / BLOCK));
        let products_step = step((conv.groups * channel_blocks).saturating_mul(room));
        let kernels_step = step((conv.groups * channel_blocks).saturating_mul(channel_room));
        let products_begin = inputs_step.saturating_mul(POSITIONS);
        let bias_begin = products_begin.saturating_add(products_step.saturating_mul(POSITIONS));
        let kernels_begin = bias_begin.saturating_add(conv.groups * channel_blocks);
        Layout {
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
        let vectors = |invocations: usize| invocations.div_ceil(8);
        let tiles = conv.input.batch * self.tile_rows * self.tile_cols;
        let kernels = 120 * vectors(self.channel_blocks * self.channel_room);
        let inputs = 185 * vectors(self.channel_room * tiles.div_ceil(BLOCK));
        let patches = POSITIONS * tiles.div_ceil(2 * TILES) * self.channel_blocks.div_ceil(16);
        let products = 135 * vectors(self.channel_blocks * tiles);
        conv.groups * (kernels + inputs + 15 * patches * self.channel_room + products)
    }

    /// Elements of packed weights.
    pub fn packed_elements(&self) -> usize {
        self.kernels_step.saturating_mul(POSITIONS * BLOCK)
    }

    pub fn workspace_elements(&self, is_packed: bool) -> usize {
        let kernels = if is_packed { 0 } else { self.packed_elements() };
        self.kernels_begin.saturating_mul(BLOCK).saturating_add(kernels)
    }
}
