//! How long eager calls take on the GPU, by the GPU's own clock.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::gpu::{Gpu, lock};

/// The calls of a query set. WebGPU allows 4096 queries in a set, and a call takes two.
const CALLS_PER_SET: u32 = 256;

const TICK_BYTES: u64 = 8;

/// The shapes of a call's arguments, by name.
pub(crate) type Shapes = Vec<(&'static str, Vec<usize>)>;

/// How long an eager call took on the GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// The operator's name as in PyTorch, `conv2d`; for [`Gpu::record_own`] its label.
    pub operator: &'static str,
    /// The name that [`Gpu::named`] gave it.
    pub name: Option<String>,
    /// The shapes of its arguments, by name; for [`Gpu::record_own`] one `reads` or `writes` for each tensor.
    pub shapes: Vec<(&'static str, Vec<usize>)>,
    /// The time from the start of its first dispatch to the end of its last.
    pub time: Duration,
}

thread_local! {
    /// The names that this thread's calls run under, each with the address of its `Gpu`.
    static NAMES: RefCell<Vec<(usize, String)>> = const { RefCell::new(Vec::new()) };
}

/// Removes the last name when dropped.
struct Named;

impl Drop for Named {
    fn drop(&mut self) {
        NAMES.with_borrow_mut(Vec::pop);
    }
}

/// What a profile says about a call, apart from its time.
#[derive(Debug)]
pub(super) struct Profiled {
    operator: &'static str,
    name: Option<String>,
    shapes: Shapes,
}

/// A profile in progress.
#[derive(Debug, Default)]
pub(super) struct Profile {
    sets: Vec<QuerySet>,
    failure: Option<Error>,
}

/// The timestamp queries of some calls.
#[derive(Debug)]
pub(super) struct QuerySet {
    queries: wgpu::QuerySet,
    /// The number of calls that it has room for.
    calls: u32,
    /// The calls whose timestamps it takes, two each; `None` for a call that failed.
    profiled: Vec<Option<Profiled>>,
    /// The timestamps of calls that are submitted.
    ticks: Option<wgpu::Buffer>,
}

impl QuerySet {
    pub fn new(device: &wgpu::Device, calls: u32) -> Self {
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("wgdnn profile"),
            ty: wgpu::QueryType::Timestamp,
            count: 2 * calls,
        });
        QuerySet { queries, calls, profiled: Vec::new(), ticks: None }
    }

    /// The two queries of one call.
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
    pub fn add(&mut self, mut set: QuerySet, call: Profiled) {
        set.profiled.push(Some(call));
        self.sets.push(set);
    }

    /// Makes room for a call's timestamps.
    pub fn timestamps(&mut self, device: &wgpu::Device, call: Profiled) -> wgpu::ComputePassTimestampWrites<'_> {
        let has_room = |set: &QuerySet| set.ticks.is_none() && set.profiled.len() < set.calls as usize;
        if !self.sets.last().is_some_and(has_room) {
            self.sets.push(QuerySet::new(device, CALLS_PER_SET));
        }
        let last = self.sets.len() - 1;
        let set = &mut self.sets[last];
        set.profiled.push(Some(call));
        set.timestamps(set.profiled.len() - 1)
    }

    /// Notes that the last call was not recorded.
    pub fn leave_out_last(&mut self) {
        if let Some(last) = self.sets.last_mut().and_then(|set| set.profiled.last_mut()) {
            *last = None;
        }
    }

    /// Notes that calls did not run.
    pub fn fail(&mut self, error: &Error) {
        self.failure.get_or_insert_with(|| error.clone());
    }

    /// Records the copies of all earlier calls' timestamps into buffers.
    pub fn resolve(&mut self, device: &wgpu::Device, encoder: &mut wgpu::CommandEncoder) {
        for set in self.sets.iter_mut().filter(|set| set.ticks.is_none()) {
            let count = 2 * set.profiled.len() as u32;
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

/// Ends a profile, even if its work panics.
struct Running<'a>(&'a Gpu);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        lock(&self.0.inner.pending).profile = None;
    }
}

impl Gpu {
    /// Runs `work`. The eager calls that this thread makes in it on this device get a name in [`Gpu::profile`]. Nested
    /// names are joined by `/`.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// # use wgdnn::{Gpu, Tensor, sigmoid};
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::<f32>::zeros(&gpu, &[8])?;
    /// let (_, timings) = gpu.profile(|| gpu.named("layer1", || gpu.named("gate", || sigmoid(&input))))?;
    /// assert_eq!(timings[0].name.as_deref(), Some("layer1/gate"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn named<R>(&self, name: &str, work: impl FnOnce() -> R) -> R {
        NAMES.with_borrow_mut(|names| names.push((self.address(), name.to_owned())));
        let _named = Named;
        work()
    }

    fn address(&self) -> usize {
        Arc::as_ptr(&self.inner).addr()
    }

    /// What a profile says about a call on this thread.
    pub(super) fn profiled(&self, operator: &'static str, shapes: Shapes) -> Profiled {
        let address = self.address();
        let name = NAMES.with_borrow(|names| {
            let names = names.iter().filter(|(of, _)| *of == address).map(|(_, name)| name.as_str());
            names.collect::<Vec<_>>().join("/")
        });
        Profiled { operator, name: (!name.is_empty()).then_some(name), shapes }
    }

    /// Runs `work`, and returns how long each eager call in it took on the GPU, in the order of the calls. Calls that
    /// other threads make meanwhile are included; [`flatten`](crate::flatten), which runs nothing, is not.
    ///
    /// Every call is a pass of its own meanwhile, so the whole takes longer than without a profile.
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
        for set in profile.sets {
            let Some(ticks) = &set.ticks else { continue };
            let ticks: Vec<u64> = self.read_buffer_blocking(ticks)?;
            for (call, ticks) in set.profiled.into_iter().zip(ticks.chunks_exact(2)) {
                // Must not panic if a clock wraps or a driver does not keep the order.
                let time = ticks[1].saturating_sub(ticks[0]) as f64 * nanoseconds;
                let time = Duration::from_nanos(time as u64);
                timings.extend(call.map(|Profiled { operator, name, shapes }| Timing { operator, name, shapes, time }));
            }
        }
        Ok((result, timings))
    }
}
