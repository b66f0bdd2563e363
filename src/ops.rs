//! The operators.

// Shared by several operators.
#[cfg(feature = "gpu-core")]
mod convolution;
mod elementwise;
#[cfg(feature = "gpu-core")]
mod pooling;
mod reduction;

pub use elementwise::{UnaryInputs, UnaryOutputs};
pub use reduction::Reduction;

/// The only list of operators: each by the name of its files in `src/ops`, `src/reference` and `tests/ops`, and by its
/// type. It is passed to the macro named by the caller.
#[doc(hidden)]
#[macro_export]
macro_rules! operators {
    ($then:ident) => {
        $then! {
            avg_pool2d: AvgPool2d,
            batch_norm: BatchNorm,
            conv2d: Conv2d,
            conv_transpose2d: ConvTranspose2d,
            cross_entropy: CrossEntropy,
            flatten: Flatten,
            max_pool2d: MaxPool2d,
            mse_loss: MseLoss,
            relu: Relu,
            roi_pool: RoiPool,
            sigmoid: Sigmoid,
        }
    };
}

macro_rules! modules {
    ($($module:ident: $operator:ident),* $(,)?) => {
        $(
            mod $module;
            pub use $module::*;
        )*

        /// All kernels of all operators, for tests.
        #[cfg(feature = "gpu-core")]
        #[doc(hidden)]
        pub fn kernels() -> Vec<&'static $crate::gpu::kernel::Kernel> {
            [$(<$operator as $crate::operator::Operator>::KERNELS),*].concat()
        }
    };
}
operators!(modules);
