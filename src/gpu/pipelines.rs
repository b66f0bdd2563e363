//! What a device keeps for recording: shader modules, pipelines, uniforms and bind groups.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
#[cfg(not(target_arch = "wasm32"))]
use std::sync::Mutex;
use std::time::Instant;

use crate::error::Result;
use crate::gpu::cache::Cache;
use crate::gpu::kernel::{Access, Dispatch, Kernel};
use crate::gpu::upload::write_mapped;
use crate::gpu::{Gpu, count_made, lock};

/// This many pipelines are certainly kept, and at most twice as many. On a software adapter each takes a MiB or more.
const KEPT_PIPELINES: usize = 256;

/// This many uniform buffers are certainly kept, and at most twice as many.
const KEPT_UNIFORMS: usize = 4096;

/// This many bind groups are certainly kept, and at most twice as many.
const KEPT_BIND_GROUPS: usize = 4096;

/// A bind group is forgotten after this many recorders in a row did not use it, at the latest after twice as many. It would
/// keep buffers alive that their owner has dropped.
const RECORDERS_PER_AGE: u32 = 256;

#[derive(Debug)]
pub(super) struct Caches {
    modules: HashMap<&'static str, wgpu::ShaderModule>,
    pipelines: Cache<PipelineKey, Pipeline>,
    uniforms: Cache<Vec<u8>, wgpu::Buffer>,
    /// Uniforms that were made once, outside of a warm-up. They are kept from the second time on, since shapes may
    /// never repeat.
    seen_uniforms: Cache<u64, ()>,
    ready: Cache<u64, Ready>,
    /// Dispatches that were prepared once. They are kept from the second time on, so that recording once keeps no
    /// buffer alive.
    seen: Cache<u64, ()>,
    recorders: u32,
    /// Texts that replace those of modules, to test that tests detect a wrong shader.
    substitutes: HashMap<&'static str, String>,
}

impl Default for Caches {
    fn default() -> Self {
        Caches {
            modules: HashMap::new(),
            pipelines: Cache::new(KEPT_PIPELINES),
            uniforms: Cache::new(KEPT_UNIFORMS),
            seen_uniforms: Cache::new(KEPT_UNIFORMS),
            ready: Cache::new(KEPT_BIND_GROUPS),
            seen: Cache::new(KEPT_BIND_GROUPS),
            recorders: 0,
            substitutes: HashMap::new(),
        }
    }
}

impl Caches {
    /// Drops everything that holds a buffer of a caller or of the pool.
    pub fn forget_buffers(&mut self) {
        self.ready.clear();
        self.seen.clear();
    }

    /// Drops what holds one of these buffers, which are sorted.
    pub fn forget(&mut self, buffers: &[wgpu::Buffer]) {
        let is_one = |buffer: &wgpu::Buffer| buffers.binary_search(buffer).is_ok();
        self.ready.retain(|_, ready| !ready.bindings.iter().any(|(buffer, ..)| is_one(buffer)));
    }

    /// Forgets bind groups that were not used for long.
    pub fn count_recorder(&mut self) {
        self.recorders += 1;
        if self.recorders >= RECORDERS_PER_AGE {
            self.recorders = 0;
            self.ready.age();
            self.seen.age();
        }
    }
}

/// A pipeline, and the layout of its bind groups.
#[derive(Debug, Clone)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// The key of a pipeline: module, entry point, and the bits of the constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PipelineKey(&'static str, &'static str, Vec<(&'static str, u64)>);

impl PipelineKey {
    fn new(dispatch: &Dispatch) -> Self {
        let bits = dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits()));
        PipelineKey(dispatch.kernel.module, dispatch.kernel.entry_point, bits.collect())
    }
}

/// A storage binding of a dispatch.
pub(super) struct BoundBuffer<'a> {
    pub number: u32,
    pub buffer: &'a wgpu::Buffer,
    pub offset: u64,
    pub bytes: u64,
}

/// A dispatch that is ready to be put into a pass.
#[derive(Debug)]
struct Ready {
    pipeline_key: PipelineKey,
    uniform: Vec<u8>,
    bindings: Vec<(wgpu::Buffer, u64, u64)>,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
}

