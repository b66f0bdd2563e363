//! Eager calls: they gather in one encoder, which is submitted when something is read or enough has gathered.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::ThreadId;

use crate::error::{Error, Result};
use crate::gpu::operator::Operator;
use crate::gpu::profile::Profile;
use crate::gpu::recorder::Recorder;
use crate::gpu::tensor::Storage;
use crate::gpu::upload::{Chunk, Uploads};
use crate::gpu::{Gpu, lock};

/// Eager calls are submitted once this many are pending, so that the GPU starts while the caller still records.
const PENDING_CALLS: usize = 128;

/// Eager calls are submitted once they hold this many bytes of fresh buffers, so that uploads can have dropped ones.
const PENDING_BYTES: u64 = 256 << 20;

/// What eager calls gather in.
#[derive(Debug, Default)]
pub(super) struct Pending {
    /// Before the encoder, so that it is dropped, and so ended, first.
    pass: Option<wgpu::ComputePass<'static>>,
    encoder: Option<wgpu::CommandEncoder>,
    /// What comes before `encoder`, in order: where a caller's own dispatches are among the calls.
    ahead: Vec<Recorded>,
    pub uploads: Uploads,
    pub submission: Arc<Submission>,
    calls: usize,
    pub bytes: u64,
    pub profile: Option<Profile>,
}

/// A part of what is pending.
#[derive(Debug)]
pub(super) enum Recorded {
    Calls(wgpu::CommandEncoder),
    /// Dispatches of the caller's own, finished.
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
    /// Puts a part behind all that is pending.
    pub fn put_behind(&mut self, recorded: Recorded) {
        drop(self.pass.take());
        self.ahead.extend(self.encoder.take().map(Recorded::Calls));
        self.ahead.push(recorded);
    }

    /// Counts a call, and says whether it is time to submit.
    pub fn count_call(&mut self) -> bool {
        self.calls += 1;
        self.calls >= PENDING_CALLS || self.bytes >= PENDING_BYTES
    }

    fn is_empty(&self) -> bool {
        self.encoder.is_none() && self.ahead.is_empty() && self.uploads.is_empty()
    }
}

/// Eager calls that are submitted together, and whether that failed.
#[derive(Debug, Default)]
pub(crate) struct Submission {
    failure: OnceLock<Error>,
}

impl Submission {
    fn fail(&self, error: &Error) {
        self.failure.get_or_init(|| error.clone());
    }

    /// Fails if the calls did not run.
    pub fn check(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// Whose turn it is to submit. wgpu runs callbacks of the caller's at the end of a submit, so no lock of ours may be held
/// there that they need; but submits must keep the order of the calls. A callback may submit itself.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The thread that submits, and how many submits of its callbacks are within each other.
    holder: Mutex<Option<(ThreadId, usize)>>,
    is_free: Condvar,
}

/// Gives the turn on when dropped.
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
    /// [`Error::DeviceLost`], [`Error::Validation`] or [`Error::OutOfMemory`] if wgpu refuses them. Then none of them
    /// ran, and reading or using what they would have written gives the same error.
    pub fn submit(&self) -> Result<()> {
        self.check_device()?;
        self.submit_pending(&self.inner.turns.take())
    }

    /// Submits uploads, and behind them the calls.
    fn submit_pending(&self, _: &Turn<'_>) -> Result<()> {
        let (uploads, ahead, encoder, submission, surplus, result) = {
            let mut pending = lock(&self.inner.pending);
            if pending.is_empty() {
                return Ok(());
            }
            let Pending { pass, encoder, ahead, uploads, submission, calls, bytes, profile } = &mut *pending;
            drop(pass.take());
            log::trace!("submit {calls} calls");
            (*calls, *bytes) = (0, 0);
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
            // What is uploaded from here on is submitted behind all that was recorded until here.
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
        // Behind the submit, which may use them.
        self.let_go(surplus);
        let result = result.map_err(|error| self.explained(error));
        let result = result.and(submitted.map(|chunks| lock(&self.inner.pending).uploads.give_back(chunks)));
        result.inspect_err(|error| {
            submission.fail(error);
            let mut pending = lock(&self.inner.pending);
            // Calls that were recorded meanwhile may use what is not there.
            if !pending.is_empty() {
                pending.submission.fail(error);
            }
            if let Some(profile) = &mut pending.profile {
                profile.fail(error);
            }
        })
    }

    /// Records an eager call, which reads and writes these tensors, into the pending encoder.
    pub(crate) fn eager(
        &self,
        operator: &dyn Operator,
        reads: &[&Storage],
        writes: &[&Storage],
        call: impl Fn(&mut Recorder<'_>) -> Result<()>,
    ) -> Result<()> {
        let is_full = loop {
            for storage in reads {
                storage.check()?;
            }
            let mut pending = lock(&self.inner.pending);
            match self.record_call(&mut pending, operator.name(), &call) {
                Ok(true) => {
                    for storage in writes {
                        storage.set_submission(&pending.submission);
                    }
                    break pending.count_call();
                }
                Ok(false) => {
                    drop(pending);
                    self.warm_up(&[operator])?;
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

    /// Submits behind a call, if it is time to.
    pub(super) fn submit_if(&self, is_full: bool) {
        // Not while another thread submits: its callbacks might wait for a lock that this one's caller holds. The next
        // call tries again.
        if let Some(turn) = is_full.then(|| self.inner.turns.try_take()).flatten() {
            // A failure shows in the tensors that it concerns.
            let _ = self.submit_pending(&turn);
        }
    }

    /// Records a call, or says that it has to be compiled first.
    fn record_call(
        &self,
        pending: &mut Pending,
        operator: &'static str,
        call: impl Fn(&mut Recorder<'_>) -> Result<()>,
    ) -> Result<bool> {
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
            call(&mut recorder)?;
            Ok(!recorder.is_cold())
        };
        if let Some(profile) = profile {
            drop(pass.take());
            let timestamps = self.scoped_quietly(|device| profile.timestamps(device, operator))?;
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

    /// Errors are wgpu's own: see [`Gpu::explained`].
    pub(super) fn new_encoder(&self, label: &str) -> Result<wgpu::CommandEncoder> {
        let descriptor = wgpu::CommandEncoderDescriptor { label: Some(label) };
        self.scoped_quietly(|device| device.create_command_encoder(&descriptor))
    }
}
