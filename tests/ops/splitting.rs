//! Operators cut to fit a device's bindings and grids.

use ndarray::{Array1, ArrayD};
use wgdnn::wgpu;
use wgdnn::{BatchNormInputs, Error, Gpu, GpuOptions, Tensor, conv2d, sigmoid};

use crate::harness::{calls_of, expect_within_on, failures_of_all_algorithms, golden, gpu, random};
use wgdnn::cases::{Call, Refusal};

fn upload(gpu: &Gpu, array: &ArrayD<f32>) -> Tensor {
    Tensor::from_array(gpu, array).unwrap()
}

/// A device whose bindings are as small as this.
pub fn device_with_binding(bytes: u64) -> Gpu {
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: bytes,
        min_storage_buffer_offset_alignment: 32,
        ..wgpu::Limits::defaults()
    };
    Gpu::with_options_blocking(&GpuOptions::default().limits(limits)).unwrap()
}

/// Holds a call that is too large in one for tiny bindings, but not by item, against the CPU reference.
#[track_caller]
pub fn expect_cut(call: &Call, atol: f64) {
    expect_within_on(&device_with_binding(1 << 11), call, atol);
}

/// Every golden case that is too large for tiny bindings: right, or refused with the limit.
#[test]
fn golden_cases_on_tiny_bindings_are_right_or_refused() {
    let gpu = device_with_binding(1 << 10);
    let (mut cut, mut refused) = (0, 0);
    for case in golden().iter().filter(|case| !case.is_error) {
        let is_large = |array: &wgdnn::cases::CaseArray| array.shape().iter().product::<usize>() > 256;
        if !case.inputs.values().flatten().any(|array| is_large(array)) {
            continue;
        }
        let results = calls_of(case).into_iter().map(|call| call.run_eager(&gpu));
        match results.collect::<Result<Vec<_>, _>>() {
            Err(Refusal::BadInput(reason)) => {
                let limit = "exceeds max_storage_buffer_binding_size, which is 1024";
                assert!(reason.contains(limit), "{}: {reason}", case.id);
                refused += 1;
            }
            Err(other) => panic!("{}: {other}", case.id),
            Ok(_) => {
                let failures = failures_of_all_algorithms(&[case], |call| call.run_eager(&gpu));
                assert!(failures.is_empty(), "{failures:?}");
                cut += 1;
            }
        }
    }
    assert!(cut > 20 && refused > 20, "{cut} cut, {refused} refused");
}

/// Larger than the device's own limit, as it is.
#[test]
fn a_tensor_larger_than_a_binding_is_cut() {
    let binding = gpu().limits().max_storage_buffer_binding_size;
    let count = (binding / 4) as usize + 1001;
    if count as u64 * 4 > wgdnn::MAX_TENSOR_BYTES || count as u64 * 4 > gpu().limits().max_buffer_size {
        return; // This device binds whatever it can hold.
    }
    let data = Array1::from_shape_fn(count, |index| (index % 17) as f32 - 8.0);
    let output = sigmoid(&Tensor::from_array(gpu(), &data).unwrap()).unwrap().read_blocking().unwrap();
    for index in (0..count).step_by(4099).chain(count - 2000..count) {
        let expected = 1.0 / (1.0 + f64::exp(-f64::from(data[index])));
        assert!((f64::from(output[index]) - expected).abs() < 2e-7, "{index}");
    }
}

#[test]
fn what_cannot_be_cut_is_refused_with_the_limit() {
    let gpu = device_with_binding(1 << 12);
    // A single image is too large, whatever the batch.
    let input = upload(&gpu, &random(&[3, 1, 40, 40], 1));
    let weight = upload(&gpu, &random(&[1, 1, 3, 3], 2));
    let result = conv2d(&input, &weight, None, &Default::default());
    let Err(Error::LimitExceeded { operator: "conv2d", argument, limit, maximum: 4096, actual, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!((argument, limit), ("input", "max_storage_buffer_binding_size"));
    assert_eq!(actual, 6400);
    // A weight is not cut at all.
    let input = upload(&gpu, &random(&[1, 8, 5, 5], 1));
    let weight = upload(&gpu, &random(&[32, 8, 3, 3], 2));
    let result = conv2d(&input, &weight, None, &Default::default());
    assert!(matches!(result, Err(Error::LimitExceeded { argument: "weight", actual: 9216, .. })), "{result:?}");
    // More than a buffer can hold.
    let many = gpu.limits().max_buffer_size as usize / 4 + 1;
    let result = Tensor::from_slice(&gpu, &vec![0.0_f32; many], &[many]);
    assert!(matches!(result, Err(Error::LimitExceeded { limit: "max_buffer_size", .. })), "{result:?}");
}

/// More workgroups than fit into one dimension of a grid, for each kind of dispatch.
#[test]
fn more_than_65535_workgroups_are_no_matter() {
    assert_eq!(gpu().limits().max_compute_workgroups_per_dimension, 65_535);
    let count = 65_536 * 64 + 3;
    let data = Array1::from_shape_fn(count, |index| if index < count - 5 { 0.0 } else { 1.0 });
    let tensor = Tensor::from_array(gpu(), &data).unwrap();
    let output = sigmoid(&tensor).unwrap().read_blocking().unwrap();
    assert_eq!((output[0], output[count - 6]), (0.5, 0.5));
    assert!(output.iter().skip(count - 5).all(|&x| (x - 0.731_058_6).abs() < 1e-6));

    // A workgroup for each of 65,540 channels, in every stage of batch norm.
    let channels = 65_540;
    let input = ndarray::Array2::from_shape_fn((4, channels), |(n, c)| (n * (c % 7)) as f32);
    let params = wgdnn::BatchNormParams { training: true, ..Default::default() };
    let input = input.into_dyn();
    let got = wgdnn::batch_norm(&BatchNormInputs::new(&upload(gpu(), &input)), &params).unwrap();
    let expected = wgdnn::reference::batch_norm(&BatchNormInputs::new(&input as _), &params).unwrap().output;
    let got = got.read_blocking().unwrap();
    assert!(got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-5));

    // And a row each for cross entropy with many classes.
    let rows = 65_540;
    let logits = ndarray::Array2::from_shape_fn((rows, 40), |(n, c)| ((n + c) % 5) as f32).into_dyn();
    let classes = Array1::from_shape_fn(rows, |n| (n % 40) as i32);
    let params = wgdnn::CrossEntropyParams { reduction: wgdnn::Reduction::None, ..Default::default() };
    let target = Tensor::from_array(gpu(), &classes).unwrap();
    let target = wgdnn::CrossEntropyTarget::Classes(&target);
    let got = wgdnn::cross_entropy(&upload(gpu(), &logits), target, None, &params).unwrap().read_blocking().unwrap();
    let classes = classes.mapv(i64::from).into_dyn();
    let target = wgdnn::CrossEntropyTarget::Classes(&classes as _);
    let expected = wgdnn::reference::cross_entropy(&logits, target, None, &params).unwrap();
    assert!(got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-5));
}