impl Ready {
    fn is_for(&self, dispatch: &Dispatch, bindings: &[BoundBuffer<'_>]) -> bool {
        let PipelineKey(module, entry_point, constants) = &self.pipeline_key;
        *module == dispatch.kernel.module
            && *entry_point == dispatch.kernel.entry_point
            && constants.iter().copied().eq(dispatch.constants.iter().map(|&(name, value)| (name, value.to_bits())))
            && self.uniform[..] == dispatch.uniform[..]
            && self.bindings.len() == bindings.len()
            && self.bindings.iter().zip(bindings).all(|((buffer, offset, bytes), binding)| {
                buffer == binding.buffer && *offset == binding.offset && *bytes == binding.bytes
            })
    }
}

fn hash(dispatch: &Dispatch, bindings: &[BoundBuffer<'_>]) -> u64 {
    let mut hasher = DefaultHasher::new();
    std::ptr::from_ref(dispatch.kernel).hash(&mut hasher);
    for (name, value) in &dispatch.constants {
        (name, value.to_bits()).hash(&mut hasher);
    }
    dispatch.uniform.hash(&mut hasher);
    for binding in bindings {
        (binding.buffer, binding.offset, binding.bytes).hash(&mut hasher);
    }
    hasher.finish()
}

impl Gpu {
    /// The pipeline and the bind group of a dispatch on these buffers; `None` if it must be compiled and may not be.
    /// Returns wgpu's own errors: see [`Gpu::explained`].
    pub(super) fn ready(
        &self,
        dispatch: &Dispatch,
        bindings: &[BoundBuffer<'_>],
        may_compile: bool,
    ) -> Result<Option<(wgpu::ComputePipeline, wgpu::BindGroup)>> {
        let hash = hash(dispatch, bindings);
        let was_seen = {
            let mut caches = lock(&self.inner.caches);
            match caches.ready.get(&hash) {
                Some(ready) if ready.is_for(dispatch, bindings) => {
                    return Ok(Some((ready.pipeline.clone(), ready.group.clone())));
                }
                _ => {}
            }
            let was_seen = caches.seen.get(&hash).is_some();
            caches.seen.insert(hash, ());
            was_seen
        };
        let Some(Pipeline { pipeline, layout }) = self.pipeline(dispatch, may_compile)? else { return Ok(None) };
        let uniform = self.uniform(&dispatch.uniform, false)?;
        let uniform_entry = wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() };
        let storage_entries = bindings.iter().map(|binding| wgpu::BindGroupEntry {
            binding: binding.number,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: binding.buffer,
                offset: binding.offset,
                size: wgpu::BufferSize::new(binding.bytes),
            }),
        });
        let entries: Vec<_> = std::iter::once(uniform_entry).chain(storage_entries).collect();
        let group = self.scoped_quietly(|device| {
            count_made();
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(dispatch.kernel.entry_point),
                layout: &layout,
                entries: &entries,
            })
        })?;
        if was_seen {
            let ready = Ready {
                pipeline_key: PipelineKey::new(dispatch),
                uniform: dispatch.uniform.to_vec(),
                bindings: bindings
                    .iter()
                    .map(|binding| (binding.buffer.clone(), binding.offset, binding.bytes))
                    .collect(),
                pipeline: pipeline.clone(),
                group: group.clone(),
            };
            lock(&self.inner.caches).ready.insert(hash, ready);
        }
        Ok(Some((pipeline, group)))
    }

    /// The pipeline of a dispatch, compiled at first use if this is allowed.
    fn pipeline(&self, dispatch: &Dispatch, may_compile: bool) -> Result<Option<Pipeline>> {
        let key = PipelineKey::new(dispatch);
        if let Some(pipeline) = lock(&self.inner.caches).pipelines.get(&key) {
            return Ok(Some(pipeline.clone()));
        }
        if !may_compile {
            return Ok(None);
        }
        // Compiled without the lock, so that threads can compile in parallel.
        let module = self.module(dispatch.kernel)?;
        // `Instant` does not work in browsers.
        let start = (!cfg!(target_arch = "wasm32")).then(Instant::now);
        let cache = self.inner.disk_cache.get().map(|cache| &cache.cache);
        let pipeline = self
            .scoped_quietly(|device| create_pipeline(device, &module, dispatch.kernel, &dispatch.constants, cache))?;
        let time = start.map(|start| start.elapsed()).unwrap_or_default();
        log::debug!("made pipeline {}::{} in {time:.1?}", dispatch.kernel.module, dispatch.kernel.entry_point);
        let mut caches = lock(&self.inner.caches);
        // Another thread may have compiled it meanwhile.
        if let Some(pipeline) = caches.pipelines.get(&key) {
            return Ok(Some(pipeline.clone()));
        }
        caches.pipelines.insert(key, pipeline.clone());
        Ok(Some(pipeline))
    }

    fn module(&self, kernel: &Kernel) -> Result<wgpu::ShaderModule> {
        let source = {
            let caches = lock(&self.inner.caches);
            if let Some(module) = caches.modules.get(kernel.module) {
                return Ok(module.clone());
            }
            caches.substitutes.get(kernel.module).cloned()
        };
        let source = source.unwrap_or_else(|| kernel.source());
        let module = self.scoped_quietly(|device| {
            device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.module),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            })
        })?;
        Ok(lock(&self.inner.caches).modules.entry(kernel.module).or_insert(module).clone())
    }

    /// A uniform buffer that holds `bytes`. It is kept on request, or if this is the second time.
    fn uniform(&self, bytes: &[u8], is_kept: bool) -> Result<wgpu::Buffer> {
        let is_kept = {
            let mut caches = lock(&self.inner.caches);
            if let Some(buffer) = caches.uniforms.get(bytes) {
                return Ok(buffer.clone());
            }
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(bytes);
            let was_seen = caches.seen_uniforms.get(&hash).is_some();
            caches.seen_uniforms.insert(hash, ());
            is_kept || was_seen
        };
        let buffer = self.scoped_quietly(|device| {
            count_made();
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgdnn uniform"),
                size: bytes.len() as u64,
                usage: wgpu::BufferUsages::UNIFORM,
                mapped_at_creation: true,
            })
        })?;
        // Mapped at creation, so nothing is written through the queue.
        write_mapped(&buffer, 0, bytes)?;
        buffer.unmap();
        if is_kept {
            lock(&self.inner.caches).uniforms.insert(bytes.to_vec(), buffer.clone());
        }
        Ok(buffer)
    }

    /// Prepares all that recording these dispatches needs, on all cores.
    pub(crate) fn warm_up_dispatches(&self, dispatches: &[Dispatch]) -> Result<()> {
        self.check_device()?;
        let mut keys = HashSet::new();
        let mut kernels = HashSet::new();
        // Modules first, or each pipeline of a module would make it again.
        let modules: Vec<_> = dispatches.iter().filter(|dispatch| kernels.insert(dispatch.kernel.module)).collect();
        let pipelines: Vec<_> = dispatches.iter().filter(|dispatch| keys.insert(PipelineKey::new(dispatch))).collect();
        for_each_in_parallel(&modules, |dispatch| self.module(dispatch.kernel).map(drop))
            .and_then(|()| for_each_in_parallel(&pipelines, |dispatch| self.pipeline(dispatch, true).map(drop)))
            .and_then(|()| dispatches.iter().try_for_each(|dispatch| self.uniform(&dispatch.uniform, true).map(drop)))
            .map_err(|error| self.explained(error))
    }

    /// Runs `source` in place of a module's text on this device, to test tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub fn substitute_shader(&self, module: &'static str, source: String) {
        let mut caches = lock(&self.inner.caches);
        caches.forget_buffers();
        caches.modules.remove(module);
        caches.pipelines.retain(|PipelineKey(other, ..), _| *other != module);
        caches.substitutes.insert(module, source);
    }
}

