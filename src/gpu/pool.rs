//! Buffers that go back when they are dropped, and out again when one of their size is asked for.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, lock};
use crate::shape::ELEMENT_BYTES;

/// How many bytes of free read-back buffers are kept.
const KEPT_STAGING: u64 = 8 << 20;

/// How many submissions make an age: the recent peak is that of this age and the one before.
const SUBMISSIONS_PER_AGE: u64 = 16;

/// A free buffer that so many submissions did not use is idle.
const IDLE_AFTER: u64 = 4;

/// How many times the recent peak of what is live all buffers may take: with idle ones among them, and without.
const IDLE_FACTOR: u64 = 2;
const FACTOR: u64 = 3;

/// What may be kept however little is live.
const KEPT_BYTES: u64 = 4 << 20;

/// The smallest buffer.
const LEAST_BYTES: u64 = 256;

/// What a device's tensors and workspaces take, in bytes of buffers.
///
/// `live` and `pooled` together stay within 4 MiB, or twice the recent peak of `live`: the most in the last 16 to 32
/// submissions. What the last 4 submissions used is kept beyond that, up to three times the peak, so that calls on the same
/// shapes again and again make no buffers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Held by tensors.
    pub live: u64,
    /// Free, and kept for later calls. [`Gpu::trim`] gives it back; what is too much goes by itself, with the calls that
    /// come.
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

/// A free buffer.
#[derive(Debug)]
struct Free {
    buffer: wgpu::Buffer,
    /// The number of submissions when it was dropped.
    since: u64,
}

/// Free buffers by kind and size, in the order in which they were dropped.
type FreeBuffers = HashMap<(Kind, u64), VecDeque<Free>>;

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Free, and used by nothing that is not submitted.
    ready: FreeBuffers,
    /// Free, but calls that are not submitted yet may use them. What is recorded behind these may take them too; an
    /// upload, which is submitted before them, may not.
    recorded: FreeBuffers,
    memory: Memory,
    submissions: u64,
    /// The most that was live in this age, and in the one before.
    peaks: [u64; 2],
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

    /// What was recorded is submitted. Returns what is too much to keep.
    pub fn submitted(&mut self) -> Vec<wgpu::Buffer> {
        for (class, mut buffers) in self.recorded.drain() {
            self.ready.entry(class).or_default().append(&mut buffers);
        }
        self.submissions += 1;
        if self.submissions.is_multiple_of(SUBMISSIONS_PER_AGE) {
            self.peaks = [self.memory.live, self.peaks[0]];
        }
        self.surplus(0)
    }

    fn take(&mut self, class: (Kind, u64), for_upload: bool) -> Option<wgpu::Buffer> {
        let recorded = if for_upload { None } else { self.recorded.get_mut(&class).and_then(VecDeque::pop_back) };
        let free = recorded.or_else(|| self.ready.get_mut(&class).and_then(VecDeque::pop_back))?;
        match class.0 {
            Kind::Storage => self.memory.pooled -= class.1,
            Kind::ReadBack => self.free_staging -= class.1,
        }
        Some(free.buffer)
    }

    /// How many bytes of buffers there may be for a factor of the recent peak, with `more` to come.
    fn most(&self, factor: u64, more: u64) -> u64 {
        let peak = self.peaks[0].max(self.peaks[1]).max(self.memory.live + more);
        (peak * factor).max(KEPT_BYTES)
    }

    /// Whether an upload had better submit what is pending, and take a buffer of that, than make another.
    fn is_worth_submitting(&self, class: (Kind, u64)) -> bool {
        let is_there = self.recorded.get(&class).is_some_and(|buffers| !buffers.is_empty());
        let total = self.memory.live + self.memory.pooled + class.1;
        // Sooner for large ones: a submit takes less than they do.
        let is_large = class.1 * 16 >= self.most(1, class.1);
        is_there && total > self.most(if is_large { 1 } else { IDLE_FACTOR }, class.1)
    }

    /// Takes out free buffers, the longest unused first, until what there is and `more` bytes are within bounds.
    fn surplus(&mut self, more: u64) -> Vec<wgpu::Buffer> {
        let [idle_most, most] = [IDLE_FACTOR, FACTOR].map(|factor| self.most(factor, more));
        let mut surplus = Vec::new();
        loop {
            let total = self.memory.live + self.memory.pooled + more;
            if total <= idle_most {
                return surplus;
            }
            let free = self.ready.iter_mut().chain(&mut self.recorded);
            let storage = free.filter(|((kind, _), _)| *kind == Kind::Storage);
            let oldest = storage
                .filter_map(|(&(_, bytes), buffers)| Some((buffers.front()?.since, bytes, buffers)))
                .min_by_key(|&(since, bytes, _)| (since, Reverse(bytes)));
            match oldest {
                Some((since, bytes, buffers)) if total > most || since + IDLE_AFTER < self.submissions => {
                    surplus.extend(buffers.pop_front().map(|free| free.buffer));
                    self.memory.pooled -= bytes;
                }
                _ => return surplus,
            }
        }
    }

    fn count_live(&mut self, (kind, bytes): (Kind, u64)) {
        if kind == Kind::Storage {
            self.memory.live += bytes;
            self.memory.peak = self.memory.peak.max(self.memory.live);
            self.peaks[0] = self.peaks[0].max(self.memory.live);
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
            freed.extend(buffers.into_iter().map(|free| free.buffer));
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
        let free = Free { buffer: self.buffer.clone(), since: pool.submissions };
        match kind {
            Kind::Storage => {
                pool.memory.pooled += bytes;
                pool.recorded.entry(self.class).or_default().push_back(free);
            }
            Kind::ReadBack if pool.free_staging + bytes > KEPT_STAGING => pool.memory.staging -= bytes,
            Kind::ReadBack => {
                pool.free_staging += bytes;
                pool.ready.entry(self.class).or_default().push_back(free);
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
        let mut taken = lock(&self.inner.pool).take(class, for_upload);
        if taken.is_none() && for_upload && lock(&self.inner.pool).is_worth_submitting(class) {
            self.submit_if(true);
            taken = lock(&self.inner.pool).take(class, for_upload);
        }
        let buffer = match taken {
            Some(buffer) => buffer,
            None => {
                if kind == Kind::Storage {
                    let surplus = lock(&self.inner.pool).surplus(class.1);
                    self.let_go(surplus);
                }
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

    /// Drops buffers of the pool, with the bind groups that hold them. Not under a lock: wgpu may run callbacks meanwhile.
    pub(super) fn let_go(&self, mut surplus: Vec<wgpu::Buffer>) {
        if !surplus.is_empty() {
            surplus.sort_unstable();
            log::trace!("let go of {} buffers", surplus.len());
            lock(&self.inner.caches).forget(&surplus);
        }
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
