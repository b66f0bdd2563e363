//! Kernels that load weights for every invocation, and their twins that share loads in subgroups.

/// Kernels of one file that binds input, weight, bias and output: the portable ones load weights for every invocation,
/// the others share loads in subgroups. Each without and with an epilogue.
macro_rules! weights_kernels {
    ($file:literal, $entry_point:literal, $uniform:ty) => {
        [
            $crate::ops::epilogue::finished_kernels!(
                $file,
                $entry_point,
                $uniform,
                [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
            ),
            [
                $crate::gpu::kernel::kernel!(
                    $file with "weights_subgroup" as concat!($file, "_subgroup"),
                    $entry_point,
                    $uniform,
                    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
                ),
                $crate::gpu::kernel::kernel!(
                    $file with "weights_subgroup" "epilogue" as concat!($file, "_epilogue_subgroup"),
                    $entry_point,
                    $uniform,
                    [(1, Read), (2, Read), (3, Read), (4, ReadWrite), (6, Read), (7, Read)]
                ),
            ],
        ]
    };
}
pub(crate) use weights_kernels;
