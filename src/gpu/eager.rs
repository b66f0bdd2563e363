//! Eager calls: they collect in one encoder, which is submitted when something is read or enough calls are pending.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;

use crate::error::Result;
use crate::gpu::profile::Profile;
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::storage::{Submission, Use};
use crate::gpu::upload::{Chunk, Uploads};
use crate::gpu::work::Work;
use crate::gpu::{Gpu, lock};

/// Eager calls are submitted once this many are pending, so that the GPU starts while the caller still records.
const PENDING_CALLS: usize = 128;

/// Eager calls are submitted once they hold this many bytes of fresh buffers, so that uploads can reuse dropped
/// buffers.
const PENDING_BYTES: u64 = 256 << 20;

/// The eager calls that are not submitted.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Declared before the encoder, so that it is dropped first, which ends it.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    /// What comes before `encoder`, in order. Used where a caller's own dispatches are among the calls.
    ahead: Vec<Recorded>,
    pub uploads: Uploads,
    pub submission: Arc<Submission>,
    calls: usize,
    pub profile: Option<Profile>,
}

/// Some of the pending commands.
#[derive(Debug)]
pub(super) enum Recorded {
    Calls(wgpu::CommandEncoder),
    /// The caller's own dispatches, finished.
    Own(wgpu::CommandBuffer),
}

impl Recorded {
    fn finish(self) -> wgpu::CommandBuffer {
        match self {
            Recorded::Calls(encoder) => encoder.finish(),
            Recorded::Own(commands) => commands,
        }
    }
}

impl Pending {
    /// Appends commands to all that is pending.
    pub fn put_behind(&mut self, recorded: Recorded) {
        drop(self.pass.take());
        self.ahead.extend(self.encoder.take().map(Recorded::Calls));
        self.ahead.push(recorded);
    }

    /// Counts a call with this many bytes of fresh buffers, and returns whether it is time to submit.
    pub fn count_call(&mut self, fresh_bytes: u64) -> bool {
        self.calls += 1;
        self.calls >= PENDING_CALLS || fresh_bytes >= PENDING_BYTES
    }

    fn is_empty(&self) -> bool {
        self.encoder.is_none() && self.ahead.is_empty() && self.uploads.is_empty()
    }
}

/// Whose turn it is to submit. wgpu runs the caller's callbacks at the end of a submit, so this crate must hold no lock
/// there that they need. But submits must keep the order of the calls. A callback may submit too.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The submitting thread, and the depth of submits that its callbacks make within each other.
    holder: Mutex<Option<(ThreadId, usize)>>,
    is_free: Condvar,
}

/// Passes the turn on when dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    /// Takes the turn, if no other thread has it.
    fn try_take(&self) -> Option<Turn<'_>> {
        let this = std::thread::current().id();
        let mut holder = lock(&self.holder);
        let depth = match *holder {
            None => 0,
            Some((thread, depth)) if thread == this => depth,
            Some(_) => return None,
        };
        *holder = Some((this, depth + 1));
        Some(Turn(self))
    }

    /// Waits for the turn.
    fn take(&self) -> Turn<'_> {
        loop {
            if let Some(turn) = self.try_take() {
                return turn;
            }
            let holder = lock(&self.holder);
            let is_taken = |holder: &mut Option<(ThreadId, usize)>| holder.is_some();
            drop(self.is_free.wait_while(holder, is_taken).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut holder = lock(&self.0.holder);
        *holder = holder.and_then(|(thread, depth)| (depth > 1).then_some((thread, depth - 1)));
        drop(holder);
        self.0.is_free.notify_all();
    }
}

impl Gpu {
    /// Submits the eager calls that are pending. As with wgpu's own submit, callbacks that are due may run in here.
    ///
    /// # Errors
    /// [`DeviceLost`](crate::Error::DeviceLost), [`Validation`](crate::Error::Validation) or
    /// [`OutOfMemory`](crate::Error::OutOfMemory) if wgpu refuses them. Then none of them ran, and reading or using what they
    /// would have written gives the same error.
    pub fn submit(&self) -> Result<()> {
        self.check_device()?;
        self.submit_pending(&self.inner.turns.take())
    }

