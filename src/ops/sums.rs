//! Sums over channels, which gradients of biases and slopes are.

use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, WORKGROUP_SIZE, kernel, uniform};

uniform! {
    pub(crate) struct SumParams {
        walk_lengths: [u32; 4],
        walk_strides: [u32; 4],
        channels: u32,
        count: u32,
        inner: u32,
        lanes: u32,
        step_outer: u32,
        step_inner: u32,
        source_base: u32,
        target_base: u32,
        workspace_base: u32,
        partial_channel: u32,
        partial_lane: u32,
        adds: u32,
        factor: f32,
        hidden_zero: u32,
    }
}

/// The kernels that add terms: of elements, of blocks and, where `inner` can be 1, of columns, of blocks of columns. `$terms`
/// is the part of the shader that has the terms, of arrays with these bindings.
macro_rules! sum_kernels {
    ($terms:literal as $module:literal, $storage:tt) => {
        $crate::ops::sums::sum_kernels!(
            $terms as $module, ["elements", "blocks", "columns", "columns_of_blocks"], $storage
        )
    };
    ($terms:literal as $module:literal, [$($entry_point:literal),*], $storage:tt) => {
        [$($crate::gpu::kernel::kernel!(
            "sums" with $terms as $module, $entry_point, $crate::ops::sums::SumParams, $storage
        )),*]
    };
}
pub(crate) use sum_kernels;

/// Those that add elements.
pub(crate) static TERMS: [Kernel; 4] = sum_kernels!("sum_terms" as "sums", [(1, Read), (3, ReadWrite)]);
/// The kernel that adds partial sums.
static FINISH: Kernel = kernel!("sums_finish", "finish", SumParams, [(3, ReadWrite), (4, ReadWrite)]);

/// The elements of a channel that one invocation adds.
const ITEMS: usize = 64;
/// The most partial sums of a channel, so that no loop is longer than software adapters run.
const MOST_LANES: usize = 1 << 20;
/// As many partial sums of a channel are added by one invocation, and more by a workgroup.
const FEW_LANES: usize = 32;

/// What is done with sums, and where their terms are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SumStore {
    /// Whether they are added to what is there.
    pub adds: bool,
    /// What they are multiplied by.
    pub factor: f32,
    /// For walk_terms: of the array's dimensions, innermost last, the length, and the distance of one step in the source.
    pub walk: [[u32; 4]; 2],
}

impl SumStore {
    /// Sums that are written, or added to what is there.
    pub fn new(adds: bool) -> Self {
        SumStore { adds, factor: 1.0, walk: [[0; 4]; 2] }
    }
}

/// The sums of an array [outer, channels, inner] into [channels], by pairs and in a fixed order, which depends on these
/// numbers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChannelSums {
    pub outer: usize,
    pub channels: usize,
    pub inner: usize,
}

impl ChannelSums {
    /// All kernels of sums of elements.
    pub const KERNELS: [&'static [Kernel]; 2] = [&TERMS, Self::FINISH];
    /// The kernel that all sums share.
    pub const FINISH: &'static [Kernel] = std::slice::from_ref(&FINISH);

    /// How many invocations share a channel.
    fn lanes(&self) -> usize {
        (self.outer * self.inner).div_ceil(ITEMS).clamp(1, MOST_LANES)
    }

    /// The elements of workspace; 0 if one dispatch suffices. Fewer of outer need no more.
    pub fn workspace(&self) -> usize {
        match self.lanes() {
            1 => 0,
            lanes => 2 * self.channels * lanes,
        }
    }

    /// How many roundings bring a sum as far from the exact one, at most.
    pub fn roundings() -> usize {
        4
    }

    /// The dispatches that write the sums to `target`, or add them to it. The workspace begins at `workspace_offset` in its
    /// binding, in elements.
    pub fn dispatches(
        &self,
        source: Binding,
        target: Binding,
        workspace: Binding,
        workspace_offset: u32,
        adds: bool,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let workspace = (workspace, workspace_offset);
        self.dispatches_of(&TERMS, &[source], target, workspace, SumStore::new(adds), add);
    }

    /// The dispatches of [`sum_kernels`] of other terms. All arrays of `sources` begin alike.
    pub fn dispatches_of(
        &self,
        kernels: &'static [Kernel],
        sources: &[Binding],
        target: Binding,
        (workspace, workspace_offset): (Binding, u32),
        store: SumStore,
        add: &mut dyn FnMut(Dispatch),
    ) {
        // All elements of a single channel lie next to each other.
        let ChannelSums { outer, channels, inner } = match self.channels {
            0 => return,
            1 => ChannelSums { outer: 1, channels: 1, inner: self.outer * self.inner },
            _ => *self,
        };
        let (lanes, base) = (self.lanes(), sources[0].base);
        let are_columns = inner == 1;
        let row = if are_columns { channels } else { inner };
        // Of nothing there are no blocks.
        let in_blocks = row * outer > 0 && row.is_multiple_of(BLOCK as usize) && base.is_multiple_of(BLOCK);
        let width = if in_blocks { BLOCK as usize } else { 1 };
        let of_row = (inner / width).max(1);
        let params = SumParams {
            walk_lengths: store.walk[0],
            walk_strides: store.walk[1],
            channels: channels as u32,
            count: if are_columns { outer } else { outer * inner / width } as u32,
            inner: of_row as u32,
            lanes: lanes as u32,
            step_outer: (lanes / of_row) as u32,
            step_inner: (lanes % of_row) as u32,
            source_base: base / width as u32,
            target_base: target.base,
            workspace_base: workspace.base + workspace_offset,
            partial_channel: if are_columns { 1 } else { lanes } as u32,
            partial_lane: if are_columns { channels } else { 1 } as u32,
            adds: u32::from(store.adds),
            factor: store.factor,
            hidden_zero: 0,
        };
        let results = if lanes == 1 { target } else { workspace };
        let arguments: smallvec::SmallVec<[Binding; 4]> = sources.iter().copied().chain([results]).collect();
        let invocations = if are_columns { channels / width * lanes } else { channels * lanes };
        let kernel = &kernels[2 * usize::from(are_columns) + usize::from(in_blocks)];
        add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, invocations));
        if lanes > 1 {
            let own = if lanes <= FEW_LANES { 1 } else { WORKGROUP_SIZE };
            let workgroups = channels.div_ceil((WORKGROUP_SIZE / own) as usize);
            let finish = Dispatch::per_workgroup(&FINISH, params.to_bytes(), &[target, workspace], workgroups);
            add(finish.with_constant("WORKGROUP_SIZE", WORKGROUP_SIZE).with_constant("OWN", own));
        }
    }
}
