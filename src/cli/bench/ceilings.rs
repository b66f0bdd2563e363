//! The most that the adapter can do, measured.

use wgdnn::{Gpu, wgpu};

use super::measure::{Protocol, Times};

const COPY_BYTES_OF_A_GPU: u64 = 512 << 20;
const COPY_BYTES_OF_A_CPU: u64 = 64 << 20;

/// Invocations of the arithmetic kernel, and operations of each: see ceilings.wgsl.
const INVOCATIONS: u32 = 1 << 18;
const OPERATIONS: f64 = 512.0 * 8.0 * 4.0 * 2.0;

/// The roofline's two lines.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Ceilings {
    /// Bytes read and written by a copy, each second.
    pub bytes_per_second: f64,
    /// Multiplications and additions, each second.
    pub flops_per_second: f64,
}

impl Ceilings {
    /// The least time that this much work can take.
    pub fn seconds(&self, flops: f64, bytes: f64) -> f64 {
        (flops / self.flops_per_second).max(bytes / self.bytes_per_second)
    }
}

/// Measures both by the protocol that measures operators.
pub fn measure(gpu: &Gpu, protocol: &Protocol) -> Result<Ceilings, Box<dyn std::error::Error>> {
    let device = gpu.device();
    let is_cpu = gpu.adapter_info().device_type == wgpu::DeviceType::Cpu;
    let wanted = if is_cpu { COPY_BYTES_OF_A_CPU } else { COPY_BYTES_OF_A_GPU };
    let limits = gpu.limits();
    let bytes = wanted.min(limits.max_storage_buffer_binding_size).min(limits.max_buffer_size) & !0xFFFF;
    let buffer = |label| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (source, destination) = (buffer("source"), buffer("destination"));
    let module = device.create_shader_module(wgpu::include_wgsl!("ceilings.wgsl"));
    let run = |entry_point: &str, [x, y]: [u32; 2]| -> Result<Times, wgdnn::Error> {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry_point),
            layout: None,
            module: &module,
            entry_point: Some(entry_point),
            compilation_options: Default::default(),
            cache: None,
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(entry_point),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: source.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: destination.as_entire_binding() },
            ],
        });
        protocol.measure(gpu, &|calls| {
            let mut encoder = device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            (0..calls).for_each(|_| pass.dispatch_workgroups(x, y, 1));
            drop(pass);
            gpu.queue().submit([encoder.finish()]);
            Ok(())
        })
    };
    let workgroups = (bytes / 16).div_ceil(64) as u32;
    let y = workgroups.div_ceil(limits.max_compute_workgroups_per_dimension);
    let copy = run("copy", [workgroups.div_ceil(y), y])?;
    let arithmetic = run("multiply_add", [INVOCATIONS / 64, 1])?;
    Ok(Ceilings {
        bytes_per_second: 2.0 * bytes as f64 / copy.min,
        flops_per_second: f64::from(INVOCATIONS) * OPERATIONS / arithmetic.min,
    })
}