    /// Submits uploads, and then the calls.
    fn submit_pending(&self, _: &Turn<'_>) -> Result<()> {
        let (uploads, ahead, encoder, submission, surplus, result) = {
            let mut pending = lock(&self.inner.pending);
            if pending.is_empty() {
                return Ok(());
            }
            let Pending { pass, encoder, ahead, uploads, submission, calls, profile } = &mut *pending;
            drop(pass.take());
            log::trace!("submit {calls} calls");
            *calls = 0;
            self.inner.fresh_bytes.store(0, Ordering::Relaxed);
            let mut encoder = encoder.take();
            let mut result = Ok(());
            if let Some(profile) = profile {
                result = match encoder.take().map_or_else(|| self.new_encoder("wgdnn profile"), Ok) {
                    Ok(last) => {
                        let last = encoder.insert(last);
                        self.scoped_quietly(|device| profile.resolve(device, last))
                    }
                    Err(error) => Err(error),
                };
            }
            // Later uploads are submitted after all that was recorded so far.
            let surplus = lock(&self.inner.pool).submitted();
            (uploads.take(), std::mem::take(ahead), encoder, std::mem::take(submission), surplus, result)
        };
        let submitted = self.scoped(|_| {
            let (uploading, chunks) = uploads.map_or((None, Vec::new()), |(encoder, chunks)| (Some(encoder), chunks));
            chunks.iter().for_each(Chunk::unmap);
            let parts = uploading.map(Recorded::Calls).into_iter().chain(ahead).chain(encoder.map(Recorded::Calls));
            let index = self.inner.queue.submit(parts.map(Recorded::finish));
            chunks.into_iter().map(|chunk| chunk.submitted(&index)).collect::<Vec<_>>()
        });
        // After the submit, which may use them.
        self.let_go(surplus);
        let result = result.map_err(|error| self.explained(error));
        let result = result.and(submitted.map(|chunks| lock(&self.inner.pending).uploads.give_back(chunks)));
        result.inspect(|()| submission.succeed()).inspect_err(|error| {
            submission.fail(error);
            let mut pending = lock(&self.inner.pending);
            // Calls recorded meanwhile may use results that are missing.
            if !pending.is_empty() {
                pending.submission.fail(error);
            }
            if let Some(profile) = &mut pending.profile {
                profile.fail(error);
            }
        })
    }

    /// Records an eager call, of which `tensors` holds the tensor of each argument, into the pending encoder.
    pub(crate) fn eager(&self, work: &dyn Work, arguments: &[Argument<'_>], tensors: &[Use<'_>]) -> Result<()> {
        let is_full = loop {
            for tensor in tensors {
                tensor.storage.check()?;
            }
            let mut pending = lock(&self.inner.pending);
            match self.record_call(&mut pending, work, arguments) {
                Ok(true) => {
                    for written in tensors.iter().filter(|tensor| tensor.is_written) {
                        written.storage.write(written.is_part, &pending.submission);
                    }
                    break pending.count_call(self.fresh_bytes());
                }
                Ok(false) => {
                    drop(pending);
                    self.warm_up_dispatches(&work.all_dispatches(self.limits())?)?;
                }
                Err(error) => {
                    drop(pending);
                    return Err(self.explained(error));
                }
            }
        };
        self.submit_if(is_full);
        Ok(())
    }

    /// The bytes of buffers handed out since the last submit.
    pub(super) fn fresh_bytes(&self) -> u64 {
        self.inner.fresh_bytes.load(Ordering::Relaxed)
    }

    /// Submits after a call, if it is time to.
    pub(super) fn submit_if(&self, is_full: bool) {
        // Not while another thread submits: its callbacks might wait for a lock that this thread's caller holds. The
        // next call tries again.
        if let Some(turn) = is_full.then(|| self.inner.turns.try_take()).flatten() {
            // A failure shows in the tensors that these calls write.
            let _ = self.submit_pending(&turn);
        }
    }

    /// Records a call, or returns that it must be compiled first.
    fn record_call(&self, pending: &mut Pending, work: &dyn Work, arguments: &[Argument<'_>]) -> Result<bool> {
        let operator = work.name();
        let Pending { pass, encoder, ahead, profile, .. } = pending;
        if encoder.is_none() {
            if ahead.is_empty() {
                lock(&self.inner.caches).count_recorder();
            }
            *encoder = Some(self.new_encoder("wgdnn eager")?);
        }
        let Some(encoder) = encoder else { return Ok(true) };
        let record = |pass: &mut wgpu::ComputePass<'_>| {
            let mut recorder = Recorder::eager(self, pass);
            recorder.run(work, arguments)?;
            Ok(!recorder.is_cold())
        };
        if let Some(profile) = profile {
            drop(pass.take());
            let profiled = self.profiled(operator, work.shapes());
            let timestamps = self.scoped_quietly(|device| profile.timestamps(device, profiled))?;
            let descriptor = wgpu::ComputePassDescriptor { label: Some(operator), timestamp_writes: Some(timestamps) };
            let result = record(&mut encoder.begin_compute_pass(&descriptor));
            if !matches!(result, Ok(true)) {
                profile.leave_out_last();
            }
            return result;
        }
        let descriptor = wgpu::ComputePassDescriptor { label: Some("wgdnn eager"), timestamp_writes: None };
        record(pass.get_or_insert_with(|| encoder.begin_compute_pass(&descriptor).forget_lifetime()))
    }

    /// Returns wgpu's own errors: see [`Gpu::explained`].
    pub(super) fn new_encoder(&self, label: &str) -> Result<wgpu::CommandEncoder> {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some(label) };
        self.scoped_quietly(|device| device.create_command_encoder(&descriptor))
    }
}
