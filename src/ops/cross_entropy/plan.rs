//! How cross_entropy and its gradients are computed.

use std::fmt;

use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, UniformBytes};
use crate::ops::class_targets::ScoreRows;

/// How it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossEntropyPlan {
    /// How many invocations share a row.
    lanes: u32,
    workgroup_size: u32,
    /// Whether a row's classes are in blocks of 4.
    pub(super) blocks: bool,
}

impl CrossEntropyPlan {
    pub(super) fn new(rows: &ScoreRows, on: &Capabilities) -> Self {
        let [lanes, workgroup_size] = match rows.classes {
            0..=32 => [1, 64],
            // The size of a software adapter's vector, where barriers are slow.
            33..=65536 if on.is_software() => [8, 64],
            33..=4096 => [32, 64],
            _ => [256, 256],
        };
        let blocks = rows.inner == 1 && rows.classes.is_multiple_of(BLOCK as usize);
        CrossEntropyPlan { lanes, workgroup_size, blocks }
    }

    /// A dispatch for this many rows.
    pub(super) fn dispatch(
        &self,
        kernel: &'static Kernel,
        params: UniformBytes,
        arguments: &[Binding],
        rows: usize,
    ) -> Dispatch {
        let workgroups = rows.div_ceil((self.workgroup_size / self.lanes) as usize);
        Dispatch::per_workgroup(kernel, params, arguments, workgroups)
            .with_constant("LANES", self.lanes)
            .with_constant("WORKGROUP_SIZE", self.workgroup_size)
    }
}

impl fmt::Display for CrossEntropyPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = if self.blocks { ", classes in blocks of 4" } else { "" };
        write!(f, "{} of {} invocations a row{blocks}", self.lanes, self.workgroup_size)
    }
}
