//! Buffers that go back when they are dropped, and out again when one of their size is asked for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, lock};
use crate::shape::ELEMENT_BYTES;

/// How many bytes of free read-back buffers are kept.
const KEPT_STAGING: u64 = 8 << 20;

/// The smallest buffer.
const LEAST_BYTES: u64 = 256;

/// What a device's tensors and workspaces take, in bytes of buffers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Held by tensors.
    pub live: u64,
    /// Free, and kept for later calls. [`Gpu::trim`] gives it back.
    pub pooled: u64,
    /// The most that was ever live.
    pub peak: u64,
    /// What uploads and read-backs pass through. Some 16 MiB are kept, and 32 MiB are in use at most but for 64 KiB for
    /// each read-back beyond.
    pub staging: u64,
}

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A tensor or a workspace.
    Storage,
    /// A part of a read-back.
    ReadBack,
}

impl Kind {
    fn usage(self) -> wgpu::BufferUsages {
        match self {
            Kind::Storage => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            Kind::ReadBack => wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Free, and used by nothing that is not submitted.
    ready: HashMap<(Kind, u64), Vec<wgpu::Buffer>>,
    /// Free, but calls that are not submitted yet may use them. What is recorded behind these may take them too; an
    /// upload, which is submitted before them, may not.
    recorded: HashMap<(Kind, u64), Vec<wgpu::Buffer>>,
    memory: Memory,
    /// Bytes of free read-back buffers.
    free_staging: u64,
}

impl Pool {
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Counts staging bytes that were made, or, below 0, dropped.
    pub fn count_staging(&mut self, bytes: i64) {
        self.memory.staging = self.memory.staging.saturating_add_signed(bytes);
    }

    /// What was recorded is submitted.
    pub fn submitted(&mut self) {
        for (class, mut buffers) in self.recorded.drain() {
            self.ready.entry(class).or_default().append(&mut buffers);
        }
    }

    fn take(&mut self, class: (Kind, u64), for_upload: bool) -> Option<wgpu::Buffer> {
        let recorded = if for_upload { None } else { self.recorded.get_mut(&class).and_then(Vec::pop) };
        let buffer = recorded.or_else(|| self.ready.get_mut(&class).and_then(Vec::pop))?;
        match class.0 {
            Kind::Storage => self.memory.pooled -= class.1,
            Kind::ReadBack => self.free_staging -= class.1,
        }
        Some(buffer)
    }

    fn count_live(&mut self, (kind, bytes): (Kind, u64)) {
        if kind == Kind::Storage {
            self.memory.live += bytes;
            self.memory.peak = self.memory.peak.max(self.memory.live);
        }
    }

    /// Everything that is free.
    pub fn trim(&mut self) -> Vec<wgpu::Buffer> {
        self.memory.pooled = 0;
        self.free_staging = 0;
        let mut freed = Vec::new();
        for ((kind, bytes), buffers) in self.ready.drain().chain(self.recorded.drain()) {
            if kind == Kind::ReadBack {
                self.memory.staging -= bytes * buffers.len() as u64;
            }
            freed.extend(buffers);
        }
        freed
    }
}

/// A buffer of the pool's, which goes back to it when dropped.
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    buffer: wgpu::Buffer,
    class: (Kind, u64),
    pool: Arc<Mutex<Pool>>,
    /// Whether it is not to go back. A caller who has seen it may have recorded it into something not yet submitted.
    is_exposed: AtomicBool,
}

impl PooledBuffer {
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Keeps the buffer out of the pool for as long as somebody else has a hold on it.
    pub fn set_exposed(&self, is_exposed: bool) {
        self.is_exposed.store(is_exposed, Ordering::Relaxed);
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let (kind, bytes) = self.class;
        let mut pool = lock(&self.pool);
        if kind == Kind::Storage {
            pool.memory.live -= bytes;
        }
        if *self.is_exposed.get_mut() {
            if kind == Kind::ReadBack {
                pool.memory.staging -= bytes;
            }
            return;
        }
        match kind {
            Kind::Storage => {
                pool.memory.pooled += bytes;
                pool.recorded.entry(self.class).or_default().push(self.buffer.clone());
            }
            Kind::ReadBack if pool.free_staging + bytes > KEPT_STAGING => pool.memory.staging -= bytes,
            Kind::ReadBack => {
                pool.free_staging += bytes;
                pool.ready.entry(self.class).or_default().push(self.buffer.clone());
            }
        }
    }
}

/// The size of the buffers that stand in for one of `bytes`: a power of two, or one and a quarter, a half or three
/// quarters of it, so that at most a fifth is never used.
fn class_bytes(bytes: u64, most: u64) -> u64 {
    let bytes = bytes.max(LEAST_BYTES);
    let step = (bytes.next_power_of_two() / 8).max(1);
    bytes.next_multiple_of(step).min((most & !3).max(bytes))
}

impl Gpu {
    /// A buffer of at least `bytes`, with whatever it held before.
    pub(crate) fn pooled(&self, kind: Kind, bytes: u64, for_upload: bool) -> Result<PooledBuffer> {
        let class = (kind, class_bytes(bytes, self.limits().max_buffer_size));
        let taken = lock(&self.inner.pool).take(class, for_upload);
        let buffer = match taken {
            Some(buffer) => buffer,
            None => {
                let create = || {
                    self.scoped(|device| {
                        device.create_buffer(&wgpu::BufferDescriptor {
                            label: Some(if kind == Kind::Storage { "wgdnn tensor" } else { "wgdnn read-back" }),
                            size: class.1,
                            usage: kind.usage(),
                            mapped_at_creation: false,
                        })
                    })
                };
                let buffer = match create() {
                    // What is kept for later may be just what is missing now.
                    Err(Error::OutOfMemory { .. }) => {
                        log::warn!("out of memory for {} bytes: giving back what is free", class.1);
                        self.free_unused();
                        create()?
                    }
                    result => result?,
                };
                if kind == Kind::ReadBack {
                    lock(&self.inner.pool).count_staging(class.1 as i64);
                }
                buffer
            }
        };
        lock(&self.inner.pool).count_live(class);
        Ok(PooledBuffer { buffer, class, pool: Arc::clone(&self.inner.pool), is_exposed: AtomicBool::new(false) })
    }

