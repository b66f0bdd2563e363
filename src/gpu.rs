//! The device: where operators run, and what is cached for them.

mod buffers;
mod caches;
pub(crate) mod kernel;
pub(crate) mod recorder;
pub(crate) mod tensor;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::gpu::caches::Caches;
use crate::gpu::recorder::Recorder;
use crate::gpu::tensor::Storage;

/// Eager calls are submitted once this many are pending, so that the GPU starts while the caller still records.
const PENDING_CALLS: usize = 128;

/// Eager calls are submitted once they hold this many bytes of fresh buffers, so that dropped ones are freed.
const PENDING_BYTES: u64 = 256 << 20;

/// The features that operators can use where the adapter has them.
const USEFUL_FEATURES: wgpu::Features = wgpu::Features::SHADER_FLOAT32_ATOMIC;

/// A device to run operators on. Cheap to clone; clones are the same device.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// let gpu = wgdnn::Gpu::new_blocking()?;
/// println!("{}", gpu.adapter_info().name);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
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

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    limits: wgpu::Limits,
    state: Arc<DeviceState>,
    caches: Mutex<Caches>,
    pending: Mutex<Pending>,
}

/// What wgpu's callbacks tell of a device that we made.
#[derive(Debug, Default)]
struct DeviceState {
    lost: Mutex<Option<String>>,
    error: Mutex<Option<Error>>,
}

/// The encoder that eager calls gather in.
#[derive(Debug, Default)]
struct Pending {
    /// Before the encoder, so that it is dropped, and so ended, first.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    batch: Arc<Batch>,
    calls: usize,
    bytes: u64,
}

/// Eager calls that are submitted together, and whether that failed.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    failure: OnceLock<Error>,
}

impl Batch {
    fn fail(&self, error: &Error) {
        self.failure.get_or_init(|| error.clone());
    }

    /// Fails if the calls did not run.
    pub fn check(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
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

/// A panic in another thread leaves these maps whole, so their lock is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// A device on the adapter that promises most: a discrete GPU before an integrated one before a software one.
    ///
    /// What wgpu reports of this device outside of calls of this crate is returned by the next call.
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
            *lock(&state.lost) = Some(format!("{reason:?}: {message}"));
        });
        let state = Arc::clone(&gpu.inner.state);
        gpu.inner.device.on_uncaptured_error(Arc::new(move |error| {
            lock(&state.error).get_or_insert(from_wgpu_error(error));
        }));
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

    /// Operators on the caller's own device. Its error handlers and callbacks are left alone.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Gpu {
            inner: Arc::new(Inner {
                limits: device.limits(),
                device,
                queue,
                state: Arc::default(),
                caches: Mutex::default(),
                pending: Mutex::default(),
            }),
        }
    }

    /// The device.
    pub fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    /// The queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// The adapter's name, driver and kind.
    pub fn adapter_info(&self) -> wgpu::AdapterInfo {
        self.inner.device.adapter_info()
    }

    /// The device's limits.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    /// Whether `other` is this very device.
    pub fn is_same(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Whether the device adds f32 atomically without a compare-exchange loop.
    pub(crate) fn has_float32_atomic(&self) -> bool {
        self.inner.device.features().contains(wgpu::Features::SHADER_FLOAT32_ATOMIC)
    }

    /// Records operators into `encoder`. Nothing of it runs until the caller submits.
    pub fn record<'a>(&'a self, encoder: &'a mut wgpu::CommandEncoder) -> Recorder<'a> {
        Recorder::new(self, encoder)
    }

    /// Submits the eager calls that are pending.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Validation`] or [`Error::OutOfMemory`] if wgpu refuses them. Then none of them
    /// ran, and reading or using what they would have written gives the same error.
    pub fn submit(&self) -> Result<()> {
        self.submit_pending(&mut lock(&self.inner.pending))
    }

    fn submit_pending(&self, pending: &mut Pending) -> Result<()> {
        self.check_device()?;
        let Pending { pass, encoder, batch, .. } = std::mem::take(pending);
        drop(pass);
        let Some(encoder) = encoder else { return Ok(()) };
        let result = self.scoped(|_| {
            self.inner.queue.submit([encoder.finish()]);
        });
        result.inspect_err(|error| batch.fail(error))
    }

    /// Records an eager call, which reads and writes these tensors, into the pending encoder.
    pub(crate) fn eager(
        &self,
        reads: &[&Storage],
        writes: &[&Storage],
        call: impl FnOnce(&mut Recorder<'_>) -> Result<()>,
    ) -> Result<()> {
        for storage in reads {
            storage.check()?;
        }
        let mut pending = lock(&self.inner.pending);
        let Pending { pass, encoder, .. } = &mut *pending;
        let pass = pass.get_or_insert_with(|| {
            encoder
                .get_or_insert_with(|| self.new_encoder())
                .begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("wgdnn eager"), timestamp_writes: None })
                .forget_lifetime()
        });
        call(&mut Recorder::in_pass(self, pass))?;
        for storage in writes {
            storage.set_batch(&pending.batch);
        }
        pending.calls += 1;
        if pending.calls >= PENDING_CALLS || pending.bytes >= PENDING_BYTES {
            // A failure shows in the tensors that it concerns.
            let _ = self.submit_pending(&mut pending);
        }
        Ok(())
    }

    fn new_encoder(&self) -> wgpu::CommandEncoder {
        self.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("wgdnn eager") })
    }

    /// Runs `call` so that an error of wgpu's comes back as a value, whatever handlers the device has.
    pub(crate) fn scoped<R>(&self, call: impl FnOnce(&wgpu::Device) -> R) -> Result<R> {
        let device = &self.inner.device;
        // In a browser errors arrive later than this; there they reach the device's handler.
        if cfg!(target_arch = "wasm32") {
            return Ok(call(device));
        }
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let result = call(device);
        let errors = [internal, validation, memory].map(|scope| pollster::block_on(scope.pop()));
        match errors.into_iter().flatten().next() {
            Some(error) => Err(self.explained(from_wgpu_error(error))),
            None => Ok(result),
        }
    }

    /// An error of wgpu's, or the loss of the device if that is behind it.
    pub(crate) fn explained(&self, error: Error) -> Error {
        // wgpu tells of a loss only when it is polled.
        let _ = self.inner.device.poll(wgpu::PollType::Poll);
        match self.check_device() {
            Err(lost) => lost,
            Ok(()) if is_lost(&self.inner.device) => Error::DeviceLost { reason: error.to_string() },
            Ok(()) => error,
        }
    }

    /// Fails once the device is lost, or if it reported an error that no call of ours has returned.
    pub(crate) fn check_device(&self) -> Result<()> {
        if let Some(reason) = lock(&self.inner.state.lost).clone() {
            return Err(Error::DeviceLost { reason });
        }
        match lock(&self.inner.state.error).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// Whether a device is lost. A caller's device tells its caller only, so it has to be tried: on a lost device what is
/// made is silently invalid, and shows when it is used.
fn is_lost(device: &wgpu::Device) -> bool {
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("wgdnn probe"),
        size: 4,
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    buffer.map_async(wgpu::MapMode::Read, .., |_| {});
    pollster::block_on(scope.pop()).is_some()
}

fn from_wgpu_error(error: wgpu::Error) -> Error {
    let reason = error.to_string();
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { reason },
        _ => Error::Validation { reason },
    }
}
