//! How an implicit GEMM is cut into tiles. Workspaces depend on it, so it depends on shapes alone.

/// How the products are shared among workgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GemmTiles {
    /// Invocations of a workgroup along each side of its tile.
    pub side: usize,
    /// 2 if an invocation computes 8 by 8 elements, 1 if 4 by 4.
    pub halves: usize,
    /// How many products of an element a slice in workgroup memory holds.
    pub tile_k: usize,
    /// How many workgroups share a tile.
    pub splits: usize,
}

/// As many workgroups as a large GPU has multiprocessors.
const ENOUGH_WORKGROUPS: usize = 128;
/// Products of an element below which a split is not worth its sum.
const MIN_SPLIT: usize = 256;

impl GemmTiles {
    /// The largest tiles of which there are enough; or small ones, split.
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
