//! Adapters, and devices made on them.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::gpu::Gpu;

/// The features that are used where the adapter has them.
const USEFUL_FEATURES: wgpu::Features = wgpu::Features::SHADER_FLOAT32_ATOMIC
    .union(wgpu::Features::SUBGROUP)
    .union(wgpu::Features::TIMESTAMP_QUERY)
    .union(wgpu::Features::PIPELINE_CACHE);

/// What kernels are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[doc(hidden)]
pub enum AdapterClass {
    /// A GPU.
    Hardware,
    /// Mesa's software adapters, lavapipe and llvmpipe: vectors of the CPU, and long loops end without a word.
    Llvmpipe,
    /// Another adapter that runs on the CPU, SwiftShader say, whose compiler takes minutes over very long kernels.
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

/// Which adapter [`Gpu::with_options`] takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Part of the adapter's name, backend or driver, in any case; without it the fastest kind is taken.
    pub adapter: Option<String>,
    /// Take no optional feature, so that every operator runs its portable variant.
    pub portable: bool,
    /// Take these limits rather than all that the adapter has, to see what holds elsewhere.
    pub limits: Option<wgpu::Limits>,
}

/// Tells of an error that no scope of ours has caught, so that it is of the caller's own making.
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

/// The one instance of all backends but OpenGL, so that resources of two devices, given to the wrong one, are an error
/// and not a panic of wgpu's.
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
    /// A device on the adapter that promises most: a discrete GPU before an integrated one before a software one.
    ///
    /// Errors of your own calls into wgpu on this device are logged at once as such, or printed where nothing logs errors;
    /// no call of this crate fails for them. A handler that you set by `gpu.device().on_uncaptured_error(..)` gets them
    /// instead, and nothing here depends on ours. (In a browser this crate's own errors come there too.)
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    pub async fn new() -> Result<Self> {
        Self::with_options(&GpuOptions::default()).await
    }

    /// [`Gpu::new`], waiting for it.
    ///
    /// # Errors
    /// As [`Gpu::new`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn new_blocking() -> Result<Self> {
        pollster::block_on(Self::new())
    }

    /// A device on the adapter that `options` ask for, with all of the adapter's limits.
    ///
    /// # Errors
    /// [`Error::NoAdapter`], [`Error::NoDevice`].
    pub async fn with_options(options: &GpuOptions) -> Result<Self> {
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

    /// [`Gpu::with_options`], waiting for it.
    ///
    /// # Errors
    /// As [`Gpu::with_options`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn with_options_blocking(options: &GpuOptions) -> Result<Self> {
        pollster::block_on(Self::with_options(options))
    }

    /// The adapters that operators can run on, the most promising first.
    pub async fn adapters() -> Vec<wgpu::Adapter> {
        let mut adapters = primary_instance().enumerate_adapters(wgpu::Backends::PRIMARY).await;
        // All adapters of an instance share one OpenGL context, which threads must not use at once: an instance each.
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
