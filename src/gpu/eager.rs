//! Eager calls: they gather in one encoder, which is submitted when something is read or enough has gathered.

use std::sync::{Arc, OnceLock};

use crate::error::{Error, Result};
use crate::gpu::profile::Profile;
use crate::gpu::recorder::Recorder;
use crate::gpu::tensor::Storage;
use crate::gpu::upload::Uploads;
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
    pub uploads: Uploads,
    pub submission: Arc<Submission>,
    calls: usize,
    pub bytes: u64,
    pub profile: Option<Profile>,
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

impl Gpu {
    /// Submits the eager calls that are pending.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Validation`] or [`Error::OutOfMemory`] if wgpu refuses them. Then none of them
    /// ran, and reading or using what they would have written gives the same error.
    pub fn submit(&self) -> Result<()> {
        self.check_device()?;
        let (submission, result) = self.submit_pending(&mut lock(&self.inner.pending));
        self.explain(&submission, result)
    }

    /// Finds out what is behind a failed submission, and notes it for all that it concerns. Not under a lock.
    fn explain(&self, submission: &Submission, result: Result<()>) -> Result<()> {
        result.map_err(|error| {
            let error = self.explained(error);
            submission.fail(&error);
            error
        })
    }

    /// Submits uploads, and behind them the calls.
    fn submit_pending(&self, pending: &mut Pending) -> (Arc<Submission>, Result<()>) {
        drop(pending.pass.take());
        let calls = std::mem::take(&mut pending.calls);
        pending.bytes = 0;
        let mut encoder = pending.encoder.take();
        let mut result = Ok(());
        if let (Some(profile), Some(encoder)) = (&mut pending.profile, &mut encoder) {
            result = self.scoped_quietly(|device| profile.resolve(device, encoder));
        }
        let submission = std::mem::take(&mut pending.submission);
        if encoder.is_none() && pending.uploads.is_empty() {
            return (submission, result);
        }
        log::trace!("submit {calls} calls");
        let submitted = self.submit_with_uploads(&mut pending.uploads, encoder);
        lock(&self.inner.pool).submitted();
        (submission, result.and(submitted))
    }

    /// Submits uploads, which come before all calls that are pending, and then `calls`.
    pub(super) fn submit_with_uploads(&self, uploads: &mut Uploads, calls: Option<wgpu::CommandEncoder>) -> Result<()> {
        self.scoped_quietly(|_| {
            let encoders = uploads.end().into_iter().chain(calls);
            let index = self.inner.queue.submit(encoders.map(wgpu::CommandEncoder::finish));
            uploads.submitted(&index);
        })
    }

    /// Records an eager call, which reads and writes these tensors, into the pending encoder.
    pub(crate) fn eager(
        &self,
        operator: &'static str,
        reads: &[&Storage],
        writes: &[&Storage],
        call: impl FnOnce(&mut Recorder<'_>) -> Result<()>,
    ) -> Result<()> {
        for storage in reads {
            storage.check()?;
        }
        let full = {
            let mut pending = lock(&self.inner.pending);
            self.record_call(&mut pending, operator, call)?;
            for storage in writes {
                storage.set_submission(&pending.submission);
            }
            pending.calls += 1;
            let is_full = pending.calls >= PENDING_CALLS || pending.bytes >= PENDING_BYTES;
            is_full.then(|| self.submit_pending(&mut pending))
        };
        if let Some((submission, result)) = full {
            // A failure shows in the tensors that it concerns.
            let _ = self.explain(&submission, result);
        }
        Ok(())
    }

    fn record_call(
        &self,
        pending: &mut Pending,
        operator: &'static str,
        call: impl FnOnce(&mut Recorder<'_>) -> Result<()>,
    ) -> Result<()> {
        let Pending { pass, encoder, profile, .. } = pending;
        let encoder = encoder.get_or_insert_with(|| {
            lock(&self.inner.caches).count_recorder();
            self.new_encoder("wgdnn eager")
        });
        if let Some(profile) = profile {
            drop(pass.take());
            let timestamps = self.scoped(|device| profile.timestamps(device, operator))?;
            let descriptor = wgpu::ComputePassDescriptor { label: Some(operator), timestamp_writes: Some(timestamps) };
            return call(&mut Recorder::in_pass(self, &mut encoder.begin_compute_pass(&descriptor)));
        }
        let descriptor = wgpu::ComputePassDescriptor { label: Some("wgdnn eager"), timestamp_writes: None };
        let pass = pass.get_or_insert_with(|| encoder.begin_compute_pass(&descriptor).forget_lifetime());
        call(&mut Recorder::in_pass(self, pass))
    }

    pub(super) fn new_encoder(&self, label: &str) -> wgpu::CommandEncoder {
        self.inner.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) })
    }
}
