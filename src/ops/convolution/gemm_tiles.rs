//! How an implicit GEMM is cut into tiles.

use std::fmt;

/// How the products are shared among workgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GemmTiles {
    /// Invocations of a workgroup along each side of its tile.
    pub side: usize,
    /// 2 if an invocation computes 8 by 8 elements, 1 if 4 by 4.
    pub halves: usize,
    /// The steps of k in a slice in workgroup memory.
    pub tile_k: usize,
    /// How many workgroups share a tile.
    pub splits: usize,
}

/// The number of workgroups that keeps a large GPU busy: its multiprocessors.
const ENOUGH_WORKGROUPS: usize = 128;
/// With fewer products an element, a split costs more than it saves.
const MIN_SPLIT: usize = 256;

impl fmt::Display for GemmTiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = 4 * self.side * self.halves;
        write!(f, "tiles of {size} channels by {size} pixels, slices of {}", self.tile_k)?;
        if self.splits > 1 { write!(f, ", split in {}", self.splits) } else { Ok(()) }
    }
}

impl GemmTiles {
    /// The largest tiles of which there are enough; otherwise small ones, split.
    pub fn new([groups, channels, pixels, k]: [usize; 4]) -> Self {
        let workgroups = |size: usize| groups * channels.div_ceil(size) * pixels.div_ceil(size);
        let fits = |size: usize| workgroups(size) >= ENOUGH_WORKGROUPS && channels > size / 2;
        let [side, halves, tile_k] = if fits(128) {
            [16, 2, 8]
        } else if fits(64) {
            [16, 1, 16]
        } else {
            [8, 1, 16]
        };
        let tiles = workgroups(4 * side * halves);
        let wanted = ENOUGH_WORKGROUPS.div_ceil(tiles.max(1)).min(k / MIN_SPLIT).max(1);
        GemmTiles { side, halves, tile_k, splits: wanted }
    }
}
