//! Memory that runs out, and memory that is kept.

use std::process::Command;

use ndarray::array;
use wgdnn::wgpu::{self, BufferUsages};
use wgdnn::{
    BatchNormInputs, BatchNormParams, Conv2dParams, CrossEntropyTarget, Error, Gpu, GpuOptions, MaxPool2dParams,
    Reduction, Tensor, batch_norm, conv2d, cross_entropy, flatten, max_pool2d, sigmoid,
};

use super::callers_gpu;
use crate::harness::{portable_gpu, random};

/// Runs an ignored test of this binary alone in a process, under a limit of its address space if one is given.
#[track_caller]
pub fn run_alone(test: &str, kibibytes: Option<u64>) -> String {
    let program = std::env::current_exe().unwrap();
    let limit = kibibytes.map_or("unlimited".to_owned(), |kibibytes| kibibytes.to_string());
    let output = Command::new("sh")
        .args(["-c", "ulimit -v $1; shift; exec \"$@\"", "sh", &limit])
        .arg(program)
        .args(["--ignored", "--exact", "--nocapture", "--test-threads=1", test])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {}\n{text}", output.status);
    text
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_memory_is_an_error_and_the_device_goes_on() {
    // Enough to start with; what is left is used up by the test itself.
    let text = run_alone("faults::memory::alone_uses_up_all_memory", Some(3 << 20));
    assert!(text.contains("out of memory at 20 points"), "{text}");
}

/// Fills the memory with tensors of 20 sizes, and each time comes back from it.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs alone, under a limit of memory"]
fn alone_uses_up_all_memory() {
    // All of the adapter's limits: single tensors may be large.
    let gpu = Gpu::with_options_blocking(&GpuOptions::default()).unwrap();
    let small = Tensor::from_array(&gpu, &array![0.0]).unwrap();
    sigmoid(&small).unwrap().read_blocking().unwrap();
    let mut points = 0;
    let data = vec![1.0_f32; 100 << 20];
    for step in 0..20 {
        // From 40 to 400 MiB.
        let elements = (10 << 20) + step * 4_966_000;
        let mut held = Vec::new();
        let error = loop {
            match Tensor::from_slice(&gpu, &data[..elements], &[elements]) {
                Ok(tensor) => held.push(tensor),
                Err(error) => break error,
            }
            assert!(held.len() < 1000, "memory does not end");
        };
        assert!(matches!(error, Error::OutOfMemory { .. }), "step {step}, {} tensors: {error}", held.len());
        drop(held);
        let output = sigmoid(&small).unwrap();
        assert_eq!(output.read_blocking().unwrap()[0], 0.5, "step {step}");
        points += 1;
    }
    println!("out of memory at {points} points");
}

#[cfg(target_os = "linux")]
#[test]
fn the_last_byte_gone_is_no_lost_device() {
    run_alone("faults::memory::alone_uses_up_the_last_byte", Some(9 << 18));
}

/// The caller's own buffers take all there is, down to the smallest, on a device whose handler panics.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs alone, under a limit of memory"]
fn alone_uses_up_the_last_byte() {
    for make in [portable_gpu, callers_gpu] {
        let gpu = make();
        let small = Tensor::from_array(&gpu, &array![0.0]).unwrap();
        sigmoid(&small).unwrap().read_blocking().unwrap();
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let mut held = Vec::new();
        for size in (8..28).rev().map(|bits| 1_u64 << bits) {
            let mut before = usize::MAX;
            while before != held.len() && held.len() < 20_000 {
                before = held.len();
                let inner = gpu.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
                let usage = BufferUsages::STORAGE;
                let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
                let buffer = gpu.device().create_buffer(&descriptor);
                if pollster::block_on(inner.pop()).is_none() {
                    held.push(buffer);
                }
            }
        }
        drop(pollster::block_on(scope.pop()));
        for elements in [1_000, 100_000, 3_000_000] {
            let result = Tensor::from_slice(&gpu, &vec![1.0; elements], &[elements]);
            assert!(matches!(result, Ok(_) | Err(Error::OutOfMemory { .. })), "{elements}: {result:?}");
        }
        let result = sigmoid(&small);
        assert!(matches!(result, Ok(_) | Err(Error::OutOfMemory { .. })), "{result:?}");
        drop(held);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let output = sigmoid(&small).unwrap();
        assert_eq!(output.read_blocking().unwrap()[0], 0.5);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_iterations_keep_no_memory() {
    let text = run_alone("faults::memory::alone_runs_ten_thousand_iterations", None);
    let grown = text.lines().find(|line| line.contains("KiB more after")).expect("a figure");
    println!("{grown}");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs alone, so that nothing else takes memory"]
fn alone_runs_ten_thousand_iterations() {
    let gpu = portable_gpu();
    let weight = Tensor::from_array(&gpu, &random(&[4, 3, 3, 3], 1)).unwrap();
    let images: Vec<_> = (0..7).map(|n| random(&[1 + n % 2, 3, 8 + n, 9], n as u64)).collect();
    let iteration = |step: usize| {
        let image = Tensor::from_array(&gpu, &images[step % images.len()]).unwrap();
        let features = conv2d(&image, &weight, None, &Conv2dParams::default()).unwrap();
        let params = BatchNormParams { training: true, ..Default::default() };
        let normal = batch_norm(&BatchNormInputs::new(&features), &params).unwrap();
        let pooled = max_pool2d(&sigmoid(&normal).unwrap(), &MaxPool2dParams::new([2, 2])).unwrap().output;
        let classes = Tensor::from_array(&gpu, &ndarray::Array1::zeros(pooled.shape()[0])).unwrap();
        let logits = flatten(&pooled, &wgdnn::FlattenParams { start_dim: 1, end_dim: -1 }).unwrap();
        let params = wgdnn::CrossEntropyParams { reduction: Reduction::Mean, ..Default::default() };
        let loss = cross_entropy(&logits, CrossEntropyTarget::Classes(&classes), None, &params).unwrap();
        match step % 5 {
            0 => drop(loss.read_blocking().unwrap()),
            1 => drop(pollster::block_on(loss.read()).unwrap()),
            2 => drop(loss.read()),
            3 => gpu.submit().unwrap(),
            _ => {}
        }
    };
    (0..200).for_each(iteration);
    let before = crate::keeping::resident();
    (200..10_000).for_each(iteration);
    let grown = crate::keeping::resident() - before;
    println!("{grown} KiB more after 10,000 iterations than after 200");
    assert!(grown < 1024, "{grown} KiB more");
}
