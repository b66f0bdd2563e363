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
pub(crate) mod optimizer;
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

/// The list of operators that have gradients: each by the name of its files in `src/ops`, `src/reference` and `tests/ops`,
/// and by its type. It is passed to the macro named by the caller.
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
            dropout: Dropout,
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

/// The list of operators that have none: those that update parameters and their gradients. It is used like that of
/// `operators`.
#[doc(hidden)]
#[macro_export]
macro_rules! optimizers {
    ($then:ident) => {
        $then! {
            adam: Adam,
            clip_grad_norm: ClipGradNorm,
            sgd: Sgd,
            zero: Zero,
        }
    };
}

macro_rules! modules {
    ($($module:ident: $operator:ident),* $(,)?) => {
        $(
            mod $module;
            pub use $module::*;
        )*
    };
}
operators!(modules);
optimizers!(modules);

/// All kernels of all operators, for tests.
#[cfg(feature = "gpu-core")]
#[doc(hidden)]
pub fn kernels() -> Vec<&'static crate::gpu::kernel::Kernel> {
    use crate::operator::{Backward, Operator};
    macro_rules! forward {
        ($($module:ident: $operator:ident),* $(,)?) => { [$(<$operator as Operator>::KERNELS),*] };
    }
    macro_rules! backward {
        ($($module:ident: $operator:ident),* $(,)?) => { [$(<Backward<$operator> as Operator>::KERNELS),*] };
    }
    let (forward, backward, optimizers) = (operators!(forward), operators!(backward), optimizers!(forward));
    forward.into_iter().chain(backward).chain(optimizers).flatten().copied().flatten().collect()
}
