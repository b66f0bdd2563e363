//! Uploads: through a ring of a few staging buffers, in the order of the calls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::{Error, Result};
use crate::gpu::storage::Storage;
use crate::gpu::{Gpu, count_made, lock};

/// The most staging buffers.
const CHUNKS: usize = 4;

/// The bytes of each.
const CHUNK_BYTES: u64 = 2 << 20;

/// Uploads that are not submitted, and the staging buffers that they use.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    /// The copies out of staging buffers. Submitted before the pending calls.
    encoder: Option<wgpu::CommandEncoder>,
    /// Full, and used by `encoder`.
    filled: Vec<Chunk>,
    /// Mapped, and being filled.
    open: Option<Chunk>,
    /// Submitted, or waiting to be mapped again; the first submitted comes first.
    in_flight: VecDeque<Chunk>,
    /// Staging bytes made, less those dropped, that the pool does not know of yet.
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

/// The result of a chunk's mapping.
const IS_AWAITED: u8 = 0;
const IS_MAPPED: u8 = 1;
const IS_BROKEN: u8 = 2;

impl Chunk {
    /// Ends writing to it. May raise wgpu errors, as may [`Chunk::submitted`].
    pub fn unmap(&self) {
        self.buffer.unmap();
    }

    /// Notes that it is submitted. It is mapped again after the submission is done.
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
    /// The copies to submit, and the chunks that they read.
    pub fn take(&mut self) -> Option<(wgpu::CommandEncoder, Vec<Chunk>)> {
        let encoder = self.encoder.take()?;
        let chunks: Vec<_> = self.filled.drain(..).chain(self.open.take()).collect();
        self.uncounted -= chunks.len() as i64 * CHUNK_BYTES as i64;
        Some((encoder, chunks))
    }

    /// Takes back submitted chunks, as many as are kept.
    pub fn give_back(&mut self, chunks: Vec<Chunk>) {
        for chunk in chunks {
            if !self.is_full() {
                self.uncounted += CHUNK_BYTES as i64;
                self.in_flight.push_back(chunk);
            }
        }
    }

    /// Drops the staging buffers that hold nothing, and returns the change in their bytes.
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

    /// Makes sure that there is a chunk to fill, or returns what must be done first.
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
            count_made();
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

/// What an upload must do next.
enum Step {
    Fill,
    Submit,
    WaitFor(wgpu::SubmissionIndex, Arc<AtomicU8>),
}

impl Gpu {
    /// Writes `data` to a tensor that no pending call uses: all of its storage, or the part that begins at this byte.
    pub(super) fn upload(&self, storage: &Storage, part: Option<u64>, data: &[u8]) -> Result<()> {
        let at = part.unwrap_or(0);
        if cfg!(target_arch = "wasm32") {
            // A browser cannot wait for a staging buffer here; the queue has its own.
            self.inner.queue.write_buffer(storage.buffer(), storage.offset() + at, data);
            return Ok(());
        }
        let mut done = 0;
        while done < data.len() {
            let step = {
                let mut pending = lock(&self.inner.pending);
                let step = pending.uploads.open(self).and_then(|step| {
                    if let Step::Fill = step {
                        let filled = self.fill(&mut pending.uploads, storage, at + done as u64, &data[done..])?;
                        if done == 0 {
                            storage.write(part.is_some(), &pending.submission);
                        } else {
                            storage.add_submission(&pending.submission);
                        }
                        done += filled;
                    }
                    Ok(step)
                });
                lock(&self.inner.pool).count_staging(std::mem::take(&mut pending.uploads.uncounted));
                step
            };
            // These poll or submit, which runs the caller's callbacks, so not under the lock.
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

    /// Zeros the first `bytes` of a tensor that no pending call uses.
    pub(super) fn clear(&self, storage: &Storage, bytes: u64) -> Result<()> {
        let cleared = {
            let mut pending = lock(&self.inner.pending);
            storage.set_submission(&pending.submission);
            let encoder = self.upload_encoder(&mut pending.uploads);
            encoder.map(|encoder| encoder.clear_buffer(storage.buffer(), storage.offset(), Some(bytes)))
        };
        cleared.map_err(|error| self.explained(error))
    }

    fn upload_encoder<'a>(&self, uploads: &'a mut Uploads) -> Result<&'a mut wgpu::CommandEncoder> {
        let encoder = match uploads.encoder.take() {
            Some(encoder) => encoder,
            None => self.new_encoder("wgdnn upload")?,
        };
        Ok(uploads.encoder.insert(encoder))
    }

    /// Copies as much of `data` as fits into the open chunk, and returns how much.
    fn fill(&self, uploads: &mut Uploads, storage: &Storage, at: u64, data: &[u8]) -> Result<usize> {
        let Some(chunk) = &mut uploads.open else { return Ok(0) };
        let bytes = (chunk.buffer.size() - chunk.used).min(data.len() as u64);
        let filled = write_mapped(&chunk.buffer, chunk.used, &data[..bytes as usize]);
        if let Err(error) = filled {
            // A lost device does not map buffers again, so this one is useless.
            uploads.open = None;
            uploads.uncounted -= CHUNK_BYTES as i64;
            return Err(error);
        }
        let (buffer, from) = (chunk.buffer.clone(), chunk.used);
        // Mapped ranges begin at multiples of 8.
        chunk.used += bytes.next_multiple_of(wgpu::MAP_ALIGNMENT);
        let encoder = self.upload_encoder(uploads)?;
        encoder.copy_buffer_to_buffer(&buffer, from, storage.buffer(), storage.offset() + at, bytes);
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
