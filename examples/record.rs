//! An operator recorded into a command encoder.

use wgdnn::wgpu::{BufferDescriptor, BufferUsages, CommandEncoderDescriptor};
use wgdnn::{Conv2d, Conv2dInputs, Conv2dOutputs, Conv2dParams, Gpu, Operator};

fn main() -> Result<(), wgdnn::Error> {
    let gpu = Gpu::new_blocking()?; // Or on your own: Gpu::from_wgpu(device, queue).
    let (device, queue) = (gpu.device(), gpu.queue());

    // Plan once: this checks all shapes and owns nothing on the GPU. Then compile now, so that no frame has to.
    let conv = Conv2d::new(&[1, 3, 64, 64], &[8, 3, 3, 3], None, &Conv2dParams::default())?;
    conv.warm_up(&gpu)?;

    let usage = BufferUsages::STORAGE;
    let buffer = |size| device.create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
    let slots = conv.slots(&gpu); // The size of the buffer for each argument.
    let (input, weight) = (buffer(slots.inputs.input.bytes()), buffer(slots.inputs.weight.bytes()));
    let output = buffer(slots.outputs.output.bytes());
    let workspace = buffer(slots.workspace_size().max(4)); // One serves all operators.

    // Record into your encoder, as often as you like; submit it when you like.
    let mut encoder = device.create_command_encoder(&CommandEncoderDescriptor::default());
    let inputs = Conv2dInputs::new(input.slice(..), weight.slice(..));
    let outputs = Conv2dOutputs::new(output.slice(..));
    conv.record(&mut gpu.record(&mut encoder), &inputs, &outputs, Some(workspace.slice(..)))?;
    queue.submit([encoder.finish()]);
    Ok(())
}
