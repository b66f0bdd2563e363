//! How many allocations and locks a call takes once everything that it needs is there, beside the same dispatches made with
//! wgpu alone. A binary of its own, whose allocator counts.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use wgdnn::operator::Differentiable;
use wgdnn::wgpu::{self, Buffer, BufferDescriptor, BufferUsages};
use wgdnn::{
    Conv2d, Conv2dAlgorithm, Conv2dInputs, Conv2dOutputs, Conv2dParams, Gpu, Operator, Tanh, Tensor,
    UnaryBackwardInputs, UnaryGradients, conv2d,
};

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // An allocation at the end of a thread finds no counter.
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: all is done by the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The fewest allocations and locks that one of many calls takes on this thread: what grows now and then is not the call's.
fn cost<R>(mut call: impl FnMut() -> R) -> [usize; 2] {
    let mut count = || {
        let before = [COUNT.get(), wgdnn::locks()];
        let result = call();
        let after = [COUNT.get(), wgdnn::locks()];
        drop(result);
        [after[0] - before[0], after[1] - before[1]]
    };
    let counts: Vec<_> = (0..300).map(|_| count()).collect();
    [0, 1].map(|kind| counts.iter().map(|count| count[kind]).min().unwrap())
}

/// A dispatch made with wgpu alone, into a pass that has begun.
fn bare(gpu: &Gpu, buffers: &[Buffer; 4]) -> usize {
    let source = "
        @group(0) @binding(0) var<storage, read> input: array<f32>;
        @group(0) @binding(1) var<storage, read> weight: array<f32>;
        @group(0) @binding(2) var<storage, read> bias: array<f32>;
        @group(0) @binding(3) var<storage, read_write> output: array<f32>;
        @compute @workgroup_size(64)
        fn add(@builtin(global_invocation_id) id: vec3u) { output[id.x] = input[id.x] * weight[0] + bias[0]; }";
    let source = wgpu::ShaderSource::Wgsl(source.into());
    let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let entries: Vec<_> = (0..4)
        .map(|n| wgpu::BindGroupEntry { binding: n, resource: buffers[n as usize].as_entire_binding() })
        .collect();
    let layout = &pipeline.get_bind_group_layout(0);
    let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries });
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    cost(|| {
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(256, 1, 1);
    })[0]
}

#[test]
fn warm_calls_allocate_and_lock_little() {
    let gpu = Gpu::new_blocking().unwrap();
    let params = Conv2dParams::default();
    let shapes: [&[usize]; 3] = [&[1, 16, 32, 32], &[16, 16, 3, 3], &[16]];
    let buffers = [16 << 10, 16 * 16 * 9, 16, 16 << 10].map(|elements| {
        let (size, usage) = (4 * elements, BufferUsages::STORAGE);
        gpu.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    });
    let bare = bare(&gpu, &buffers);

    let [input, weight, bias] = shapes.map(|shape| Tensor::<f32>::zeros(&gpu, shape).unwrap());
    let [eager, eager_locks] = cost(|| conv2d(&input, &weight, Some(&bias), &params).unwrap());
    let conv = Conv2d::new(shapes[0], shapes[1], Some(shapes[2]), &params).unwrap();
    let inputs = Conv2dInputs { bias: Some(&bias), ..Conv2dInputs::new(&input, &weight) };
    let [planned, planned_locks] = cost(|| conv.call(&inputs).unwrap());

    // One that is a single dispatch everywhere.
    let conv = conv.with_algorithm(Conv2dAlgorithm::Direct).unwrap();
    let [input, weight, bias, output] = [0, 1, 2, 3].map(|index: usize| buffers[index].slice(..));
    let inputs = Conv2dInputs { bias: Some(bias), ..Conv2dInputs::new(input, weight) };
    let outputs = Conv2dOutputs::new(output);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut recorder = gpu.record(&mut encoder);
    let [recorded, recorded_locks] = cost(|| conv.record(&mut recorder, &inputs, &outputs, None).unwrap());
    println!("wgpu alone allocates {bare} times for a dispatch");
    println!("conv2d(): {eager} allocations, {eager_locks} locks");
    println!("Conv2d::call: {planned} allocations, {planned_locks} locks");
    println!("Conv2d::record: {recorded} allocations, {recorded_locks} locks");
    assert!(eager <= bare + 8 && eager_locks <= 5, "{eager}, {eager_locks}");
    assert!(planned <= bare + 8 && planned_locks <= 5, "{planned}, {planned_locks}");
    assert!(recorded <= bare + 2 && recorded_locks <= 5, "{recorded}, {recorded_locks}");

    // A backward pass is an operator as any other.
    let tanh = Tanh::new(shapes[0]).unwrap();
    let backward = tanh.backward_of_all().unwrap();
    let tensors = [(); 2].map(|()| Tensor::<f32>::zeros(&gpu, shapes[0]).unwrap());
    let inputs = UnaryBackwardInputs { output: Some(&tensors[1]), ..UnaryBackwardInputs::new(&tensors[0]) };
    let [planned, planned_locks] = cost(|| backward.call(&inputs).unwrap());
    let [grad_output, output] = [0, 3].map(|index: usize| buffers[index].slice(..));
    let grad_input = gpu.device().create_buffer(&BufferDescriptor {
        label: None,
        size: 4 * (16 << 10),
        usage: BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let inputs = UnaryBackwardInputs { output: Some(output), ..UnaryBackwardInputs::new(grad_output) };
    let gradients = UnaryGradients { grad_input: Some(grad_input.slice(..)) };
    let [recorded, recorded_locks] = cost(|| backward.record(&mut recorder, &inputs, &gradients, None).unwrap());
    println!("Backward::call: {planned} allocations, {planned_locks} locks");
    println!("Backward::record: {recorded} allocations, {recorded_locks} locks");
    assert!(planned <= bare + 8 && planned_locks <= 5, "{planned}, {planned_locks}");
    assert!(recorded <= bare + 2 && recorded_locks <= 5, "{recorded}, {recorded_locks}");
}
