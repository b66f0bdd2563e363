//! Neural-network operators with PyTorch's semantics, on the GPU through wgpu and on the CPU.
//!
//! Each operator is a struct of parameters ([`Conv2dParams`]), a validated description on known shapes ([`Conv2d`]), and
//! a CPU reference ([`reference::conv2d`]). With the feature `gpu` it is also an eager call on tensors, and the
//! description can be recorded into a caller's own command encoder.
#![cfg_attr(feature = "gpu", doc = include_str!("../README.md"))]
// Without the GPU there are no eager calls for the parameters' texts to link to.
#![cfg_attr(not(feature = "gpu"), allow(rustdoc::broken_intra_doc_links))]
// What waits and polls is not there in a browser.
#![cfg_attr(target_arch = "wasm32", allow(dead_code, unused_imports))]

mod error;
mod gemm_tiles;
#[cfg(feature = "gpu")]
mod gpu;
mod ops;
#[cfg(feature = "gpu")]
pub mod own_device;
pub mod reference;
mod shape;
#[cfg(feature = "gpu")]
mod validation;
mod window;

pub use error::{Error, Result};
#[cfg(feature = "gpu")]
#[doc(hidden)]
pub use gpu::{
    AdapterClass,
    kernel::{Access, Dispatch, Kernel, Scalar},
};
#[cfg(feature = "gpu")]
pub use gpu::{
    AnyTensor, Gpu, GpuOptions, operator::Operator, pool::Memory, profile::Timing, recorder::Recorder, tensor::Element,
    tensor::Tensor,
};
pub use ops::*;
pub use shape::MAX_TENSOR_BYTES;
#[cfg(feature = "gpu")]
pub use wgpu;
