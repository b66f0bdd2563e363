//! What plans are made for: an adapter's class, features and limits, as plain values.

use crate::gpu::adapters::AdapterClass;

/// What an operator's plan depends on. These are plain values, so plans for an adapter can be made and listed without
/// the adapter.
///
/// ```
/// use wgdnn::{AdapterClass, Capabilities, wgpu};
///
/// let gpu = Capabilities::new(AdapterClass::Hardware, wgpu::Features::empty(), wgpu::Limits::defaults());
/// assert_eq!(gpu.class, AdapterClass::Hardware);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The class of the adapter.
    pub class: AdapterClass,
    /// The features that the device was made with.
    pub features: wgpu::Features,
    /// The limits that the device was made with.
    pub limits: wgpu::Limits,
    /// The smallest number of invocations in a subgroup.
    pub subgroup_min_size: u32,
    /// How many loop iterations one invocation may run in all. llvmpipe silently ends loops after 65,535 iterations;
    /// half of that leaves room for loops that are not counted.
    pub loop_budget: u32,
}

impl Capabilities {
    /// The capabilities of an adapter of this class.
    pub fn new(class: AdapterClass, features: wgpu::Features, limits: wgpu::Limits) -> Self {
        let loop_budget = if class == AdapterClass::Llvmpipe { 32_000 } else { u32::MAX };
        let subgroup_min_size = if class == AdapterClass::Llvmpipe { 8 } else { 4 };
        Capabilities { class, features, limits, subgroup_min_size, loop_budget }
    }

    pub(super) fn of_device(device: &wgpu::Device) -> Self {
        let info = device.adapter_info();
        let capabilities = Self::new(AdapterClass::new(&info), device.features(), device.limits());
        Capabilities { subgroup_min_size: info.subgroup_min_size, ..capabilities }
    }

    /// Whether the device has an optional feature.
    pub(crate) fn has(&self, feature: wgpu::Features) -> bool {
        self.features.contains(feature)
    }

    /// Whether the adapter runs on the CPU. Other kernels are fast there than on a GPU.
    pub(crate) fn is_software(&self) -> bool {
        self.class != AdapterClass::Hardware
    }
}
