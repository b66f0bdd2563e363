//! The device that operators run on, and what is kept for them.

mod adapters;
mod cache;
pub(crate) mod capabilities;
mod disk_cache;
mod eager;
pub(crate) mod flat;
pub(crate) mod kernel;
mod own;
mod pipelines;
pub(crate) mod pool;
pub(crate) mod profile;
mod read_back;
pub(crate) mod recorder;
pub(crate) mod storage;
pub(crate) mod tensor;
mod upload;
pub(crate) mod work;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::gpu::capabilities::Capabilities;
use crate::gpu::disk_cache::DiskCache;
use crate::gpu::eager::{Pending, Turns};
use crate::gpu::pipelines::Caches;
use crate::gpu::pool::{Memory, Pool};
use crate::gpu::read_back::Waiter;
use crate::gpu::recorder::Recorder;

pub use adapters::{AdapterClass, GpuOptions};
pub use own::AnyTensor;

/// A device to run operators on. It is cheap to clone, and clones are the same device.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// let gpu = wgdnn::Gpu::new_blocking()?;
/// println!("{}", gpu.adapter_info().name);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let info = self.adapter_info();
        f.debug_struct("Gpu").field("adapter", &info.name).field("backend", &info.backend).finish_non_exhaustive()
    }
}

struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    capabilities: Capabilities,
    /// The capabilities that plans are made for instead, to test plans where there is no such adapter.
    taken_for: OnceLock<Capabilities>,
    state: Arc<DeviceState>,
    caches: Mutex<Caches>,
    disk_cache: OnceLock<DiskCache>,
    pool: Arc<Mutex<Pool>>,
    pending: Mutex<Pending>,
    /// The bytes of buffers handed out since the last submit.
    fresh_bytes: AtomicU64,
    turns: Turns,
    waiter: Waiter,
    validates: AtomicBool,
    /// A layout of one storage buffer, to test whether wgpu accepts a buffer.
    storage_layout: OnceLock<wgpu::BindGroupLayout>,
}

/// What is known of a device's health: from wgpu's callbacks if the crate made the device, otherwise from failed calls.
#[derive(Debug, Default)]
struct DeviceState {
    /// Set after the other fields, so that a call takes no lock while all is well.
    is_troubled: AtomicBool,
    lost: Mutex<Option<String>>,
    /// In a browser no scope catches errors in time. This is the first that no call has returned yet.
    #[cfg(target_arch = "wasm32")]
    error: Mutex<Option<Error>>,
}

impl DeviceState {
    fn lose(&self, reason: String) {
        let mut lost = lock(&self.lost);
        if lost.is_none() {
            log::error!("the device is lost: {reason}");
            *lost = Some(reason);
        }
        self.is_troubled.store(true, Ordering::Release);
    }

    #[cfg(target_arch = "wasm32")]
    fn fail(&self, error: Error) {
        lock(&self.error).get_or_insert(error);
        self.is_troubled.store(true, Ordering::Release);
    }

    /// Fails if the device is lost.
    fn check_lost(&self) -> Result<()> {
        match lock(&self.lost).clone() {
            Some(reason) => Err(Error::DeviceLost { reason }),
            None => Ok(()),
        }
    }
}

