//! What the examples of training share.

pub mod checkpoint;
pub mod layers;
pub mod net;
pub mod nets;
pub mod trainer;
