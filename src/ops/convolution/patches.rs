//! Convolutions in patches of pixels by channels in registers, for software adapters.

use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Binding, Dispatch, Kernel, LoopParts, UniformBytes, split_loops};

/// The invocations of a workgroup that computes patches or tiles: as many as a software adapter's vector has elements.
pub(crate) const LANES: usize = 8;
/// The pixels of a patch.
pub(crate) const PATCH_PIXELS: usize = 8;

/// How many of these output channels an invocation computes.
pub(crate) fn patch_channels(channels: usize) -> usize {
    match channels {
        1 => 1,
        2..=4 => 4,
        5..=8 => 8,
        _ => 16,
    }
}

/// [`split_loops`] over channels, kernel rows and kernel columns, with the loop over channels innermost.
pub(crate) fn split_channels_innermost(on: &Capabilities, [channels, rows, cols]: [usize; 3], cost: u32) -> LoopParts {
    split_loops(on, [rows, cols, channels], cost)
        .into_iter()
        .map(|[rows, cols, channels]| [channels, rows, cols])
        .collect()
}

/// A dispatch that computes planes of these pixels and channels in patches.
pub(crate) fn patches(
    kernel: &'static Kernel,
    uniform: UniformBytes,
    arguments: &[Binding],
    [planes, pixels, channels]: [usize; 3],
) -> Dispatch {
    let patch_channels = patch_channels(channels);
    let workgroups = planes * pixels.div_ceil(LANES * PATCH_PIXELS) * channels.div_ceil(patch_channels);
    Dispatch::per_workgroup(kernel, uniform, arguments, workgroups)
        .with_constant("WORKGROUP_SIZE", LANES as u32)
        .with_constant("CHANNELS", patch_channels as u32)
}
