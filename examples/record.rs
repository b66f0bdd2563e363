//! An operator recorded into a command encoder.

use wgdnn::wgpu::{BufferDescriptor, BufferUsages, CommandEncoderDescriptor};
use wgdnn::{Conv2d, Conv2dBuffers, Conv2dParams, Gpu};

fn main() -> Result<(), wgdnn::Error> {
    let gpu = Gpu::new_blocking()?; // Or on your own: Gpu::from_wgpu(device, queue).
    let (device, queue) = (gpu.device(), gpu.queue());

    // Plan once: this checks all shapes and owns nothing on the GPU. Then compile, now rather than in a frame.
    let conv = Conv2d::new(&[1, 3, 64, 64], &[8, 3, 3, 3], None, &Conv2dParams::default())?;
    conv.warm_up(&gpu)?;

    let usage = BufferUsages::STORAGE;
    let buffer = |size| device.create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let (input, weight, output) = (buffer(4 * 3 * 64 * 64), buffer(4 * 8 * 3 * 3 * 3), buffer(4 * 8 * 62 * 62));
    let (input, weight, output) = (input.slice(..), weight.slice(..), output.slice(..));

    // Record into your encoder, as often as you like; submit it when you like.
    let mut encoder = device.create_command_encoder(&CommandEncoderDescriptor::default());
    conv.record(&mut gpu.record(&mut encoder), &Conv2dBuffers { input, weight, bias: None, output, workspace: None })?;
    queue.submit([encoder.finish()]);
    Ok(())
}
