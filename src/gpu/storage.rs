//! What tensors are made of: a buffer, and what is known of its contents.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use crate::error::{Error, Result};
use crate::gpu::lock;
use crate::gpu::pool::PooledBuffer;

/// The operator's name in errors about tensors themselves.
pub(super) const TENSOR: &str = "tensor";

/// Whether any submission of this process has failed. Until then calls need not check their tensors.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Eager calls that are submitted together, and whether they failed.
#[derive(Debug, Default)]
pub(crate) struct Submission {
    failure: OnceLock<Error>,
    has_run: AtomicBool,
}

impl Submission {
    pub fn fail(&self, error: &Error) {
        self.failure.get_or_init(|| error.clone());
        HAS_FAILED.store(true, Ordering::Release);
    }

    pub fn succeed(&self) {
        self.has_run.store(true, Ordering::Release);
    }

    /// Fails if the calls did not run.
    pub fn check(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}

/// What a call does with a tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Use<'a> {
    pub storage: &'a Storage,
    /// Whether the tensor is a part of its storage, rather than all of it.
    pub is_part: bool,
    pub is_written: bool,
}

/// Where a tensor and its clones hold their data.
#[derive(Debug)]
pub(crate) struct Storage {
    buffer: Buffer,
    offset: u64,
    /// The distinct uploaded values, until anything else writes the buffer.
    distinct: Mutex<Option<Arc<[i32]>>>,
    /// What wrote it first. Most tensors are written once, which takes no lock.
    first: OnceLock<Arc<Submission>>,
    /// What wrote it last, if more than `first` did: another call, or the pieces of an upload.
    rewritten: Mutex<Vec<Arc<Submission>>>,
}

/// A tensor's buffer.
#[derive(Debug)]
pub(crate) enum Buffer {
    Own(PooledBuffer),
    Callers(wgpu::Buffer),
}

impl Storage {
    pub fn new(buffer: Buffer, offset: u64, distinct: Option<Arc<[i32]>>) -> Self {
        Storage { buffer, offset, distinct: Mutex::new(distinct), first: OnceLock::new(), rewritten: Mutex::default() }
    }

    /// A buffer that belongs to no tensor.
    pub fn over(buffer: wgpu::Buffer) -> Self {
        Self::new(Buffer::Callers(buffer), 0, None)
    }

    pub fn buffer(&self) -> &wgpu::Buffer {
        match &self.buffer {
            Buffer::Own(buffer) => buffer.buffer(),
            Buffer::Callers(buffer) => buffer,
        }
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The caller sees the buffer, so the pool must not give it to another tensor.
    pub fn expose(&self) {
        if let Buffer::Own(buffer) = &self.buffer {
            buffer.set_exposed(true);
        }
    }

    /// The distinct uploaded values, if they are still known.
    pub fn distinct(&self) -> Option<Arc<[i32]>> {
        lock(&self.distinct).clone()
    }

    /// Whether the buffer belongs to a caller.
    pub fn is_callers(&self) -> bool {
        matches!(self.buffer, Buffer::Callers(_))
    }

    /// Fails if the buffer lacks a usage.
    pub fn expect_usage(&self, usage: wgpu::BufferUsages, expected: &str) -> Result<()> {
        let actual = self.buffer().usage();
        if actual.contains(usage) {
            return Ok(());
        }
        Err(Error::invalid(TENSOR, "buffer", expected, format!("{actual:?}")))
    }

    /// Notes that these values were written. They stay known unless anything but operators may write the buffer too.
    pub fn set_values(&self, values: Option<Arc<[i32]>>) {
        if let Buffer::Own(buffer) = &self.buffer
            && !buffer.is_exposed()
        {
            *lock(&self.distinct) = values;
        }
    }

    /// Notes that anything but operators may write it.
    pub fn forget_values(&self) {
        lock(&self.distinct).take();
    }

    /// Fails if an eager call that should have written it did not run.
    pub fn check(&self) -> Result<()> {
        if !HAS_FAILED.load(Ordering::Acquire) {
            return Ok(());
        }
        let rewritten = lock(&self.rewritten);
        let first = self.first.get().filter(|_| rewritten.is_empty());
        rewritten.iter().chain(first).try_for_each(|submission| submission.check())
    }

    /// Notes that it is written anew, or a part of it: then what wrote the others still counts.
    pub fn write(&self, is_part: bool, submission: &Arc<Submission>) {
        if is_part { self.add_submission(submission) } else { self.set_submission(submission) }
    }

    /// Notes that it is written anew.
    pub fn set_submission(&self, submission: &Arc<Submission>) {
        if let Err(submission) = self.first.set(Arc::clone(submission)) {
            let mut rewritten = lock(&self.rewritten);
            rewritten.clear();
            rewritten.push(submission);
        }
    }

    /// Notes that more of it is written.
    pub fn add_submission(&self, submission: &Arc<Submission>) {
        let Some(first) = self.first.get() else { return self.set_submission(submission) };
        let mut rewritten = lock(&self.rewritten);
        if Arc::ptr_eq(rewritten.last().unwrap_or(first), submission) {
            return;
        }
        if rewritten.is_empty() {
            rewritten.push(Arc::clone(first));
        }
        // What succeeded need not be remembered, or a buffer whose parts are written again and again would remember more and
        // more. After a failure nothing more is to be known.
        rewritten.retain(|submission| !submission.has_run.load(Ordering::Acquire));
        if rewritten.iter().all(|submission| submission.check().is_ok()) {
            rewritten.push(Arc::clone(submission));
        }
    }
}
