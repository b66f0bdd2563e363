//! A pool of buffers: they return when dropped, and are handed out again for the same size.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{Error, Result};
use crate::gpu::{Gpu, count_made, lock};
use crate::shape::ELEMENT_BYTES;

/// The bytes of free read-back buffers that are kept.
const KEPT_STAGING: u64 = 8 << 20;

/// The submissions of an age. The recent peak is that of this age and the one before.
const SUBMISSIONS_PER_AGE: u64 = 16;

/// A free buffer is idle if this many submissions did not use it.
const IDLE_AFTER: u64 = 4;

/// All buffers may take this many times the recent peak of `live`: counting idle ones, and without them.
const IDLE_FACTOR: u64 = 2;
const FACTOR: u64 = 3;

/// The bytes that may be kept even if nothing is live.
const KEPT_BYTES: u64 = 4 << 20;

/// The smallest buffer.
const LEAST_BYTES: u64 = 256;

/// The GPU memory of a device's tensors and workspaces, in bytes of buffers.
///
/// `live` and `pooled` together stay within 4 MiB or twice the recent peak of `live`, whichever is more. The recent
/// peak is that of the last 16 to 32 submissions. Buffers that the last 4 submissions used are kept beyond that, up to
/// three times the peak, so that repeated calls on the same shapes make no buffers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Held by tensors.
    pub live: u64,
    /// Free, and kept for later calls. [`Gpu::trim`] frees it; later calls free what is above the bounds.
    pub pooled: u64,
    /// The largest value that `live` ever had.
    pub peak: u64,
    /// Used by uploads and read-backs. Some 16 MiB are kept, and at most 32 MiB are in use, apart from 64 KiB for each
    /// further read-back.
    pub staging: u64,
}

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A tensor or a workspace.
    Storage,
    /// A piece of a read-back.
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
    /// The number of submissions before it was dropped.
    since: u64,
}

/// Free buffers by kind and size, in the order in which they were dropped.
type FreeBuffers = HashMap<(Kind, u64), VecDeque<Free>>;

#[derive(Debug, Default)]
pub(crate) struct Pool {
    /// Free, and used by nothing that is not yet submitted.
    ready: FreeBuffers,
    /// Free, but pending calls may use them. Calls recorded later may take them; an upload may not, since it is
    /// submitted before the pending calls.
    recorded: FreeBuffers,
    memory: Memory,
    submissions: u64,
    /// The peak of `live` in this age, and in the one before.
    peaks: [u64; 2],
    /// The bytes of free read-back buffers.
    free_staging: u64,
}

impl Pool {
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Counts staging bytes that were made or, if negative, dropped.
    pub fn count_staging(&mut self, bytes: i64) {
        self.memory.staging = self.memory.staging.saturating_add_signed(bytes);
    }

    /// Notes that what was recorded is submitted. Returns the buffers that exceed the bounds.
    pub fn submitted(&mut self) -> Vec<wgpu::Buffer> {
        // The queues stay in the map, so that reusing a buffer allocates nothing.
        for (&class, buffers) in &mut self.recorded {
            if !buffers.is_empty() {
                self.ready.entry(class).or_default().append(buffers);
            }
        }
        self.submissions += 1;
        if self.submissions.is_multiple_of(SUBMISSIONS_PER_AGE) {
            self.peaks = [self.memory.live, self.peaks[0]];
        }
        self.surplus(0)
    }

    /// Takes out a free buffer and counts it as live.
    fn take(&mut self, class: (Kind, u64), for_upload: bool) -> Option<wgpu::Buffer> {
        let recorded = if for_upload { None } else { self.recorded.get_mut(&class).and_then(VecDeque::pop_back) };
        let free = recorded.or_else(|| self.ready.get_mut(&class).and_then(VecDeque::pop_back))?;
        match class.0 {
            Kind::Storage => self.memory.pooled -= class.1,
            Kind::ReadBack => self.free_staging -= class.1,
        }
        self.count_live(class);
        Some(free.buffer)
    }

