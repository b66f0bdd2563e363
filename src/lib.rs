//! Neural-network operators with PyTorch's semantics, on the GPU through wgpu and on the CPU.
//!
//! Each operator is a struct of parameters ([`Conv2dParams`]), a validated description on known shapes ([`Conv2d`]), and
//! a CPU reference ([`reference::conv2d`]). With the feature `gpu` it is also an eager call on tensors, and the
//! description can be recorded into a caller's own command encoder. With the feature `serde` parameters are read and
//! written by serde, under PyTorch's names and as PyTorch writes them.
//!
//! `gpu` enables all of wgpu's backends. To choose among them take the features `vulkan`, `metal`, `dx12`, `gles` and
//! `webgpu` instead. `gpu-core` enables none, for programs that choose by wgpu's own features.
#![cfg_attr(feature = "gpu-core", doc = include_str!("../README.md"))]
// Without the GPU the parameters' docs have no eager functions to link to.
#![cfg_attr(not(feature = "gpu-core"), allow(rustdoc::broken_intra_doc_links))]
// A browser has nothing that waits or polls.
#![cfg_attr(target_arch = "wasm32", allow(dead_code, unused_imports))]

mod activation;
#[cfg(feature = "cases")]
#[doc(hidden)]
pub mod cases;
mod error;
mod fold;
#[cfg(feature = "gpu-core")]
pub mod from_pytorch;
#[cfg(feature = "gpu-core")]
mod gpu;
#[cfg(feature = "gpu-core")]
pub mod gradients;
pub mod operator;
mod ops;
#[cfg(feature = "gpu-core")]
pub mod own_device;
#[cfg(feature = "serde")]
mod params_serde;
#[cfg(feature = "gpu-core")]
mod parts;
pub mod reference;
mod shape;
#[cfg(feature = "gpu-core")]
pub mod training;
mod window;

pub use activation::{Activation, Approximate};
pub use error::{Error, Result};
pub use fold::FoldedBatchNorm;
#[cfg(feature = "gpu-core")]
pub use fold::fold_batch_norm;
#[cfg(all(feature = "gpu-core", not(target_arch = "wasm32")))]
pub use fold::fold_batch_norm_blocking;
#[cfg(feature = "gpu-core")]
pub use gpu::{
    AdapterClass, AnyTensor, Gpu, GpuOptions, capabilities::Capabilities, flat::FlatTensors, pool::Memory,
    profile::Timing, recorder::Recorder, tensor::Element, tensor::Tensor,
};
#[cfg(feature = "gpu-core")]
#[doc(hidden)]
pub use gpu::{
    kernel::{Access, Binding, Dispatch, Kernel, Member},
    work::Part,
};
#[cfg(all(feature = "gpu-core", feature = "testing"))]
#[doc(hidden)]
pub use gpu::{locks, made};
pub use ndarray;
#[cfg(feature = "gpu-core")]
pub use operator::{AnyOperator, Operator, Role, Slot, Slots};
pub use operator::{Packed, PackedLayout};
pub use ops::*;
pub use shape::MAX_TENSOR_BYTES;
#[cfg(feature = "gpu-core")]
pub use wgpu;
pub use window::Padding;
