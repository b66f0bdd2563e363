//! Adapters, and the devices made on them.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// The optional features that are used if the adapter has them.
const USEFUL_FEATURES: wgpu::Features = wgpu::Features::SHADER_FLOAT32_ATOMIC
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::PIPELINE_CACHE);

/// The class of an adapter, which kernels are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterClass {
    /// A GPU.
    Hardware,
    /// Mesa's software adapters, lavapipe and llvmpipe. They compute in the CPU's vectors, and end long loops silently.
    Llvmpipe,
    /// Another adapter that runs on the CPU, such as SwiftShader. Its compiler takes minutes for very long kernels.
    Cpu,
}

impl AdapterClass {
    pub(super) fn new(info: &wgpu::AdapterInfo) -> Self {
        let name = format!("{} {}", info.name, info.driver).to_lowercase();
        if name.contains("llvmpipe") {
            AdapterClass::Llvmpipe
        } else if info.device_type == wgpu::DeviceType::Cpu {
            AdapterClass::Cpu
        } else {
            AdapterClass::Hardware
        }
    }
}

/// Which adapter [`Gpu::with_options`] takes, and which features and limits it requests.
///
/// ```
/// use wgdnn::{GpuOptions, wgpu};
///
/// let options = GpuOptions::default().adapter("vulkan").portable(true).limits(wgpu::Limits::downlevel_defaults());
/// assert_eq!(options.adapter.as_deref(), Some("vulkan"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GpuOptions {
    /// A part of the adapter's name, backend or driver, in any case. Default: `None`, which takes the fastest kind of
    /// adapter.
    pub adapter: Option<String>,
    /// Request no optional feature, so that every operator runs its portable variant. Default: false.
    pub portable: bool,
    /// Request these limits, to test what works under them. Default: `None`, which requests all that the adapter has.
    pub limits: Option<wgpu::Limits>,
}

impl GpuOptions {
    /// Sets [`GpuOptions::adapter`](#structfield.adapter).
    pub fn adapter(self, part_of_name: impl Into<String>) -> Self {
        GpuOptions { adapter: Some(part_of_name.into()), ..self }
    }

    /// Sets [`GpuOptions::portable`](#structfield.portable).
    pub fn portable(self, portable: bool) -> Self {
        GpuOptions { portable, ..self }
    }

    /// Sets [`GpuOptions::limits`](#structfield.limits).
    pub fn limits(self, limits: wgpu::Limits) -> Self {
        GpuOptions { limits: Some(limits), ..self }
    }
}

/// Reports an error that no scope of this crate caught, so that the caller's own code caused it.
#[cfg(not(target_arch = "wasm32"))]
fn report_callers_error(error: wgpu::Error) {
    let text =
        format!("wgpu refused a call that the program made itself on wgdnn's device, not one of wgdnn's: {error}");
    if log::log_enabled!(log::Level::Error) {
        log::error!("{text}");
    } else {
        eprintln!("{text}");
    }
}

fn new_instance(backends: wgpu::Backends) -> wgpu::Instance {
    wgpu::Instance::new(wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() })
}

/// One instance of all backends but OpenGL. With one instance, a resource given to the wrong device is an error; with
/// several, wgpu panics.
fn primary_instance() -> wgpu::Instance {
    #[cfg(not(target_arch = "wasm32"))]
    {
        static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
        INSTANCE.get_or_init(|| new_instance(wgpu::Backends::PRIMARY)).clone()
    }
    #[cfg(target_arch = "wasm32")]
    new_instance(wgpu::Backends::PRIMARY)
}

impl Gpu {
    /// A device on the best adapter: a discrete GPU before an integrated one before a software one.
    ///
    /// Errors in your own calls to wgpu on this device are logged as such, or printed if no logger is set; they fail no
    /// call of this crate. To get them yourself set a handler with `gpu.device().on_uncaptured_error(..)`; this crate
    /// does not depend on its own. (In a browser this crate's errors reach that handler too.)
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    pub async fn new() -> Result<Self> {
        Self::with_options(&GpuOptions::default()).await
    }

