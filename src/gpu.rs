//! The device: where operators run, and what is kept for them.

mod adapters;
mod cache;
mod disk_cache;
mod eager;
pub(crate) mod gemm;
pub(crate) mod kernel;
pub(crate) mod operator;
mod own;
mod pipelines;
pub(crate) mod pool;
pub(crate) mod profile;
pub(crate) mod quads;
mod read_back;
pub(crate) mod recorder;
pub(crate) mod tensor;
mod upload;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{Error, Result};
use crate::gpu::disk_cache::DiskCache;
use crate::gpu::eager::{Pending, Turns};
use crate::gpu::pipelines::Caches;
use crate::gpu::pool::{Memory, Pool};
use crate::gpu::read_back::Waiter;
use crate::gpu::recorder::Recorder;

pub use adapters::{AdapterClass, GpuOptions};
pub use own::AnyTensor;

/// A device to run operators on. Cheap to clone; clones are the same device.
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
    limits: wgpu::Limits,
    features: wgpu::Features,
    class: AdapterClass,
    /// What kernels are chosen for instead, to test them where no such adapter is.
    taken_for: OnceLock<AdapterClass>,
    state: Arc<DeviceState>,
    caches: Mutex<Caches>,
    disk_cache: OnceLock<DiskCache>,
    pool: Arc<Mutex<Pool>>,
    pending: Mutex<Pending>,
    turns: Turns,
    waiter: Waiter,
    validates: AtomicBool,
    /// One storage buffer's, to try whether wgpu takes a buffer.
    storage_layout: OnceLock<wgpu::BindGroupLayout>,
}

/// What is known of a device's health: from wgpu's callbacks if we made it, from failed calls otherwise.
#[derive(Debug, Default)]
struct DeviceState {
    /// Set behind the others, so that a call looks at no lock while all is well.
    is_troubled: AtomicBool,
    lost: Mutex<Option<String>>,
    /// In a browser, where no scope catches errors in time: the first that no call has returned yet.
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

/// A panic in another thread leaves what these locks guard whole, so they are taken all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gpu {
    /// Operators on the caller's own device. Its error handlers and callbacks are left alone.
    ///
    /// [`own_device`](crate::own_device) tells what a caller and this crate may expect of each other.
    pub fn from_wgpu(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        let asked = std::env::var_os("WGDNN_VALIDATE").is_some_and(|value| !value.is_empty() && value != "0");
        let state = Arc::default();
        Gpu {
            inner: Arc::new(Inner {
                limits: device.limits(),
                features: device.features(),
                class: AdapterClass::new(&device.adapter_info()),
                taken_for: OnceLock::new(),
                waiter: Waiter::new(&device, &state),
                device,
                queue,
                state,
                caches: Mutex::default(),
                disk_cache: OnceLock::new(),
                pool: Arc::default(),
                pending: Mutex::default(),
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
        &self.inner.limits
    }

    /// Whether `other` is this one or a clone of it. Two that were made from one device are not the same: each has pending
    /// calls of its own.
    pub fn is_same(&self, other: &Gpu) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// What tells a tensor of `other` from one of this `Gpu`'s, if anything does.
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
        self.inner.features.contains(feature)
    }

    /// What kernels are chosen for.
    pub(crate) fn class(&self) -> AdapterClass {
        self.inner.taken_for.get().copied().unwrap_or(self.inner.class)
    }

    /// Whether the adapter runs on the CPU, where other kernels are fast than on a GPU.
    pub(crate) fn is_software(&self) -> bool {
        self.class() != AdapterClass::Hardware
    }

    /// How many loop iterations one invocation may run in all: whatever it is taken for, llvmpipe ends loops without a
    /// word after 65,535, and half of that leaves room for loops we do not count.
    pub(crate) fn loop_budget(&self) -> u32 {
        if self.inner.class == AdapterClass::Llvmpipe { 32_000 } else { u32::MAX }
    }

    /// Runs the kernels that are for such adapters on this device whatever it is, to test them where there is none. The
    /// first call counts.
    #[doc(hidden)]
    pub fn take_for(&self, class: AdapterClass) {
        let _ = self.inner.taken_for.set(class);
    }

    /// Fails with [`Error::MissingFeature`] if the device has not what a call needs.
    fn expect_feature(&self, operation: &'static str, feature: wgpu::Features, name: &'static str) -> Result<()> {
        if self.has(feature) { Ok(()) } else { Err(Error::MissingFeature { operation, feature: name }) }
    }

    /// Records operators into `encoder`. Nothing of it runs until the caller submits.
    pub fn record<'a>(&'a self, encoder: &'a mut wgpu::CommandEncoder) -> Recorder<'a> {
        lock(&self.inner.caches).count_recorder();
        Recorder::new(self, encoder)
    }

    /// Records operators into a compute pass that the caller has begun. They set the pass's pipeline and its bind
    /// group 0, and leave them set.
    pub fn record_in_pass<'a>(&'a self, pass: &'a mut wgpu::ComputePass<'_>) -> Recorder<'a> {
        lock(&self.inner.caches).count_recorder();
        Recorder::in_pass(self, pass)
    }

