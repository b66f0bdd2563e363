//! How long eager calls take on the GPU, by its own clock.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, lock};

/// Calls per query set; WebGPU allows 4096 queries in one, and a call takes two.
const CALLS_PER_SET: u32 = 256;

const TICK_BYTES: u64 = 8;

/// How long an eager call took on the GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The operator, as in PyTorch: `conv2d`; of [`Gpu::record_own`] its label.
    pub operator: &'static str,
    /// From the start of its first dispatch to the end of its last.
    pub time: Duration,
}

/// A profile that is being taken.
#[derive(Debug, Default)]
pub(super) struct Profile {
    sets: Vec<QuerySet>,
    failure: Option<Error>,
}

/// Queries for the timestamps of some calls.
#[derive(Debug)]
pub(super) struct QuerySet {
    queries: wgpu::QuerySet,
    /// How many calls it has room for.
    calls: u32,
    /// The calls whose timestamps it takes, each two; none stands for a call that failed.
    operators: Vec<Option<&'static str>>,
    /// The timestamps of those that are submitted.
    ticks: Option<wgpu::Buffer>,
}

impl QuerySet {
    pub fn new(device: &wgpu::Device, calls: u32) -> Self {
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("wgdnn profile"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * calls,
        });
        QuerySet { queries, calls, operators: Vec::new(), ticks: None }
    }

    /// The queries of one call.
    pub fn timestamps(&self, call: usize) -> wgpu::ComputePassTimestampWrites<'_> {
        let index = 2 * call as u32;
        wgpu::ComputePassTimestampWrites {
            query_set: &self.queries,
            beginning_of_pass_write_index: Some(index),
            end_of_pass_write_index: Some(index + 1),
        }
    }
}

impl Profile {
    /// Adds the timestamps of a call that is recorded.
    pub fn add(&mut self, mut set: QuerySet, operator: &'static str) {
        set.operators.push(Some(operator));
        self.sets.push(set);
    }

    /// Room for a call's timestamps.
    pub fn timestamps(
        &mut self,
        device: &wgpu::Device,
        operator: &'static str,
    ) -> wgpu::ComputePassTimestampWrites<'_> {
        let has_room = |set: &QuerySet| set.ticks.is_none() && set.operators.len() < set.calls as usize;
        if !self.sets.last().is_some_and(has_room) {
            self.sets.push(QuerySet::new(device, CALLS_PER_SET));
        }
        let last = self.sets.len() - 1;
        let set = &mut self.sets[last];
        set.operators.push(Some(operator));
        set.timestamps(set.operators.len() - 1)
    }

    /// The last call was not recorded.
    pub fn leave_out_last(&mut self) {
        if let Some(last) = self.sets.last_mut().and_then(|set| set.operators.last_mut()) {
            *last = None;
        }
    }

    /// Calls of it did not run.
    pub fn fail(&mut self, error: &Error) {
        self.failure.get_or_insert_with(|| error.clone());
    }

    /// Records what brings the timestamps of the calls before into buffers.
    pub fn resolve(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) {
        for set in self.sets.iter_mut().filter(|set| set.ticks.is_none()) {
            let count = 2 * set.operators.len() as u32;
            let ticks = device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgdnn profile"),
                size: u64::from(count) * TICK_BYTES,
                usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            });
            encoder.resolve_query_set(&set.queries, 0..count, &ticks, 0);
            set.ticks = Some(ticks);
        }
    }
}

/// Ends a profile, however the work that it is of ends.
struct Running<'a>(&'a Gpu);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(&self.0.inner.pending).profile = None;
    }
}

impl Gpu {
    /// Runs `work` and tells how long each eager call in it took on the GPU, in the order of the calls. What other
    /// threads call meanwhile is among them; [`flatten`](crate::flatten), which runs nothing, is not.
    ///
    /// Every call is a pass of its own meanwhile, so the whole takes longer than without.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] without `TIMESTAMP_QUERY`; [`Error::InvalidArgument`] within another profile of this
    /// device; as [`Gpu::submit`] and [`Tensor::read`](crate::Tensor::read).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn profile<R>(&self, work: impl FnOnce() -> R) -> Result<(R, Vec<Timing>)> {
        self.expect_feature("profile", wgpu::Features::TIMESTAMP_QUERY, "TIMESTAMP_QUERY")?;
        self.submit()?;
        {
            let mut pending = lock(&self.inner.pending);
            if pending.profile.is_some() {
                return Err(Error::invalid("profile", "work", "no other profile at the same time", "one"));
            }
            pending.profile = Some(Profile::default());
        }
        let running = Running(self);
        let result = work();
        self.submit()?;
        let profile = lock(&self.inner.pending).profile.take().unwrap_or_default();
        drop(running);
        if let Some(error) = profile.failure {
            return Err(error);
        }

        let nanoseconds = f64::from(self.inner.queue.get_timestamp_period());
        let mut timings = Vec::new();
        for set in &profile.sets {
            let Some(ticks) = &set.ticks else { continue };
            let ticks: Vec<u64> = self.read_buffer_blocking(ticks)?;
            for (&operator, ticks) in set.operators.iter().zip(ticks.chunks_exact(2)) {
                // A clock that wraps, or a driver that does not keep order, must not make a panic.
                let time = ticks[1].saturating_sub(ticks[0]) as f64 * nanoseconds;
                timings.extend(operator.map(|operator| Timing { operator, time: Duration::from_nanos(time as u64) }));
            }
        }
        Ok((result, timings))
    }
}
