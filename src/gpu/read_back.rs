//! Read-backs: in pieces, through staging buffers of the pool.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
#[cfg(not(target_arch = "wasm32"))]
use std::time::Duration;

use futures_intrusive::channel::shared::{OneshotReceiver, OneshotSender, oneshot_channel};

use crate::error::{Error, Result};
use crate::gpu::pool::{Kind, PooledBuffer};
use crate::gpu::storage::{Storage, TENSOR};
use crate::gpu::{DeviceState, Gpu, lock};

/// The most bytes of one piece.
const PIECE_BYTES: u64 = 4 << 20;

/// How many pieces are in flight at once: the GPU copies one while the CPU copies another.
const PIECES: usize = 2;

/// If more staging than this is in use, parallel read-backs take one small piece at a time. No read-back waits for
/// another, since a future that is not polled makes no progress.
const MUCH_STAGING: u64 = 32 << 20;
const SMALL_PIECE_BYTES: u64 = 64 << 10;

/// How often, and how many times, to look for a mapping that should have arrived.
#[cfg(not(target_arch = "wasm32"))]
const LOOK_EVERY: Duration = Duration::from_millis(1);
#[cfg(not(target_arch = "wasm32"))]
const LOOKS: usize = 500;

type MapResult = std::result::Result<(), String>;

/// A piece that is being copied.
struct Piece {
    staging: PooledBuffer,
    bytes: u64,
    receiver: OneshotReceiver<MapResult>,
    mapping: Mapping,
}

/// A mapping that needs a thread to poll for it.
#[derive(Clone)]
struct Mapping {
    submission: wgpu::SubmissionIndex,
    is_done: Arc<AtomicBool>,
    sender: Arc<OneshotSender<MapResult>>,
}

impl Mapping {
    /// Polls until the mapping is done, or sends that it will not be.
    #[cfg(not(target_arch = "wasm32"))]
    fn wait(self, device: &wgpu::Device, state: &DeviceState) {
        if !poll_until(device, state, self.submission, || self.is_done.load(Ordering::Acquire)) {
            // The receiver may have been dropped.
            let _ = self.sender.send(Err("no mapping came".into()));
        }
    }
}

/// Waits for a submission and for the callback at its end. Returns whether it arrived: on a lost device it may not.
#[cfg(not(target_arch = "wasm32"))]
fn poll_until(
    device: &wgpu::Device,
    state: &DeviceState,
    submission: wgpu::SubmissionIndex,
    is_done: impl Fn() -> bool,
) -> bool {
    // No timeout: wgpu-core can panic when a timeout expires while another thread polls.
    let _ = device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None });
    // Another thread's poll may have taken the callback, without having run it yet.
    for _ in 0..LOOKS {
        if is_done() {
            return true;
        }
        if state.check_lost().is_err() {
            break;
        }
        std::thread::sleep(LOOK_EVERY);
        let _ = device.poll(wgpu::PollType::Poll);
    }
    is_done()
}

/// A thread that waits for read-backs, so that executors need not. The first read-back starts it.
#[derive(Debug)]
pub(super) struct Waiter {
    device: wgpu::Device,
    state: Arc<DeviceState>,
    thread: Mutex<Option<mpsc::Sender<Mapping>>>,
}

impl Waiter {
    pub fn new(device: &wgpu::Device, state: &Arc<DeviceState>) -> Self {
        Waiter { device: device.clone(), state: Arc::clone(state), thread: Mutex::new(None) }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn wait_for(&self, mapping: Mapping) {
        let mut thread = lock(&self.thread);
        let sender = thread.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel::<Mapping>();
            let (device, state) = (self.device.clone(), Arc::clone(&self.state));
            // Ends when the last `Gpu` drops the sender.
            let wait = move || receiver.into_iter().for_each(|mapping| mapping.wait(&device, &state));
            let builder = std::thread::Builder::new().name("wgdnn read-back".into());
            if let Err(error) = builder.spawn(wait) {
                log::error!("no thread for read-backs: {error}");
            }
            sender
        });
        if let Err(mpsc::SendError(mapping)) = sender.send(mapping) {
            // Without the thread, blocking the executor is better than waiting for ever.
            *thread = None;
            drop(thread);
            mapping.wait(&self.device, &self.state);
        }
    }

    #[cfg(target_arch = "wasm32")]
    fn wait_for(&self, _: Mapping) {
        // The page's own loop polls.
    }
}

impl Gpu {
    /// Waits for a submission and for the callback at its end. Returns whether it arrived.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn wait_until(&self, submission: wgpu::SubmissionIndex, is_done: impl Fn() -> bool) -> bool {
        poll_until(&self.inner.device, &self.inner.state, submission, is_done)
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn wait_until(&self, _: wgpu::SubmissionIndex, is_done: impl Fn() -> bool) -> bool {
        is_done()
    }