    /// The memory of tensors and workspaces.
    pub fn memory(&self) -> Memory {
        lock(&self.inner.pool).memory()
    }

    /// Gives back what is kept for later calls: free memory, and bind groups, which keep the buffers that they were
    /// recorded with. Pipelines stay.
    pub fn trim(&self) {
        lock(&self.inner.caches).forget_buffers();
        let staging = lock(&self.inner.pending).uploads.trim();
        let freed = {
            let mut pool = lock(&self.inner.pool);
            pool.count_staging(staging);
            pool.trim()
        };
        // Dropped outside of the lock: wgpu may run callbacks meanwhile.
        drop(freed);
    }

    /// Whether every eager call is replayed on the CPU reference, waited for and compared. See
    /// [`Gpu::set_validation`].
    pub fn validates(&self) -> bool {
        self.inner.validates.load(Ordering::Relaxed)
    }

    /// Replays every eager call from now on on the CPU reference, and fails it with [`Error::Mismatch`] where the GPU's
    /// result is further from the CPU's than rounding explains. For finding what is wrong with a driver or a shader: it
    /// waits for every call. The environment variable `WGDNN_VALIDATE=1` turns it on for every device.
    ///
    /// Where float32 may have overflown nothing is compared. A call whose tensors cannot be read back, for want of
    /// `COPY_SRC`, is left out with a warning in the log. Running statistics that other threads update meanwhile look
    /// wrong to it.
    pub fn set_validation(&self, is_on: bool) {
        self.inner.validates.store(is_on, Ordering::Relaxed);
    }

    /// Runs `call` so that an error of wgpu's comes back as a value, whatever handlers the device has.
    pub(crate) fn scoped<R>(&self, call: impl FnOnce(&wgpu::Device) -> R) -> Result<R> {
        self.scoped_quietly(call).map_err(|error| self.explained(error))
    }

    /// [`Gpu::scoped`] without a look at what is behind an error, which polls: for where a lock is held, since a poll
    /// runs the caller's callbacks.
    fn scoped_quietly<R>(&self, call: impl FnOnce(&wgpu::Device) -> R) -> Result<R> {
        let device = &self.inner.device;
        // In a browser errors arrive later than this; there they reach the device's handler.
        if cfg!(target_arch = "wasm32") {
            return Ok(call(device));
        }
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let result = call(device);
        let [internal, validation, memory] =
            [internal, validation, memory].map(|scope| pollster::block_on(scope.pop()));
        // Without memory the rest of the call is invalid as well.
        match memory.or(validation).or(internal) {
            Some(error) => Err(from_wgpu_error(error)),
            None => Ok(result),
        }
    }

    /// An error of wgpu's, or the loss of the device if that is behind it. Polls, and so runs callbacks of the caller's.
    pub(crate) fn explained(&self, error: Error) -> Error {
        if !matches!(error, Error::Validation { .. } | Error::OutOfMemory { .. }) {
            return error;
        }
        // wgpu tells of a loss only when it is polled.
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

    /// Whether the device is lost. A caller's device tells its caller only, so it has to be tried: on a lost device what is
    /// made is silently invalid, and shows when it is used.
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
        // A device without even these bytes left is no lost one.
        let is_out_of_memory = pollster::block_on(memory.pop()).is_some();
        is_invalid && !is_out_of_memory
    }

    /// Fails, with an error of wgpu's own, if wgpu does not bind a storage buffer.
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

    /// Fails once the device is lost; in a browser also if it reported an error that no call of ours has returned.
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
