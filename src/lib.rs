#![doc = include_str!("../README.md")]

mod error;
#[cfg(feature = "gpu")]
mod gpu;
mod ops;
pub mod reference;
mod shape;
mod window;

pub use error::{Error, Result};
#[cfg(feature = "gpu")]
#[doc(hidden)]
pub use gpu::kernel::{Access, Scalar};
#[cfg(feature = "gpu")]
pub use gpu::{Gpu, GpuOptions, recorder::Recorder, tensor::Element, tensor::Tensor};
pub use ops::*;
pub use shape::MAX_TENSOR_BYTES;
#[cfg(feature = "gpu")]
pub use wgpu;