/// These locks guard data that is whole even after a panic in another thread, so poisoning is ignored.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(feature = "testing")]
    LOCKS.set(LOCKS.get() + 1);
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "testing")]
thread_local! {
    static LOCKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    static MADE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many locks this thread has taken, for a test that counts the locks of a call.
#[cfg(feature = "testing")]
#[doc(hidden)]
pub fn locks() -> usize {
    LOCKS.get()
}

/// How many buffers and bind groups this thread has made, for a test that counts those of a step.
#[cfg(feature = "testing")]
#[doc(hidden)]
pub fn made() -> usize {
    MADE.get()
}

/// Counts a buffer or a bind group that is made.
fn count_made() {
    #[cfg(feature = "testing")]
    MADE.set(MADE.get() + 1);
}

impl Gpu {
    /// Runs operators on the caller's own device. Its error handlers and callbacks are left alone.
    ///
    /// [`own_device`](crate::own_device) says what a caller and this crate may expect of each other.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let asked = std::env::var_os("WGDNN_VALIDATE").is_some_and(|value| !value.is_empty() && value != "0");
        let state = Arc::default();
        Gpu {
            inner: Arc::new(Inner {
                capabilities: Capabilities::of_device(&device),
                taken_for: OnceLock::new(),
                waiter: Waiter::new(&device, &state),
                device,
                queue,
                state,
                caches: Mutex::default(),
                disk_cache: OnceLock::new(),
                pool: Arc::default(),
                pending: Mutex::default(),
                fresh_bytes: AtomicU64::new(0),
                turns: Turns::default(),
                validates: AtomicBool::new(asked),
                storage_layout: OnceLock::new(),
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
        &self.inner.capabilities.limits
    }

    /// Whether `other` is this `Gpu` or a clone of it. Two `Gpu`s made from one device are not the same, since each has
    /// pending calls of its own.
    pub fn is_same(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What distinguishes a tensor of `other` from one of this `Gpu`'s, in words; `None` if they are the same.
    pub(crate) fn difference(&self, other: &Gpu) -> Option<&'static str> {
        if self.is_same(other) {
            None
        } else if self.inner.device == other.inner.device {
            Some("one of another Gpu on the same device: make one Gpu and clone it")
        } else {
            Some("one on another device")
        }
    }

    /// Whether the device has an optional feature.
    pub(crate) fn has(&self, feature: wgpu::Features) -> bool {
        self.inner.capabilities.has(feature)
    }

    /// The capabilities that plans are made for.
    pub fn capabilities(&self) -> &Capabilities {
        self.inner.taken_for.get().unwrap_or(&self.inner.capabilities)
    }

    /// Runs the kernels for another class of adapters on this device, to test them where there is no such adapter. Only
    /// the first call counts.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub fn take_for(&self, class: AdapterClass) {
        // The driver's limit on loops still holds.
        let _ = self.inner.taken_for.set(Capabilities { class, ..self.inner.capabilities.clone() });
    }

    /// Fails with [`Error::MissingFeature`] if the device lacks a feature that a call needs.
    fn expect_feature(&self, operation: &'static str, feature: wgpu::Features, name: &'static str) -> Result<()> {
        if self.has(feature) { Ok(()) } else { Err(Error::MissingFeature { operation, feature: name }) }
    }

    /// Records operators into `encoder`. Nothing runs until the caller submits it.
    pub fn record<'a>(&'a self, encoder: &'a mut wgpu::CommandEncoder) -> Recorder<'a> {
        lock(&self.inner.caches).count_recorder();
        Recorder::new(self, encoder)
    }

    /// Records operators into a compute pass that the caller has begun. They set the pass's pipeline and its bind group
    /// 0, and leave them set.
    pub fn record_in_pass<'a>(&'a self, pass: &'a mut wgpu::ComputePass<'_>) -> Recorder<'a> {
        lock(&self.inner.caches).count_recorder();
        Recorder::in_pass(self, pass)
    }

    /// How much memory tensors and workspaces take.
    pub fn memory(&self) -> Memory {
        lock(&self.inner.pool).memory()
    }

    /// Frees what is kept for later calls: free memory, and bind groups with the buffers that they keep alive.
    /// Pipelines stay.
    pub fn trim(&self) {
        lock(&self.inner.caches).forget_buffers();
        let staging = lock(&self.inner.pending).uploads.trim();
        let freed = {
            let mut pool = lock(&self.inner.pool);
            pool.count_staging(staging);
            pool.trim()
        };
        // Dropped outside of the lock, since wgpu may run callbacks meanwhile.
        drop(freed);
    }

    /// Whether every eager call is replayed on the CPU reference and compared, which waits for it. See
    /// [`Gpu::set_validation`].
    pub fn validates(&self) -> bool {
        self.inner.validates.load(Ordering::Relaxed)
    }

    /// Replays every later eager call on the CPU reference, and fails it with [`Error::Mismatch`] where the GPU's
    /// result is further from the CPU's than rounding explains. Use it to find what is wrong with a driver or a shader:
    /// it waits for every call. The environment variable `WGDNN_VALIDATE=1` turns it on for every device.
    ///
    /// Nothing is compared where float32 may have overflown. A call whose tensors lack `COPY_SRC`, and so cannot be
    /// read back, is skipped with a warning in the log. Running statistics that other threads update meanwhile are
    /// reported as wrong.
    pub fn set_validation(&self, is_on: bool) {
        self.inner.validates.store(is_on, Ordering::Relaxed);
    }

    /// Runs `call` and returns wgpu's errors as values, whatever handlers the device has.
    pub(crate) fn scoped<R>(&self, call: impl FnOnce(&wgpu::Device) -> R) -> Result<R> {
        self.scoped_quietly(call).map_err(|error| self.explained(error))
    }

    /// [`Gpu::scoped`] without a look at an error's cause, which would poll. For use under a lock, since a poll runs
    /// the caller's callbacks.
    fn scoped_quietly<R>(&self, call: impl FnOnce(&wgpu::Device) -> R) -> Result<R> {
        let device = &self.inner.device;
        // In a browser errors arrive later than this, and reach the device's handler.
        if cfg!(target_arch = "wasm32") {
            return Ok(call(device));
        }
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let result = call(device);
        let [internal, validation, memory] =
            [internal, validation, memory].map(|scope| pollster::block_on(scope.pop()));
        // Without memory the rest of the call is invalid too.
        match memory.or(validation).or(internal) {
            Some(error) => Err(from_wgpu_error(error)),
            None => Ok(result),
        }
    }

    /// Turns wgpu's error into the loss of the device, if that is the cause. Polls, which runs the caller's callbacks.
    pub(crate) fn explained(&self, error: Error) -> Error {
        if !matches!(error, Error::Validation { .. } | Error::OutOfMemory { .. }) {
            return error;
        }
        // wgpu reports a loss only when it is polled.
        let _ = self.inner.device.poll(wgpu::PollType::Poll);
        if let Err(lost) = self.inner.state.check_lost() {
            return lost;
        }
        if self.is_lost() {
            let reason = error.to_string();
            self.inner.state.lose(reason.clone());
            return Error::DeviceLost { reason };
        }
        error
    }

    /// Whether the device is lost. Only its caller is told, so this tries: objects made on a lost device are silently
    /// invalid, which shows when they are used.
    fn is_lost(&self) -> bool {
        let device = &self.inner.device;
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("wgdnn probe"),
            size: 4,
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });
        buffer.map_async(wgpu::MapMode::Read, .., |_| {});
        let is_invalid = pollster::block_on(validation.pop()).is_some();
        // A device without even this much memory left is not lost.
        let is_out_of_memory = pollster::block_on(memory.pop()).is_some();
        is_invalid && !is_out_of_memory
    }

    /// Fails with wgpu's error if wgpu does not bind a storage buffer.
    fn try_binding(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<()> {
        let group = self.scoped_quietly(|device| {
            let layout = self.inner.storage_layout.get_or_init(|| {
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                    label: Some("wgdnn probe"),
                    entries: &[wgpu::BindGroupLayoutEntry {
                        binding: 0,
                        visibility: wgpu::ShaderStages::COMPUTE,
                        ty: wgpu::BindingType::Buffer {
                            ty: wgpu::BufferBindingType::Storage { read_only: true },
                            has_dynamic_offset: false,
                            min_binding_size: None,
                        },
                        count: None,
                    }],
                })
            });
            let buffer = wgpu::BufferBinding { buffer, offset, size: wgpu::BufferSize::new(bytes) };
            let entry = wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(buffer) };
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some("wgdnn probe"),
                layout,
                entries: &[entry],
            })
        });
        group.map(drop)
    }

    /// Fails if the device is lost; in a browser also if it reported an error that no call of this crate has returned.
    pub(crate) fn check_device(&self) -> Result<()> {
        let state = &self.inner.state;
        if !state.is_troubled.load(Ordering::Acquire) {
            return Ok(());
        }
        #[cfg(target_arch = "wasm32")]
        if let Some(error) = lock(&state.error).take() {
            return Err(error);
        }
        state.check_lost()
    }
}

fn from_wgpu_error(error: wgpu::Error) -> Error {
    let reason = error.to_string();
    match error {
        wgpu::Error::OutOfMemory { .. } => Error::OutOfMemory { reason },
        _ => Error::Validation { reason },
    }
}
