//! The operators.

// Shared by several operators.
pub(crate) mod areas;
pub(crate) mod broadcast;
pub(crate) mod class_targets;
#[cfg(feature = "gpu-core")]
mod convolution;
mod elementwise;
pub(crate) mod epilogue;
pub(crate) mod losses;
#[cfg(feature = "gpu-core")]
mod pooling;
mod reduction;
pub(crate) mod rows;
#[cfg(feature = "gpu-core")]
pub(crate) mod sums;

pub use elementwise::{IsActivation, UnaryBackwardInputs, UnaryGradients, UnaryInputs, UnaryOutputs};
#[cfg(feature = "gpu-core")]
pub use epilogue::{Finish, Finished};
pub use losses::{DifferenceBackwardInputs, LossGradients};
#[cfg(feature = "gpu-core")]
pub use losses::{LossBackwardPlan, LossPlan};
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
            binary_cross_entropy_with_logits: BinaryCrossEntropyWithLogits,
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
            smooth_l1_loss: SmoothL1Loss,
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
            let all = [$(<$operator as Operator>::KERNELS, <Backward<$operator> as Operator>::KERNELS),*];
            all.into_iter().flatten().copied().flatten().collect()
        }
    };
}
operators!(modules);
