//! A kernel of your own between operators: a residual block, relu(conv2d(x) + x).

use wgdnn::{Conv2dParams, Gpu, Tensor, conv2d, wgpu};

const ADD_RELU: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn add_relu(@builtin(global_invocation_id) id: vec3u) {
    if id.x < arrayLength(&output) {
        output[id.x] = max(x[id.x] + y[id.x], 0.0);
    }
}
";

fn add_relu(pipeline: &wgpu::ComputePipeline, x: &Tensor, y: &Tensor) -> wgdnn::Result<Tensor> {
    let gpu = x.gpu();
    let output = Tensor::empty(gpu, x.shape())?;
    // Runs after all calls so far and before all later ones. Nothing is submitted or waited for.
    gpu.record_own("add_relu", &[x, y], &[&output], |pass, bindings| {
        let entry = |n: u32| wgpu::BindGroupEntry { binding: n, resource: bindings[n as usize].clone() };
        let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[entry(0), entry(1), entry(2)],
        });
        pass.set_pipeline(pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(x.len().div_ceil(64) as u32, 1, 1);
        Ok(())
    })?;
    Ok(output)
}

fn main() -> wgdnn::Result<()> {
    let gpu = Gpu::new_blocking()?;
    let source = wgpu::ShaderSource::Wgsl(ADD_RELU.into());
    let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });

    let params = Conv2dParams { padding: [1, 1].into(), ..Default::default() };
    let weight = Tensor::from_slice(&gpu, &[-0.1; 9], &[1, 1, 3, 3])?;
    let mut features = Tensor::from_slice(&gpu, &[1.0; 16], &[1, 1, 4, 4])?;
    for _ in 0..3 {
        features = add_relu(&pipeline, &conv2d(&features, &weight, None, &params)?, &features)?;
    }
    println!("{}", features.read_blocking()?);
    Ok(())
}
