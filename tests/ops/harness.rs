//! What all operators' tests share.

use std::collections::BTreeMap;

use wgdnn::cases::CaseArray;

mod activations;
#[cfg(feature = "gpu-core")]
mod algorithms;
mod data;
#[cfg(feature = "gpu-core")]
mod devices;
mod faults;
mod golden;
#[cfg(feature = "gpu-core")]
mod gradients;
mod refusals;
mod rows;

pub(crate) use activations::*;
#[cfg(feature = "gpu-core")]
pub use algorithms::*;
pub use data::*;
#[cfg(feature = "gpu-core")]
pub use devices::*;
pub(crate) use faults::*;
pub use golden::*;
#[cfg(feature = "gpu-core")]
pub use gradients::*;
pub use refusals::*;
pub(crate) use rows::*;

pub type Outputs = BTreeMap<String, CaseArray>;
