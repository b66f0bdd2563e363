//! How the kernels of batch_norm go through planes.

use crate::gpu::kernel::{BLOCK, Binding, Dispatch, Kernel, UniformBytes, WORKGROUP_SIZE};

/// Smaller planes leave most of a workgroup idle.
const SMALL_PLANE: usize = 32;

/// How many elements or blocks of a larger plane an invocation computes.
const PLANE_ITEMS: usize = 8;

/// What an invocation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    /// An element, of small planes.
    Elements,
    /// Some elements of a plane.
    Planes,
    /// Some blocks of 4 elements of a plane.
    Blocks,
}

impl Walk {
    pub(super) fn of_planes(inner: usize) -> Self {
        match inner.is_multiple_of(BLOCK as usize) {
            _ if inner < SMALL_PLANE => Walk::Elements,
            false => Walk::Planes,
            true => Walk::Blocks,
        }
    }

    /// The dispatch that goes through all planes, by the kernel for elements, planes or blocks.
    pub(super) fn dispatch(
        self,
        [elements, planes, blocks]: [&'static Kernel; 3],
        params: UniformBytes,
        arguments: &[Binding],
        [plane_count, inner]: [usize; 2],
    ) -> Dispatch {
        let (kernel, plane_items) = match self {
            Walk::Elements => return Dispatch::per_element(elements, params, arguments, plane_count * inner),
            Walk::Planes => (planes, inner),
            Walk::Blocks => (blocks, inner / BLOCK as usize),
        };
        let parts = plane_items.div_ceil(WORKGROUP_SIZE as usize * PLANE_ITEMS);
        Dispatch::per_workgroup(kernel, params, arguments, plane_count * parts)
            .with_constant("WORKGROUP_SIZE", WORKGROUP_SIZE)
            .with_constant("PLANE_ITEMS", PLANE_ITEMS as u32)
    }
}
