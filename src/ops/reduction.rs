//! What batch_norm and the losses share: sums over many elements.

/// How a loss is reduced over its elements. Default: `Mean`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reduction {
    /// The loss of each element, unreduced.
    None,
    /// The mean of the losses.
    #[default]
    Mean,
    /// The sum of the losses.
    Sum,
}

#[cfg(feature = "serde")]
crate::params_serde::texts!(Reduction: "none" => None, "mean" => Mean or "sum" => Sum);

#[cfg(feature = "gpu-core")]
pub(crate) use on_gpu::reduction_parts;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use crate::gpu::kernel::{Binding, Dispatch, Kernel, UniformBytes};

    /// The invocations of a workgroup that computes one partial sum.
    const REDUCTION_LANES: usize = 64;

    /// The number of elements that each of them adds.
    const REDUCTION_ITEMS: usize = 32;

    /// The number of partial sums of a reduction over `count` elements.
    pub(crate) fn reduction_parts(count: usize) -> usize {
        count.div_ceil(REDUCTION_LANES * REDUCTION_ITEMS)
    }

    impl Dispatch {
        /// A dispatch of a reduction: each workgroup writes one partial sum.
        pub(crate) fn reduction(
            kernel: &'static Kernel,
            uniform: UniformBytes,
            arguments: &[Binding],
            workgroups: usize,
        ) -> Self {
            Self::per_workgroup(kernel, uniform, arguments, workgroups)
                .with_constant("WORKGROUP_SIZE", REDUCTION_LANES as u32)
                .with_constant("ITEMS", REDUCTION_ITEMS as u32)
        }
    }
}
