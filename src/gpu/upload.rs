//! Uploads: through a ring of a few staging buffers, in the order of the calls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};
use crate::gpu::tensor::Storage;
use crate::gpu::{Gpu, lock};

/// How many staging buffers there are at most.
const CHUNKS: usize = 4;

/// The size of each.
const CHUNK_BYTES: u64 = 2 << 20;

/// Uploads that are not submitted, and what they pass through.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// Copies out of staging buffers. It is submitted before the calls that are pending.
    encoder: Option<wgpu::CommandEncoder>,
    /// Full, and in `encoder`.
    filled: Vec<Chunk>,
    /// Mapped, and being filled.
    open: Option<Chunk>,
    /// Submitted, or waiting to be mapped again; the longest submitted first.
    in_flight: VecDeque<Chunk>,
    /// Staging bytes made, less those dropped, that the pool has not been told of.
    uncounted: i64,
}

/// A staging buffer.
#[derive(Debug)]
pub(super) struct Chunk {
    buffer: wgpu::Buffer,
    used: u64,
    mapping: Arc<AtomicU8>,
    submission: Option<wgpu::SubmissionIndex>,
}

/// What became of a chunk's mapping.
const IS_AWAITED: u8 = 0;
const IS_MAPPED: u8 = 1;
const IS_BROKEN: u8 = 2;

impl Chunk {
    /// Ends writing to it. May raise errors of wgpu's, as may [`Chunk::submitted`].
    pub fn unmap(&self) {
        self.buffer.unmap();
    }

    /// It is submitted, and wanted back when that is done.
    pub fn submitted(self, index: &wgpu::SubmissionIndex) -> Self {
        let mapping = Arc::<AtomicU8>::default();
        let result = Arc::clone(&mapping);
        self.buffer.map_async(wgpu::MapMode::Write, .., move |mapped| {
            result.store(if mapped.is_ok() { IS_MAPPED } else { IS_BROKEN }, Ordering::Release);
        });
        Chunk { used: 0, mapping, submission: Some(index.clone()), ..self }
    }
}

impl Uploads {
    /// The copies that are to be submitted, and the chunks that they are from.
    pub fn take(&mut self) -> Option<(wgpu::CommandEncoder, Vec<Chunk>)> {
        let encoder = self.encoder.take()?;
        let chunks: Vec<_> = self.filled.drain(..).chain(self.open.take()).collect();
        self.uncounted -= chunks.len() as i64 * CHUNK_BYTES as i64;
        Some((encoder, chunks))
    }

    /// Takes chunks back that are submitted, as many as are to be kept.
    pub fn give_back(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks {
            if !self.is_full() {
                self.uncounted += CHUNK_BYTES as i64;
                self.in_flight.push_back(chunk);
            }
        }
    }

    /// Drops the staging buffers that hold nothing, and returns how the number of their bytes has changed.
    pub fn trim(&mut self) -> i64 {
        if self.encoder.is_none() {
            let dropped = self.in_flight.drain(..).chain(self.open.take()).count();
            self.uncounted -= dropped as i64 * CHUNK_BYTES as i64;
        }
        std::mem::take(&mut self.uncounted)
    }

    /// Whether there is nothing to submit.
    pub fn is_empty(&self) -> bool {
        self.encoder.is_none()
    }

    fn is_full(&self) -> bool {
        self.filled.len() + self.in_flight.len() + usize::from(self.open.is_some()) >= CHUNKS
    }

