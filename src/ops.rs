//! The operators.

// Shared by several operators.
pub(crate) mod areas;
mod broadcast;
pub(crate) mod class_targets;
#[cfg(feature = "gpu-core")]
mod convolution;
mod elementwise;
pub(crate) mod epilogue;
#[cfg(feature = "gpu-core")]
mod pooling;
mod reduction;
pub(crate) mod rows;

pub use elementwise::{IsActivation, UnaryBackwardInputs, UnaryGradients, UnaryInputs, UnaryOutputs};
#[cfg(feature = "gpu-core")]
pub use epilogue::{Finish, Finished};
pub use reduction::Reduction;
#[cfg(feature = "gpu-core")]
pub use rows::RowsPlan;
pub use rows::SoftmaxParams;

/// The only list of operators: each by the name of its files in `src/ops`, `src/reference` and `tests/ops`, and by its
/// type. It is passed to the macro named by the caller.
#[doc(hidden)]
#[macro_export]
macro_rules! operators {
    ($then:ident) => {
        $then! {
            adaptive_avg_pool2d: AdaptiveAvgPool2d,
            add: Add,
            avg_pool2d: AvgPool2d,
            batch_norm: BatchNorm,
            cat: Cat,
            conv2d: Conv2d,
            conv_transpose2d: ConvTranspose2d,
            cross_entropy: CrossEntropy,
            flatten: Flatten,
            gelu: Gelu,
            hardswish: Hardswish,
            interpolate: Interpolate,
            leaky_relu: LeakyRelu,
            linear: Linear,
            log_softmax: LogSoftmax,
            max_pool2d: MaxPool2d,
            mse_loss: MseLoss,
            nll_loss: NllLoss,
            pad: Pad,
            permute: Permute,
            prelu: Prelu,
            relu: Relu,
            relu6: Relu6,
            roi_pool: RoiPool,
            sigmoid: Sigmoid,
            silu: Silu,
            softmax: Softmax,
            tanh: Tanh,
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
            use $crate::operator::{Backward, Operator};
            let all = [
                $(<$operator as Operator>::KERNELS,)*
                <Backward<CrossEntropy> as Operator>::KERNELS,
                <Backward<LogSoftmax> as Operator>::KERNELS,
                <Backward<NllLoss> as Operator>::KERNELS,
                <Backward<Softmax> as Operator>::KERNELS,
            ];
            all.into_iter().flatten().copied().flatten().collect()
        }
    };
}
operators!(modules);
