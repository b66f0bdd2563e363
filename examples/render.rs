//! A program that draws: each frame runs a convolution on the program's own device, and draws the result without a
//! read-back.
//!
//! There is no window: the last of 60 frames is saved as render.png, or under the name that is given.
//!
//! `cargo run --release --features gpu --example render`

use std::error::Error;
use std::fs::File;

use wgdnn::wgpu::{self, util::DeviceExt};
use wgdnn::{Conv2d, Conv2dInputs, Conv2dOutputs, Conv2dParams, Gpu, Operator, Sigmoid, UnaryInputs, UnaryOutputs};

const SIZE: u32 = 256;

/// Draws a buffer of SIZE x SIZE floats as grey pixels, on one triangle that covers everything.
const DRAW: &str = "
@group(0) @binding(0) var<storage, read> image: array<f32>;

@vertex
fn cover(@builtin(vertex_index) index: u32) -> @builtin(position) vec4f {
    return vec4f(f32(index & 1u) * 4.0 - 1.0, f32(index >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn draw(@builtin(position) position: vec4f) -> @location(0) vec4f {
    return vec4f(vec3f(image[u32(position.y) * 256u + u32(position.x)]), 1.0);
}
";

/// What the frame shows: rings around a point that moves.
fn scene(frame: u32) -> Vec<f32> {
    let center = 100.0 + frame as f32;
    let pixel = |index: u32| {
        let [x, y] = [index % SIZE, index / SIZE].map(|at| at as f32 - center);
        ((x * x + y * y).sqrt() / 6.0).sin()
    };
    (0..SIZE * SIZE).map(pixel).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    // The program's own device. All operators are planned and compiled before the first frame.
    let (device, queue) = pollster::block_on(own_device())?;
    let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
    let image = [1, 1, SIZE as usize, SIZE as usize];
    let conv =
        Conv2d::new(&image, &[1, 1, 3, 3], None, &Conv2dParams { padding: [1, 1].into(), ..Default::default() })?;
    let sigmoid = Sigmoid::new(conv.output_shape())?;
    gpu.warm_up(&[&conv, &sigmoid])?;

    let bytes = u64::from(4 * SIZE * SIZE);
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = |label| {
        let label = Some(label);
        device.create_buffer(&wgpu::BufferDescriptor { label, size: bytes, usage, mapped_at_creation: false })
    };
    let (pixels, edges, picture) = (buffer("pixels"), buffer("edges"), buffer("picture"));
    let laplacian: [f32; 9] = [1.0, 1.0, 1.0, 1.0, -8.0, 1.0, 1.0, 1.0, 1.0].map(|weight| weight * 20.0);
    let weight = device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
        label: Some("laplacian"),
        contents: &laplacian.map(f32::to_ne_bytes).concat(),
        usage,
    });

    let format = wgpu::TextureFormat::Rgba8Unorm;
    let target = device.create_texture(&wgpu::TextureDescriptor {
        label: Some("frame"),
        size: wgpu::Extent3d { width: SIZE, height: SIZE, depth_or_array_layers: 1 },
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    let view = target.create_view(&wgpu::TextureViewDescriptor::default());
    let pipeline = draw_pipeline(&device, format);
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("picture"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry { binding: 0, resource: picture.as_entire_binding() }],
    });

    for frame in 0..60 {
        queue.write_buffer(&pixels, 0, &scene(frame).iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<_>>());
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("frame") });

        // The program's own compute pass, with two operators in it.
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let mut recorder = gpu.record_in_pass(&mut pass);
        let inputs = Conv2dInputs::new(pixels.slice(..), weight.slice(..));
        conv.record(&mut recorder, &inputs, &Conv2dOutputs::new(edges.slice(..)), None)?;
        let inputs = UnaryInputs::new(edges.slice(..));
        sigmoid.record(&mut recorder, &inputs, &UnaryOutputs::new(picture.slice(..)), None)?;
        drop(recorder);
        drop(pass);

        // The program's own render pass, which reads what they wrote.
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            label: Some("draw"),
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations { load: wgpu::LoadOp::Clear(wgpu::Color::BLACK), store: wgpu::StoreOp::Store },
            })],
            ..Default::default()
        });
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        queue.submit([encoder.finish()]);
    }

    let path = std::env::args().nth(1).unwrap_or_else(|| "render.png".into());
    save(&device, &queue, &target, &path)?;
    println!("{path}");
    Ok(())
}

async fn own_device() -> Result<(wgpu::Device, wgpu::Queue), Box<dyn Error>> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await?;
    Ok(adapter.request_device(&wgpu::DeviceDescriptor::default()).await?)
}

fn draw_pipeline(device: &wgpu::Device, format: wgpu::TextureFormat) -> wgpu::RenderPipeline {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("draw"),
        source: wgpu::ShaderSource::Wgsl(DRAW.into()),
    });
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("draw"),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("cover"),
            compilation_options: Default::default(),
            buffers: &[],
        },
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("draw"),
            compilation_options: Default::default(),
            targets: &[Some(format.into())],
        }),
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        multiview_mask: None,
        cache: None,
    })
}

/// Saves the frame: the only read-back there is.
fn save(device: &wgpu::Device, queue: &wgpu::Queue, target: &wgpu::Texture, path: &str) -> Result<(), Box<dyn Error>> {
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("saved"),
        size: u64::from(4 * SIZE * SIZE),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(4 * SIZE), rows_per_image: None };
    encoder.copy_texture_to_buffer(
        target.as_image_copy(),
        wgpu::TexelCopyBufferInfo { buffer: &buffer, layout },
        target.size(),
    );
    queue.submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |_| {});
    device.poll(wgpu::PollType::wait_indefinitely())?;
    let mut png = png::Encoder::new(File::create(path)?, SIZE, SIZE);
    png.set_color(png::ColorType::Rgba);
    png.write_header()?.write_image_data(&buffer.get_mapped_range(..)?)?;
    Ok(())
}