    /// The most bytes of buffers at a factor of the recent peak, with `more` to come.
    fn most(&self, factor: u64, more: u64) -> u64 {
        let peak = self.peaks[0].max(self.peaks[1]).max(self.memory.live + more);
        (peak * factor).max(KEPT_BYTES)
    }

    /// Whether an upload should submit the pending calls and reuse one of their buffers rather than make another.
    fn is_worth_submitting(&self, class: (Kind, u64)) -> bool {
        let is_there = self.recorded.get(&class).is_some_and(|buffers| !buffers.is_empty());
        let total = self.memory.live + self.memory.pooled + class.1;
        // Sooner for large buffers, since a submit takes less time than making them.
        let is_large = class.1 * 16 >= self.most(1, class.1);
        is_there && total > self.most(if is_large { 1 } else { IDLE_FACTOR }, class.1)
    }

    /// Takes out free buffers, the longest unused first, until all buffers and `more` bytes are within the bounds.
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

    /// Takes out all free buffers.
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

/// A buffer of the pool, which returns when dropped.
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    buffer: wgpu::Buffer,
    class: (Kind, u64),
    pool: Arc<Mutex<Pool>>,
    /// Whether it must not return: a caller who has seen it may have recorded it into commands that are not submitted.
    is_exposed: AtomicBool,
}

impl PooledBuffer {
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Whether anybody else holds it.
    pub fn is_exposed(&self) -> bool {
        self.is_exposed.load(Ordering::Relaxed)
    }

    /// Keeps the buffer out of the pool while anybody else holds it.
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

/// The size of the buffers that serve `bytes`: a power of two, or one and a quarter, a half or three quarters of it. So
/// at most a fifth is unused.
fn class_bytes(bytes: u64, most: u64) -> u64 {
    let bytes = bytes.max(LEAST_BYTES);
    let step = (bytes.next_power_of_two() / 8).max(1);
    bytes.next_multiple_of(step).min((most & !3).max(bytes))
}

impl Gpu {
    /// A buffer of at least `bytes`, with arbitrary contents.
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
                        count_made();
                        device.create_buffer(&wgpu::BufferDescriptor {
                            label: Some(if kind == Kind::Storage { "wgdnn tensor" } else { "wgdnn read-back" }),
                            size: class.1,
                            usage: kind.usage(),
                            mapped_at_creation: false,
                        })
                    })
                };
                let buffer = match create() {
                    // The memory that is missing may be what is kept for later.
                    Err(Error::OutOfMemory { .. }) => {
                        log::warn!("out of memory for {} bytes: giving back what is free", class.1);
                        self.free_unused();
                        create()?
                    }
                    result => result?,
                };
                let mut pool = lock(&self.inner.pool);
                if kind == Kind::ReadBack {
                    pool.count_staging(class.1 as i64);
                }
                pool.count_live(class);
                buffer
            }
        };
        Ok(PooledBuffer { buffer, class, pool: Arc::clone(&self.inner.pool), is_exposed: AtomicBool::new(false) })
    }

    /// Drops buffers of the pool, and the bind groups that hold them. Not under a lock, since wgpu may run callbacks
    /// meanwhile.
    pub(super) fn let_go(&self, mut surplus: Vec<wgpu::Buffer>) {
        if !surplus.is_empty() {
            surplus.sort_unstable();
            log::trace!("let go of {} buffers", surplus.len());
            lock(&self.inner.caches).forget(&surplus);
        }
    }

    /// Frees all free buffers, and waits until the device has released them.
    fn free_unused(&self) {
        self.trim();
        #[cfg(not(target_arch = "wasm32"))]
        let _ = self.inner.device.poll(wgpu::PollType::wait_indefinitely());
    }

    /// Checks a buffer of `elements` elements against the device's limits, and returns its bytes.
    pub(crate) fn check_size(&self, operator: &'static str, argument: &'static str, elements: usize) -> Result<u64> {
        let bytes = (elements as u64).max(1) * ELEMENT_BYTES;
        let maximum = self.limits().max_buffer_size;
        if bytes > maximum {
            return Err(Error::LimitExceeded {
                operator,
                argument,
                item: None,
                limit: "max_buffer_size",
                maximum,
                actual: bytes,
            });
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
        self.inner.fresh_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(buffer)
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