    /// Makes sure that there is a chunk to fill, or says what has to be done first.
    fn open(&mut self, gpu: &Gpu) -> Result<Step> {
        if self.open.as_ref().is_some_and(|chunk| chunk.used < chunk.buffer.size()) {
            return Ok(Step::Fill);
        }
        self.filled.extend(self.open.take());
        match self.in_flight.front().map(|chunk| chunk.mapping.load(Ordering::Acquire)) {
            Some(IS_MAPPED) => {
                self.open = self.in_flight.pop_front();
                return Ok(Step::Fill);
            }
            Some(IS_BROKEN) => {
                self.in_flight.pop_front();
                self.uncounted -= CHUNK_BYTES as i64;
            }
            _ => {}
        }
        if self.is_full() {
            return Ok(match self.in_flight.front() {
                Some(Chunk { submission: Some(index), mapping, .. }) => {
                    Step::WaitFor(index.clone(), Arc::clone(mapping))
                }
                _ => Step::Submit,
            });
        }
        let buffer = gpu.scoped_quietly(|device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgdnn upload"),
                size: CHUNK_BYTES.min(gpu.limits().max_buffer_size),
                usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: true,
            })
        })?;
        self.uncounted += CHUNK_BYTES as i64;
        self.open = Some(Chunk { buffer, used: 0, mapping: Arc::default(), submission: None });
        Ok(Step::Fill)
    }
}

/// What an upload has to do next.
enum Step {
    Fill,
    Submit,
    WaitFor(wgpu::SubmissionIndex, Arc<AtomicU8>),
}

impl Gpu {
    /// Writes `data` to a tensor that no pending call uses.
    pub(super) fn upload(&self, storage: &Storage, data: &[u8]) -> Result<()> {
        if cfg!(target_arch = "wasm32") {
            // There is no waiting for a staging buffer here; the browser has its own.
            self.inner.queue.write_buffer(storage.buffer(), storage.offset(), data);
            return Ok(());
        }
        let mut done = 0;
        while done < data.len() {
            let step = {
                let mut pending = lock(&self.inner.pending);
                let step = pending.uploads.open(self).and_then(|step| {
                    if let Step::Fill = step {
                        done += self.fill(&mut pending.uploads, storage, done as u64, &data[done..])?;
                        storage.add_submission(&pending.submission);
                    }
                    Ok(step)
                });
                lock(&self.inner.pool).count_staging(std::mem::take(&mut pending.uploads.uncounted));
                step
            };
            // These poll or submit, which runs the caller's callbacks: not under the lock.
            match step.map_err(|error| self.explained(error))? {
                Step::Fill => {}
                Step::Submit => self.submit()?,
                Step::WaitFor(submission, mapping) => {
                    if !self.wait_until(submission, || mapping.load(Ordering::Acquire) != IS_AWAITED) {
                        mapping.store(IS_BROKEN, Ordering::Release);
                    }
                    self.check_device()?;
                }
            }
        }
        Ok(())
    }

    /// Copies as much of `data` as the open chunk holds, and returns how much that is.
    fn fill(&self, uploads: &mut Uploads, storage: &Storage, at: u64, data: &[u8]) -> Result<usize> {
        let Some(chunk) = &mut uploads.open else { return Ok(0) };
        let bytes = (chunk.buffer.size() - chunk.used).min(data.len() as u64);
        if uploads.encoder.is_none() {
            uploads.encoder = Some(self.new_encoder("wgdnn upload")?);
        }
        let Some(encoder) = &mut uploads.encoder else { return Ok(0) };
        let filled = write_mapped(&chunk.buffer, chunk.used, &data[..bytes as usize]);
        if let Err(error) = filled {
            // A lost device's buffers are not mapped any more; this one is of no more use.
            uploads.open = None;
            uploads.uncounted -= CHUNK_BYTES as i64;
            return Err(error);
        }
        encoder.copy_buffer_to_buffer(&chunk.buffer, chunk.used, storage.buffer(), storage.offset() + at, bytes);
        // Mapped ranges begin at multiples of 8.
        chunk.used += bytes.next_multiple_of(wgpu::MAP_ALIGNMENT);
        Ok(bytes as usize)
    }
}

/// Writes into a mapped buffer.
pub(super) fn write_mapped(buffer: &wgpu::Buffer, at: u64, data: &[u8]) -> Result<()> {
    buffer
        .get_mapped_range_mut(at..at + data.len() as u64)
        .map_err(|error| Error::Validation { reason: error.to_string() })?
        .copy_from_slice(data);
    Ok(())
}
