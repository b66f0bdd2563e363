//! All tests of operators, in one binary: each operator against PyTorch's results, on the CPU and on the GPU.

#[cfg(feature = "gpu")]
mod api;
mod bad_input;
#[cfg(feature = "gpu")]
mod barriers;
#[cfg(feature = "cli")]
mod bench;
#[allow(dead_code, unused_imports)] // The program uses the rest.
#[path = "../../src/cli/cases/mod.rs"]
mod cases;
#[cfg(feature = "cli")]
mod check;
#[cfg(feature = "gpu")]
mod faults;
mod harness;
#[cfg(feature = "gpu")]
mod inspection;
#[cfg(feature = "gpu")]
mod interpreter;
#[cfg(feature = "gpu")]
mod keeping;
#[cfg(feature = "cli")]
mod kernels;
mod lint;
#[cfg(feature = "gpu")]
mod memory;
#[cfg(feature = "gpu")]
mod own;
#[cfg(feature = "gpu")]
mod properties;
#[cfg(feature = "gpu")]
mod races;
#[cfg(feature = "gpu")]
mod recorded;
mod report;

mod shaders;
#[cfg(feature = "gpu")]
mod sharing;
#[cfg(feature = "gpu")]
mod splitting;
#[cfg(feature = "gpu")]
mod start_up;
mod structure;
#[cfg(feature = "gpu")]
mod threads;

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
