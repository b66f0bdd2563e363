//! All tests of operators, in one binary: each operator against PyTorch's results, on the CPU and on the GPU.

#[cfg(feature = "gpu-core")]
mod api;
mod bad_input;
#[cfg(feature = "gpu-core")]
mod barriers;
#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "gpu-core")]
mod by_name;
#[cfg(feature = "cli")]
mod check;
mod circles;
#[cfg(feature = "gpu-core")]
mod epilogues;
#[cfg(feature = "gpu-core")]
mod faces;
#[cfg(feature = "gpu-core")]
mod faults;
#[cfg(feature = "gpu-core")]
mod flat;
mod folding;
#[cfg(feature = "gpu-core")]
mod gradients;
mod harness;
#[cfg(feature = "gpu-core")]
mod in_place;
#[cfg(feature = "gpu-core")]
mod inspection;
#[cfg(feature = "gpu-core")]
mod interpreter;
#[cfg(feature = "gpu-core")]
mod keeping;
#[cfg(feature = "cli")]
mod kernels;
#[cfg(feature = "gpu-core")]
mod lint;
#[cfg(feature = "gpu-core")]
mod memory;
#[cfg(feature = "gpu-core")]
mod networks;
#[cfg(feature = "gpu-core")]
mod own;
mod params_serde;
#[cfg(feature = "gpu-core")]
mod properties;
#[cfg(feature = "gpu-core")]
mod races;
#[cfg(feature = "gpu-core")]
mod recorded;
mod report;
#[cfg(feature = "gpu-core")]
mod roles;
#[cfg(feature = "gpu-core")]
mod shaders;
#[cfg(feature = "gpu-core")]
mod sharing;
#[cfg(feature = "gpu-core")]
mod splitting;
#[cfg(feature = "gpu-core")]
mod start_up;
mod structure;
#[cfg(feature = "gpu-core")]
mod tensor;
#[cfg(feature = "gpu-core")]
mod threads;

#[cfg(feature = "gpu-core")]
mod training;

macro_rules! modules {
    ($($module:ident: $operator:ident),* $(,)?) => {
        $(mod $module;)*
    };
}
wgdnn::operators!(modules);
wgdnn::optimizers!(modules);