/// Runs `task` on every item, on as many threads as there are cores. Returns the first failure.
#[cfg(not(target_arch = "wasm32"))]
fn for_each_in_parallel<T: Sync>(items: &[T], task: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    if threads <= 1 {
        return items.iter().try_for_each(task);
    }
    let next = Mutex::new(items.iter());
    let work = || {
        loop {
            let Some(item) = lock(&next).next() else { return Ok(()) };
            task(item)?;
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        others.into_iter().fold(own, |result, thread| {
            result.and(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    })
}

/// Browsers have no threads for this, and compile in the background anyway.
#[cfg(target_arch = "wasm32")]
fn for_each_in_parallel<T>(items: &[T], task: impl Fn(&T) -> Result<()>) -> Result<()> {
    items.iter().try_for_each(task)
}

fn create_pipeline(
    device: &wgpu::Device,
    module: &wgpu::ShaderModule,
    kernel: &Kernel,
    constants: &[(&'static str, f64)],
    cache: Option<&wgpu::PipelineCache>,
) -> Pipeline {
    let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let storage = kernel.storage.iter().map(|&(binding, access)| {
        entry(binding, wgpu::BufferBindingType::Storage { read_only: access == Access::Read })
    });
    let entries: Vec<_> = std::iter::once(entry(0, wgpu::BufferBindingType::Uniform)).chain(storage).collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.entry_point),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.entry_point),
        bind_group_layouts: &[Some(&layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.entry_point),
        layout: Some(&pipeline_layout),
        module,
        entry_point: Some(kernel.entry_point),
        compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
        cache,
    });
    Pipeline { pipeline, layout }
}
