//! Kernels that load weights for every invocation, and their twins that share loads in subgroups.

/// Two [`Kernel`]s of one file that binds input, weight, bias and output: the portable one loads weights for every
/// invocation, the other shares loads in subgroups.
macro_rules! weights_kernels {
    ($file:literal, $entry_point:literal, $uniform:ty) => {
        [
            $crate::gpu::kernel::kernel!(
                $file,
                $entry_point,
                $uniform,
                [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
            ),
            $crate::gpu::kernel::kernel!(
                $file with "weights_subgroup" as concat!($file, "_subgroup"),
                $entry_point,
                $uniform,
                [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
            ),
        ]
    };
}
pub(crate) use weights_kernels;
