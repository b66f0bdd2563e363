//! The device: where operators run, and what is cached for them.

pub(crate) mod kernel;
pub(crate) mod recorder;
pub(crate) mod tensor;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_intrusive::channel::shared::oneshot_channel;

use crate::error::{Error, Result};
use crate::gpu::kernel::{Access, Dispatch, Kernel};
use crate::gpu::recorder::Recorder;
use crate::shape::ELEMENT_BYTES;

/// Eager calls are submitted once this many are pending, so that the GPU starts while the caller still records.
const PENDING_CALLS: usize = 128;

/// Eager calls are submitted once they hold this many bytes of fresh buffers, so that dropped ones are freed.
const PENDING_BYTES: u64 = 256 << 20;

/// How many uniform buffers are kept. When there are more, all are dropped and made again as needed.
const CACHED_UNIFORMS: usize = 4096;

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

#[derive(Debug, Default)]
struct Caches {
    modules: HashMap<&'static str, wgpu::ShaderModule>,
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
    uniforms: HashMap<Vec<u8>, wgpu::Buffer>,
    /// Texts that stand in for a file's own, to test that tests see a wrong shader.
    substitutes: HashMap<&'static str, String>,
}

/// File, entry point, and the bits of the constants.
type PipelineKey = (&'static str, &'static str, Vec<(&'static str, u64)>);

/// The encoder that eager calls gather in.
#[derive(Debug, Default)]
struct Pending {
    /// Before the encoder, so that it is dropped, and so ended, first.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    calls: usize,
    bytes: u64,
}

/// A panic in another thread leaves these maps whole, so their lock is taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// A device on the adapter that promises most: a discrete GPU before an integrated one before a software one.
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
        let found = || adapters.iter().map(|adapter| adapter.get_info().name).collect();
        let fits = |adapter: &&wgpu::Adapter| {
            options.adapter.as_ref().is_none_or(|wanted| {
                let info = adapter.get_info();
                format!("{} {} {}", info.name, info.backend, info.driver)
                    .to_lowercase()
                    .contains(&wanted.to_lowercase())
            })
        };
        let adapter = adapters.iter().find(fits).ok_or_else(|| Error::NoAdapter {
            wanted: options.adapter.clone().filter(|_| !adapters.is_empty()),
            found: found(),
        })?;
        let features = if options.portable { wgpu::Features::empty() } else { adapter.features() & USEFUL_FEATURES };
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("wgdnn"),
                required_features: features,
                required_limits: adapter.limits(),
                ..Default::default()
            })
            .await
            .map_err(|error| Error::NoDevice { reason: error.to_string() })?;

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
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let mut adapters = instance.enumerate_adapters(wgpu::Backends::all()).await;
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
    /// [`Error::DeviceLost`], [`Error::Validation`] or [`Error::OutOfMemory`] if wgpu refuses them.
    pub fn submit(&self) -> Result<()> {
        self.submit_with(&mut lock(&self.inner.pending)).map(drop)
    }

    fn submit_with(&self, pending: &mut Pending) -> Result<Option<wgpu::SubmissionIndex>> {
        self.check_device()?;
        let Pending { pass, encoder, .. } = std::mem::take(pending);
        drop(pass);
        encoder.map(|encoder| self.scoped(|_| self.inner.queue.submit([encoder.finish()]))).transpose()
    }

    /// Records an eager call into the pending encoder.
    pub(crate) fn eager(&self, call: impl FnOnce(&mut Recorder<'_>) -> Result<()>) -> Result<()> {
        let mut pending = lock(&self.inner.pending);
        let Pending { pass, encoder, .. } = &mut *pending;
        let pass = pass.get_or_insert_with(|| {
            encoder
                .get_or_insert_with(|| self.new_encoder())
                .begin_compute_pass(&wgpu::ComputePassDescriptor { label: Some("wgdnn eager"), timestamp_writes: None })
                .forget_lifetime()
        });
        call(&mut Recorder::in_pass(self, pass))?;
        pending.calls += 1;
        if pending.calls >= PENDING_CALLS || pending.bytes >= PENDING_BYTES {
            self.submit_with(&mut pending)?;
        }
        Ok(())
    }

    fn new_encoder(&self) -> wgpu::CommandEncoder {
        self.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("wgdnn eager") })
    }

    /// A buffer of `elements` elements, holding `data` if given.
    pub(crate) fn storage_buffer(
        &self,
        operator: &'static str,
        elements: usize,
        data: Option<&[u8]>,
    ) -> Result<wgpu::Buffer> {
        self.check_device()?;
        let bytes = (elements as u64).max(1) * ELEMENT_BYTES;
        let limits = self.limits();
        for (limit, maximum) in [
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_buffer_size", limits.max_buffer_size),
        ] {
            if bytes > maximum {
                return Err(Error::LimitExceeded { operator, argument: "shape", limit, maximum, actual: bytes });
            }
        }
        let buffer = self.create_buffer(
            operator,
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            bytes,
            data,
        )?;
        lock(&self.inner.pending).bytes += bytes;
        Ok(buffer)
    }

    /// An eager call's workspace of `elements` elements, if it needs one.
    pub(crate) fn workspace(&self, operator: &'static str, elements: usize) -> Result<Option<wgpu::Buffer>> {
        (elements > 0).then(|| self.storage_buffer(operator, elements, None)).transpose()
    }

    fn create_buffer(
        &self,
        label: &str,
        usage: wgpu::BufferUsages,
        bytes: u64,
        data: Option<&[u8]>,
    ) -> Result<wgpu::Buffer> {
        let data = data.filter(|data| !data.is_empty());
        let buffer = self.scoped(|device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage,
                mapped_at_creation: data.is_some(),
            })
        })?;
        if let Some(data) = data {
            // Mapped from the start, so no queue write and no staging copy of ours.
            buffer
                .get_mapped_range_mut(..data.len() as u64)
                .map_err(|error| Error::Validation { reason: error.to_string() })?
                .copy_from_slice(data);
            buffer.unmap();
        }
        Ok(buffer)
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
            Some(error) => {
                // wgpu tells of a loss only when it is polled.
                let _ = device.poll(wgpu::PollType::Poll);
                self.check_device()?;
                Err(from_wgpu_error(error))
            }
            None => Ok(result),
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

    /// The pipeline of a kernel with these constants, compiled at first use.
    pub(crate) fn pipeline(
        &self,
        kernel: &'static Kernel,
        constants: &[(&'static str, f64)],
    ) -> Result<wgpu::ComputePipeline> {
        let bits = constants.iter().map(|&(name, value)| (name, value.to_bits()));
        let key = (kernel.file, kernel.entry_point, bits.collect());
        let mut caches = lock(&self.inner.caches);
        if let Some(pipeline) = caches.pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let module = match caches.modules.get(kernel.file) {
            Some(module) => module.clone(),
            None => {
                let source = caches.substitutes.get(kernel.file).map_or(kernel.source, String::as_str);
                let module = self.scoped(|device| {
                    device.create_shader_module(wgpu::ShaderModuleDescriptor {
                        label: Some(kernel.file),
                        source: wgpu::ShaderSource::Wgsl(source.into()),
                    })
                })?;
                caches.modules.insert(kernel.file, module.clone());
                module
            }
        };
        let pipeline = self.scoped(|device| create_pipeline(device, &module, kernel, constants))?;
        caches.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// A uniform buffer that holds `bytes`.
    pub(crate) fn uniform(&self, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let mut caches = lock(&self.inner.caches);
        if let Some(buffer) = caches.uniforms.get(bytes) {
            return Ok(buffer.clone());
        }
        if caches.uniforms.len() >= CACHED_UNIFORMS {
            caches.uniforms.clear();
        }
        // OpenGL's uniform blocks are multiples of 16 bytes.
        let buffer = self.create_buffer(
            "wgdnn uniform",
            wgpu::BufferUsages::UNIFORM,
            (bytes.len() as u64).next_multiple_of(16),
            Some(bytes),
        )?;
        caches.uniforms.insert(bytes.to_vec(), buffer.clone());
        Ok(buffer)
    }

    /// Makes what recording these dispatches needs.
    pub(crate) fn warm_up(&self, dispatches: &[Dispatch]) -> Result<()> {
        self.check_device()?;
        for dispatch in dispatches {
            self.pipeline(dispatch.kernel, &dispatch.constants)?;
            self.uniform(&dispatch.uniform)?;
        }
        Ok(())
    }

    /// Runs `source` in place of the text of `shaders/FILE.wgsl` on this device. For tests of tests.
    #[doc(hidden)]
    pub fn substitute_shader(&self, file: &'static str, source: String) {
        let mut caches = lock(&self.inner.caches);
        caches.modules.remove(file);
        caches.pipelines.retain(|(other, ..), _| *other != file);
        caches.substitutes.insert(file, source);
    }

    /// Submits what is pending and a copy of `slice` behind it, into a buffer that can be mapped.
    fn copy_for_reading(&self, slice: wgpu::BufferSlice<'_>) -> Result<(wgpu::Buffer, wgpu::SubmissionIndex)> {
        self.check_device()?;
        let staging = self.create_buffer(
            "wgdnn read-back",
            wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            slice.size(),
            None,
        )?;
        let mut pending = lock(&self.inner.pending);
        pending.pass = None;
        pending.encoder.get_or_insert_with(|| self.new_encoder()).copy_buffer_to_buffer(
            slice.buffer(),
            slice.offset(),
            &staging,
            0,
            slice.size(),
        );
        let submission = self.submit_with(&mut pending)?.expect("there is an encoder, so there is a submission");
        Ok((staging, submission))
    }

    pub(crate) async fn read_buffer<T: bytemuck::Pod>(&self, slice: wgpu::BufferSlice<'_>) -> Result<Vec<T>> {
        let (staging, submission) = self.copy_for_reading(slice)?;
        let (sender, receiver) = oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // Nobody listens any more if the read-back was dropped.
            let _ = sender.send(result);
        });
        #[cfg(not(target_arch = "wasm32"))]
        {
            // A thread waits, so that no executor has to. In a browser the page's own loop does.
            let gpu = self.clone();
            std::thread::spawn(move || gpu.wait(submission));
        }
        #[cfg(target_arch = "wasm32")]
        drop(submission);
        self.take_mapped(&staging, receiver.receive().await)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn read_buffer_blocking<T: bytemuck::Pod>(&self, slice: wgpu::BufferSlice<'_>) -> Result<Vec<T>> {
        let (staging, submission) = self.copy_for_reading(slice)?;
        let (sender, receiver) = oneshot_channel();
        staging.map_async(wgpu::MapMode::Read, .., move |result| {
            let _ = sender.send(result);
        });
        self.wait(submission);
        self.take_mapped(&staging, pollster::block_on(receiver.receive()))
    }

    /// Waits for a submission. Failures show in the mapping that waits for it.
    #[cfg(not(target_arch = "wasm32"))]
    fn wait(&self, submission: wgpu::SubmissionIndex) {
        // Without a timeout: wgpu-core can panic when one expires while another thread polls.
        let _ = self.inner.device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None });
    }

    fn take_mapped<T: bytemuck::Pod>(
        &self,
        staging: &wgpu::Buffer,
        mapped: Option<std::result::Result<(), wgpu::BufferAsyncError>>,
    ) -> Result<Vec<T>> {
        // After a loss everything seems to succeed, so this comes first.
        self.check_device()?;
        let lost = |reason: String| Error::DeviceLost { reason };
        mapped
            .ok_or_else(|| lost("a read-back was dropped".into()))?
            .map_err(|error| lost(format!("a read-back failed: {error}")))?;
        let range = staging.get_mapped_range(..).map_err(|error| Error::Validation { reason: error.to_string() })?;
        Ok(bytemuck::pod_collect_to_vec(&range))
    }
}

fn create_pipeline(
    device: &wgpu::Device,
    module: &wgpu::ShaderModule,
    kernel: &Kernel,
    constants: &[(&'static str, f64)],
) -> wgpu::ComputePipeline {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let storage = kernel.storage.iter().map(|&(binding, access)| {
        entry(binding, wgpu::BufferBindingType::Storage { read_only: access == Access::Read })
    });
    let entries: Vec<_> = std::iter::once(entry(0, wgpu::BufferBindingType::Uniform)).chain(storage).collect();
    let group = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.entry_point),
        entries: &entries,
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.entry_point),
        bind_group_layouts: &[Some(&group)],
        immediate_size: 0,
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.entry_point),
        layout: Some(&layout),
        module,
        entry_point: Some(kernel.entry_point),
        compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
        cache: None,
    })
}

fn from_wgpu_error(error: wgpu::Error) -> Error {
    let reason = error.to_string();
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { reason },
        _ => Error::Validation { reason },
    }
}
