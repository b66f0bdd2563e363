//! The pool and staging.

use ndarray::{Array1, ArrayD, array};
use wgdnn::wgpu::{self, BufferUsages};
use wgdnn::{Gpu, Operator, Sigmoid, Tensor, UnaryInputs, UnaryOutputs, sigmoid};

use crate::harness::{portable_gpu, random};

/// A device of its own, whose memory no other test counts in.
fn fresh() -> Gpu {
    portable_gpu()
}

fn upload(gpu: &Gpu, array: &ArrayD<f32>) -> Tensor {
    Tensor::from_array(gpu, array).unwrap()
}

#[test]
fn dropped_tensors_are_reused_and_counted() {
    let gpu = fresh();
    assert_eq!(gpu.memory(), Default::default());
    let bytes = 4 * 1024;
    let input = upload(&gpu, &random(&[1024], 1));
    assert_eq!((gpu.memory().live, gpu.memory().pooled), (bytes, 0));
    for _ in 0..100 {
        let output = sigmoid(&input).unwrap();
        assert_eq!(gpu.memory().live, 2 * bytes);
        drop(output);
        assert_eq!((gpu.memory().live, gpu.memory().pooled), (bytes, bytes));
    }
    // Clones and flattened ones share a buffer.
    let flat = wgdnn::flatten(&input, &Default::default()).unwrap();
    drop(input);
    assert_eq!(gpu.memory().live, bytes);
    drop(flat);
    assert_eq!((gpu.memory().live, gpu.memory().pooled, gpu.memory().peak), (0, 2 * bytes, 2 * bytes));
    gpu.trim();
    assert_eq!((gpu.memory().live, gpu.memory().pooled, gpu.memory().peak), (0, 0, 2 * bytes));
    // And it still works.
    let output = sigmoid(&upload(&gpu, &array![0.0].into_dyn())).unwrap();
    assert_eq!(output.read_blocking().unwrap()[0], 0.5);
}

#[test]
fn a_reused_buffer_makes_no_new_one() {
    let gpu = fresh();
    let input = upload(&gpu, &random(&[3000], 1));
    let step = || {
        let output = sigmoid(&sigmoid(&input).unwrap()).unwrap();
        output.read_blocking().unwrap();
    };
    // Buffers change places a few times, and a bind group is kept from its second use on.
    (0..6).for_each(|_| step());
    let ((), calls) = crate::api::calls(step);
    for call in ["Device::create_buffer", "CommandEncoder::clear_buffer", "Device::create_bind_group"] {
        assert!(calls.iter().all(|name| name != call), "{call}: {calls:?}");
    }
}

#[test]
fn a_buffer_that_the_caller_has_seen_goes_to_no_other_tensor() {
    let gpu = fresh();
    let shape = [16];
    let operator = Sigmoid::new(&shape).unwrap();
    let input = upload(&gpu, &ArrayD::zeros(&shape[..]));
    gpu.submit().unwrap();
    let output = upload(&gpu, &ArrayD::zeros(&shape[..]));
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let inputs = UnaryInputs { input: input.slice().unwrap() };
    let outputs = UnaryOutputs { output: output.slice().unwrap() };
    operator.record(&mut gpu.record(&mut encoder), &inputs, &outputs, None).unwrap();
    drop(output);
    // If the pool gave its buffer to this one, the encoder would write into it.
    let bystander = upload(&gpu, &ArrayD::from_elem(&shape[..], 7.0));
    let computed = sigmoid(&bystander).unwrap();
    gpu.submit().unwrap();
    gpu.queue().submit([encoder.finish()]);
    assert!(bystander.read_blocking().unwrap().iter().all(|&x| x == 7.0));
    assert!(computed.read_blocking().unwrap().iter().all(|&x| x > 0.99));
}

#[test]
fn an_upload_does_not_overtake_the_calls_that_use_its_buffer() {
    let gpu = fresh();
    for round in 0..50 {
        let first = upload(&gpu, &ArrayD::from_elem(&[64][..], 1.0 + round as f32));
        let result = sigmoid(&first).unwrap();
        // Its buffer is free, but the call above has not been submitted.
        drop(first);
        let second = upload(&gpu, &ArrayD::from_elem(&[64][..], -1.0));
        let expected = 1.0 / (1.0 + (-1.0 - round as f64).exp());
        let got = result.read_blocking().unwrap();
        assert!(got.iter().all(|&x| (f64::from(x) - expected).abs() < 2e-7), "round {round}");
        drop(second);
    }
}

#[test]
fn large_tensors_pass_through_little_staging() {
    let gpu = fresh();
    let count = 25_000_003;
    let data = Array1::from_shape_fn(count, |index| (index % 1_000_003) as f32);
    let tensor = Tensor::from_array(&gpu, &data).unwrap();
    assert_eq!(tensor.read_blocking().unwrap(), data.clone().into_dyn());
    assert_eq!(pollster::block_on(tensor.read()).unwrap(), data.into_dyn());
    let staging = gpu.memory().staging;
    assert!(staging > 0 && staging <= 16 << 20, "{staging} bytes of staging for 100 MB");
    gpu.trim();
    assert_eq!(gpu.memory().staging, 0);
}

#[test]
fn a_callers_buffer_is_let_go() {
    // Held by a bind group, a buffer would outlive its owner by hundreds of recordings.
    let gpu = fresh();
    let operator = Sigmoid::new(&[16]).unwrap();
    // Its parameters are kept from here on, or they would go with what is recorded once.
    operator.warm_up(&gpu).unwrap();
    let input = upload(&gpu, &random(&[16], 1));
    let record = |times: usize| {
        let usage = BufferUsages::STORAGE;
        let descriptor = wgpu::BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false };
        let output = gpu.device().create_buffer(&descriptor);
        for _ in 0..times {
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let inputs = UnaryInputs { input: input.slice().unwrap() };
            let outputs = UnaryOutputs { output: output.slice(..) };
            operator.record(&mut gpu.record(&mut encoder), &inputs, &outputs, None).unwrap();
            gpu.queue().submit([encoder.finish()]);
        }
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        drop(output);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    };
    let destroyed = |calls: &[String]| calls.iter().filter(|call| *call == "Buffer::drop").count();
    // Recorded once, it goes with its owner.
    let ((), calls) = crate::api::calls(|| record(1));
    assert_eq!(destroyed(&calls), 1, "{calls:?}");
    let ((), calls) = crate::api::calls(|| record(3));
    assert_eq!(destroyed(&calls), 0, "kept by the bind group: {calls:?}");
    let ((), calls) = crate::api::calls(|| gpu.trim());
    assert!(destroyed(&calls) >= 1, "{calls:?}");
}
