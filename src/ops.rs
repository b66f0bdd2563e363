//! The list of operators.

mod avg_pool2d;
mod batch_norm;
mod conv2d;
mod conv_transpose2d;
mod cross_entropy;
mod flatten;
mod max_pool2d;
mod mse_loss;
mod roi_pool;
mod sigmoid;

pub use avg_pool2d::*;
pub use batch_norm::*;
pub use conv_transpose2d::*;
pub use conv2d::*;
pub use cross_entropy::*;
pub use flatten::*;
pub use max_pool2d::*;
pub use mse_loss::*;
pub use roi_pool::*;
pub use sigmoid::*;

/// How a loss is reduced over its elements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Not at all.
    None,
    /// To the mean.
    #[default]
    Mean,
    /// To the sum.
    Sum,
}

/// Every kernel of every operator, for tests that look at all of them.
#[cfg(feature = "gpu")]
#[doc(hidden)]
pub fn kernels() -> Vec<&'static crate::gpu::kernel::Kernel> {
    [
        avg_pool2d::KERNELS,
        batch_norm::KERNELS,
        conv2d::KERNELS,
        conv2d::WINOGRAD_KERNELS,
        conv_transpose2d::KERNELS,
        cross_entropy::KERNELS,
        max_pool2d::KERNELS,
        mse_loss::KERNELS,
        roi_pool::KERNELS,
        sigmoid::KERNELS,
    ]
    .concat()
}
