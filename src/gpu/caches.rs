//! What a device keeps to record with: shader modules, pipelines and uniforms.

use std::collections::HashMap;

use crate::error::Result;
use crate::gpu::kernel::{Access, Dispatch, Kernel};
use crate::gpu::{Gpu, lock};

/// How many uniform buffers are kept. When there are more, all are dropped and made again as needed.
const CACHED_UNIFORMS: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Caches {
    modules: HashMap<&'static str, wgpu::ShaderModule>,
    pipelines: HashMap<PipelineKey, wgpu::ComputePipeline>,
    uniforms: HashMap<Vec<u8>, wgpu::Buffer>,
    /// Texts that stand in for a file's own, to test that tests see a wrong shader.
    substitutes: HashMap<&'static str, String>,
}

/// File, entry point, and the bits of the constants.
type PipelineKey = (&'static str, &'static str, Vec<(&'static str, u64)>);

impl Gpu {
    /// The pipeline of a kernel with these constants, compiled at first use.
    pub(crate) fn pipeline(
        &self,
        kernel: &'static Kernel,
        constants: &[(&'static str, f64)],
    ) -> Result<wgpu::ComputePipeline> {
        let bits = constants.iter().map(|&(name, value)| (name, value.to_bits()));
        let key = (kernel.file, kernel.entry_point, bits.collect());
        let mut caches = lock(&self.inner.caches);
        if let Some(pipeline) = caches.pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let module = match caches.modules.get(kernel.file) {
            Some(module) => module.clone(),
            None => {
                let source = caches.substitutes.get(kernel.file).map_or(kernel.source, String::as_str);
                let module = self.scoped(|device| {
                    device.create_shader_module(wgpu::ShaderModuleDescriptor {
                        label: Some(kernel.file),
                        source: wgpu::ShaderSource::Wgsl(source.into()),
                    })
                })?;
                caches.modules.insert(kernel.file, module.clone());
                module
            }
        };
        let pipeline = self.scoped(|device| create_pipeline(device, &module, kernel, constants))?;
        caches.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    /// A uniform buffer that holds `bytes`.
    pub(crate) fn uniform(&self, bytes: &[u8]) -> Result<wgpu::Buffer> {
        let mut caches = lock(&self.inner.caches);
        if let Some(buffer) = caches.uniforms.get(bytes) {
            return Ok(buffer.clone());
        }
        if caches.uniforms.len() >= CACHED_UNIFORMS {
            caches.uniforms.clear();
        }
        // OpenGL's uniform blocks are multiples of 16 bytes.
        let buffer = self.create_buffer(
            "wgdnn uniform",
            wgpu::BufferUsages::UNIFORM,
            (bytes.len() as u64).next_multiple_of(16),
            Some(bytes),
        )?;
        caches.uniforms.insert(bytes.to_vec(), buffer.clone());
        Ok(buffer)
    }

    /// Makes what recording these dispatches needs.
    pub(crate) fn warm_up(&self, dispatches: &[Dispatch]) -> Result<()> {
        self.check_device()?;
        for dispatch in dispatches {
            self.pipeline(dispatch.kernel, &dispatch.constants)?;
            self.uniform(&dispatch.uniform)?;
        }
        Ok(())
    }

    /// Runs `source` in place of the text of `shaders/FILE.wgsl` on this device. For tests of tests.
    #[doc(hidden)]
    pub fn substitute_shader(&self, file: &'static str, source: String) {
        let mut caches = lock(&self.inner.caches);
        caches.modules.remove(file);
        caches.pipelines.retain(|(other, ..), _| *other != file);
        caches.substitutes.insert(file, source);
    }
}

fn create_pipeline(
    device: &wgpu::Device,
    module: &wgpu::ShaderModule,
    kernel: &Kernel,
    constants: &[(&'static str, f64)],
) -> wgpu::ComputePipeline {
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
    let group = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(kernel.entry_point),
        entries: &entries,
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(kernel.entry_point),
        bind_group_layouts: &[Some(&group)],
        immediate_size: 0,
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(kernel.entry_point),
        layout: Some(&layout),
        module,
        entry_point: Some(kernel.entry_point),
        compilation_options: wgpu::PipelineCompilationOptions { constants, ..Default::default() },
        cache: None,
    })
}