    /// [`Gpu::new`], blocking until it is done.
    ///
    /// # Errors
    /// As [`Gpu::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new_blocking() -> Result<Self> {
        pollster::block_on(Self::new())
    }

    /// A device on the adapter that `options` select. It has all of the adapter's limits unless `options` set others.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    pub async fn with_options(options: &GpuOptions) -> Result<Self> {
        if wgpu::Instance::enabled_backend_features().is_empty() {
            let reason = "wgpu has no backend for this platform: enable one of wgdnn's features, such as vulkan";
            return Err(Error::NoDevice { reason: reason.into() });
        }
        let adapters = Self::adapters().await;
        let describe = |adapter: &wgpu::Adapter| {
            let info = adapter.get_info();
            format!("{} ({} {})", info.name, info.backend, info.driver).replace(" )", ")")
        };
        let fits = |adapter: &&wgpu::Adapter| {
            let wanted = options.adapter.as_deref().unwrap_or_default().to_lowercase();
            describe(adapter).to_lowercase().contains(&wanted)
        };
        let mut error = Error::NoAdapter {
            wanted: options.adapter.clone().filter(|_| !adapters.is_empty()),
            found: adapters.iter().map(describe).collect(),
        };
        for adapter in adapters.iter().filter(fits) {
            match Self::on_adapter(adapter, options).await {
                Ok(gpu) => return Ok(gpu),
                Err(reason) => error = Error::NoDevice { reason },
            }
        }
        Err(error)
    }

    async fn on_adapter(adapter: &wgpu::Adapter, options: &GpuOptions) -> std::result::Result<Self, String> {
        let features = if options.portable { wgpu::Features::empty() } else { adapter.features() & USEFUL_FEATURES };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("wgdnn"),
                required_features: features,
                required_limits: options.limits.clone().unwrap_or_else(|| adapter.limits()),
                ..Default::default()
            })
            .await
            .map_err(|error| error.to_string())?;
        let gpu = Self::from_wgpu(device, queue);
        let state = Arc::clone(&gpu.inner.state);
        gpu.inner.device.set_device_lost_callback(move |reason, message| {
            state.lose(format!("{reason:?}: {message}"));
        });
        #[cfg(not(target_arch = "wasm32"))]
        let handler = report_callers_error;
        #[cfg(target_arch = "wasm32")]
        let handler = {
            let state = Arc::clone(&gpu.inner.state);
            move |error| state.fail(crate::gpu::from_wgpu_error(error))
        };
        gpu.inner.device.on_uncaptured_error(Arc::new(handler));
        Ok(gpu)
    }

    /// [`Gpu::with_options`], blocking until it is done.
    ///
    /// # Errors
    /// As [`Gpu::with_options`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_options_blocking(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::with_options(options))
    }

    /// The adapters that operators can run on, the best first.
    pub async fn adapters() -> Vec<wgpu::Adapter> {
        // Without a backend wgpu makes no instance, but panics.
        if wgpu::Instance::enabled_backend_features().is_empty() {
            return Vec::new();
        }
        let mut adapters = primary_instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
        // All adapters of an instance share one OpenGL context, which two threads must not use at once. So each gets an
        // instance.
        let secondary = new_instance(wgpu::Backends::SECONDARY);
        adapters.extend(secondary.enumerate_adapters(wgpu::Backends::SECONDARY).await);
        adapters.retain(|adapter| {
            adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        });
        adapters.sort_by_key(|adapter| {
            let info = adapter.get_info();
            let kind = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => 0,
                wgpu::DeviceType::IntegratedGpu => 1,
                wgpu::DeviceType::VirtualGpu => 2,
                wgpu::DeviceType::Other => 3,
                wgpu::DeviceType::Cpu => 4,
            };
            (kind, info.backend == wgpu::Backend::Gl)
        });
        adapters
    }
}