    /// Gives back what is free and waits until the device has let go of it.
    fn free_unused(&self) {
        self.trim();
        #[cfg(not(target_arch = "wasm32"))]
        let _ = self.inner.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// Checks that a buffer of `elements` elements is within the device's limits, and returns its bytes.
    pub(crate) fn check_size(&self, operator: &'static str, argument: &'static str, elements: usize) -> Result<u64> {
        let bytes = (elements as u64).max(1) * ELEMENT_BYTES;
        let maximum = self.limits().max_buffer_size;
        if bytes > maximum {
            return Err(Error::LimitExceeded { operator, argument, limit: "max_buffer_size", maximum, actual: bytes });
        }
        Ok(bytes)
    }

    /// A buffer for `elements` elements of an operator's argument.
    pub(crate) fn storage_buffer(
        &self,
        operator: &'static str,
        argument: &'static str,
        elements: usize,
        for_upload: bool,
    ) -> Result<PooledBuffer> {
        self.check_device()?;
        let bytes = self.check_size(operator, argument, elements)?;
        let buffer = self.pooled(Kind::Storage, bytes, for_upload)?;
        lock(&self.inner.pending).bytes += bytes;
        Ok(buffer)
    }

    /// An eager call's workspace of `elements` elements, if it needs one.
    pub(crate) fn workspace(&self, operator: &'static str, elements: usize) -> Result<Option<PooledBuffer>> {
        (elements > 0).then(|| self.storage_buffer(operator, "workspace", elements, false)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_what_is_asked_for_and_waste_little() {
        let most = (1 << 31) - 1;
        let mut classes = std::collections::BTreeSet::new();
        for bytes in (4..1 << 20).step_by(4).chain((1..500).map(|n| n * 4_194_304 - 4)) {
            let class = class_bytes(bytes, most);
            assert!(class >= bytes && class <= most && class.is_multiple_of(4) || class == most, "{bytes}: {class}");
            assert!(bytes < LEAST_BYTES || (class - bytes) * 4 <= bytes, "{bytes}: {class}");
            classes.insert(class);
        }
        assert!(classes.len() < 120, "{} classes", classes.len());
    }
}