    /// Reads what `storage` holds in this range after all calls so far. `wait` gets the mapping of each piece.
    async fn read_pieces<T: bytemuck::Pod>(
        &self,
        storage: &Storage,
        Range { start, end }: Range<u64>,
        wait: impl Fn(Mapping),
    ) -> Result<Vec<T>> {
        let bytes = end - start;
        self.check_device()?;
        // A failure shows in the tensors that these calls write, and concerns no other.
        let _ = self.submit();
        storage.check()?;
        let mut data = Vec::new();
        data.try_reserve_exact(bytes as usize / size_of::<T>()).map_err(|_| Error::OutOfMemory {
            reason: format!("the program itself has no {bytes} bytes left for a read-back"),
        })?;
        let mut pieces = VecDeque::new();
        let mut begun = 0;
        while begun < bytes || !pieces.is_empty() {
            while begun < bytes && pieces.len() < PIECES {
                let is_busy = self.memory().staging > MUCH_STAGING;
                if is_busy && !pieces.is_empty() {
                    break;
                }
                let most = if is_busy { SMALL_PIECE_BYTES } else { PIECE_BYTES };
                let piece = self.copy_piece(storage, start + begun, (bytes - begun).min(most), bytes.min(most))?;
                begun += piece.bytes;
                pieces.push_back(piece);
            }
            if let Some(piece) = pieces.pop_front() {
                wait(piece.mapping.clone());
                let result = piece.receiver.receive().await;
                self.take_piece(piece, result, &mut data)?;
            }
        }
        Ok(data)
    }

    /// Submits a copy of a piece into a staging buffer of `room` bytes, and maps the buffer.
    fn copy_piece(&self, storage: &Storage, at: u64, bytes: u64, room: u64) -> Result<Piece> {
        let staging = self.pooled(Kind::ReadBack, room, false)?;
        // Out of the pool until it is certainly unmapped: if a read-back is dropped while another thread polls, its
        // buffer may become mapped after the unmap.
        staging.set_exposed(true);
        let submission = self.scoped(|device| {
            let descriptor = wgpu::CommandEncoderDescriptor { label: Some("wgdnn read-back") };
            let mut encoder = device.create_command_encoder(&descriptor);
            encoder.copy_buffer_to_buffer(storage.buffer(), storage.offset() + at, staging.buffer(), 0, bytes);
            self.inner.queue.submit([encoder.finish()])
        });
        let submission = submission.map_err(|error| error.about_buffer(TENSOR, "buffer".into()))?;
        let (sender, receiver) = oneshot_channel();
        let mapping = Mapping { submission, is_done: Arc::default(), sender: Arc::new(sender) };
        let Mapping { is_done, sender, .. } = mapping.clone();
        self.scoped(|_| {
            staging.buffer().map_async(wgpu::MapMode::Read, ..bytes, move |result| {
                is_done.store(true, Ordering::Release);
                // If the read-back was dropped, nothing receives this.
                let _ = sender.send(result.map_err(|error| error.to_string()));
            });
        })?;
        Ok(Piece { staging, bytes, receiver, mapping })
    }

    fn take_piece<T: bytemuck::Pod>(&self, piece: Piece, mapped: Option<MapResult>, data: &mut Vec<T>) -> Result<()> {
        // Checked first, since after a loss everything seems to succeed.
        self.check_device()?;
        mapped
            .unwrap_or_else(|| Err("it was dropped".into()))
            .map_err(|reason| self.explained(Error::Validation { reason: format!("a read-back failed: {reason}") }))?;
        let buffer = piece.staging.buffer();
        let range = buffer
            .get_mapped_range(..piece.bytes)
            .map_err(|error| self.explained(Error::Validation { reason: error.to_string() }))?;
        match bytemuck::try_cast_slice(&range) {
            Ok(elements) => data.extend_from_slice(elements),
            // The mapping is at an odd address.
            Err(_) => data.extend(bytemuck::pod_collect_to_vec::<u8, T>(&range)),
        }
        drop(range);
        self.scoped(|_| buffer.unmap())?;
        piece.staging.set_exposed(false);
        Ok(())
    }

    /// Reads a whole buffer of this crate.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn read_buffer_blocking<T: bytemuck::Pod>(&self, buffer: &wgpu::Buffer) -> Result<Vec<T>> {
        self.read_storage_blocking(&Storage::over(buffer.clone()), 0..buffer.size())
    }

    pub(super) async fn read_storage<T: bytemuck::Pod>(&self, storage: &Storage, range: Range<u64>) -> Result<Vec<T>> {
        self.read_pieces(storage, range, |mapping| self.inner.waiter.wait_for(mapping)).await
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn read_storage_blocking<T: bytemuck::Pod>(
        &self,
        storage: &Storage,
        range: Range<u64>,
    ) -> Result<Vec<T>> {
        pollster::block_on(
            self.read_pieces(storage, range, |mapping| mapping.wait(&self.inner.device, &self.inner.state)),
        )
    }
}
