//! Looking inside: GPU times, and eager calls replayed on the CPU reference.

use std::time::Duration;

use ndarray::{Array2, array};
use wgdnn::{
    BatchNormInputs, BatchNormParams, Conv2d, Conv2dAlgorithm, Conv2dInputs, Conv2dParams, Error, Gpu, MaxPool2dParams,
    Operator, Tensor, batch_norm, conv2d, flatten, max_pool2d, sigmoid,
};

use crate::harness::{failures_of_all_algorithms, golden, portable_gpu, random};
use wgdnn::cases::Call;

/// A device with all features, and with no other test on it.
fn fresh() -> Gpu {
    Gpu::new_blocking().unwrap()
}

#[test]
fn a_profile_has_the_time_of_each_call_in_order() {
    let gpu = fresh();
    let input = Tensor::from_array(&gpu, &random(&[2, 16, 64, 64], 1)).unwrap();
    let weight = Tensor::from_array(&gpu, &random(&[32, 16, 3, 3], 2)).unwrap();
    let work = || {
        let convolved = conv2d(&input, &weight, None, &Conv2dParams::default()).unwrap();
        let pooled = max_pool2d(&convolved, &MaxPool2dParams::new([2, 2])).unwrap().output;
        let flat = flatten(&pooled, &Default::default()).unwrap();
        sigmoid(&flat).unwrap()
    };
    let expected = work().read_blocking().unwrap();
    let (output, timings) = gpu.profile(work).unwrap();
    let operators: Vec<_> = timings.iter().map(|timing| timing.operator).collect();
    assert_eq!(operators, ["conv2d", "max_pool2d", "sigmoid"]);
    assert!(timings.iter().all(|timing| timing.time > Duration::ZERO), "{timings:?}");
    assert_eq!(output.read_blocking().unwrap(), expected);
    // Afterwards everything is as before.
    assert_eq!(work().read_blocking().unwrap(), expected);
    assert_eq!(gpu.profile(|| ()).unwrap(), ((), Vec::new()));
}

#[test]
fn a_profile_holds_more_calls_than_a_query_set() {
    let gpu = fresh();
    let input = Tensor::from_array(&gpu, &array![0.5]).unwrap();
    let ((), timings) = gpu.profile(|| (0..1000).for_each(|_| drop(sigmoid(&input).unwrap()))).unwrap();
    assert_eq!(timings.len(), 1000);
    let (inner, outer) = gpu.profile(|| gpu.profile(|| ())).unwrap();
    assert!(matches!(inner, Err(Error::InvalidArgument { operator: "profile", .. })), "{inner:?}");
    assert!(outer.is_empty());
    // A panic in the work ends the profile too.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| gpu.profile(|| panic!("as planned"))));
    assert!(panicked.is_err() && gpu.profile(|| ()).is_ok());
}

#[test]
fn a_profile_needs_timestamps() {
    let result = portable_gpu().profile(|| ());
    assert!(matches!(result, Err(Error::MissingFeature { feature: "TIMESTAMP_QUERY", .. })), "{result:?}");
}

/// No false alarm: every golden case agrees with the reference as closely as validation wants.
#[test]
fn validation_passes_what_is_right() {
    let gpu = fresh();
    gpu.set_validation(true);
    assert!(gpu.validates());
    let cases: Vec<_> = golden().iter().filter(|case| !case.is_error).collect();
    assert!(cases.len() > 2000);
    let failures = failures_of_all_algorithms(&cases, |call: &Call| call.run_eager(&gpu));
    crate::harness::expect_none(&failures, cases.len());
}

#[test]
fn validation_finds_the_first_element_that_a_wrong_shader_writes() {
    let gpu = fresh();
    gpu.set_validation(true);
    let source = |file: &str| crate::shaders::shaders().into_iter().find(|(name, _)| name == file).unwrap().1;
    let plant = |file: &'static str, from: &str, to: &str| {
        assert!(source(file).contains(from), "{file}.wgsl has no {from:?}");
        gpu.substitute_shader(file, source(file).replacen(from, to, 1));
    };
    let input = Tensor::from_array(&gpu, &random(&[1, 2, 5, 5], 1)).unwrap();
    let weight = Tensor::from_array(&gpu, &random(&[3, 2, 2, 2], 2)).unwrap();
    let bias = Tensor::from_array(&gpu, &array![0.0, 0.0, 1.0]).unwrap();
    plant("conv2d", "bias_of(out_channel), sum)", "bias_of(0), sum)");
    let conv = Conv2d::new(input.shape(), weight.shape(), Some(bias.shape()), &Conv2dParams::default()).unwrap();
    let direct = conv.with_algorithm(Conv2dAlgorithm::Direct).unwrap();
    let error = direct.call(&Conv2dInputs { bias: Some(&bias), ..Conv2dInputs::new(&input, &weight) }).unwrap_err();
    let Error::Mismatch { operator: "conv2d", output: "output", shapes, index, expected, actual, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(index, &[0, 2, 0, 0]);
    assert!((expected - actual - 1.0).abs() < 1e-6);
    assert_eq!(shapes, &[("input", vec![1, 2, 5, 5]), ("weight", vec![3, 2, 2, 2]), ("bias", vec![3])]);
    let text = error.to_string();
    for part in ["conv2d", "input [1, 2, 5, 5]", "output[0, 2, 0, 0]"] {
        assert!(text.contains(part), "{text}");
    }

    plant("batch_norm", "workspace[words + 5u] = terms.bias;", "workspace[words + 5u] = 0.0;");
    let input = Tensor::from_array(&gpu, &Array2::from_shape_fn((4, 3), |(n, c)| (n * n + c) as f32)).unwrap();
    let bias = Tensor::from_array(&gpu, &array![0.0, 2.0, 0.0]).unwrap();
    let inputs = BatchNormInputs { bias: Some(&bias), ..BatchNormInputs::new(&input) };
    let params = BatchNormParams { training: true, ..Default::default() };
    let error = batch_norm(&inputs, &params).unwrap_err();
    assert!(matches!(&error, Error::Mismatch { index, .. } if index == &[0, 1]), "{error}");
    // Without validation nobody looks.
    gpu.set_validation(false);
    assert!(batch_norm(&inputs, &params).is_ok());
}

/// Winograd's transforms round what lies beside an output's own window, as they are documented to.
#[test]
fn validation_knows_how_winograd_rounds() {
    let gpu = fresh();
    gpu.set_validation(true);
    for seed in 0..8 {
        // Large inputs, each beside small ones, and a kernel that takes next to nothing of the large ones.
        let mut image = random(&[1, 64, 12, 12], seed);
        for channel in 0..64 {
            image[[0, channel, 5, 5]] *= 1e6;
        }
        let mut kernel = random(&[3, 64, 3, 3], seed + 100).mapv(|w| w * 1e-6);
        kernel.slice_mut(ndarray::s![.., .., 1, 1]).mapv_inplace(|w| w * 1e3);
        let [image, kernel] = [image, kernel].map(|array| Tensor::from_array(&gpu, &array).unwrap());
        for algorithm in [Conv2dAlgorithm::Winograd2x2, Conv2dAlgorithm::Winograd4x4] {
            let params = Conv2dParams { padding: [1, 1].into(), ..Default::default() };
            let conv = Conv2d::new(image.shape(), kernel.shape(), None, &params).unwrap();
            let result = conv.with_algorithm(algorithm).unwrap().call(&Conv2dInputs::new(&image, &kernel));
            result.unwrap_or_else(|error| panic!("{algorithm:?}: {error}"));
        }
    }
}

/// What float32 cannot hold, what cannot be read back, and what the reference refuses is no mismatch.
#[test]
fn validation_lets_go_what_it_cannot_judge() {
    use wgdnn::wgpu::{BufferDescriptor, BufferUsages};
    use wgdnn::{AvgPool2dParams, CrossEntropyTarget, MseLossParams, avg_pool2d, cross_entropy, mse_loss};

    let gpu = fresh();
    gpu.set_validation(true);
    let up = |array: ndarray::ArrayD<f32>| Tensor::from_array(&gpu, &array).unwrap();
    let huge = up(ndarray::Array4::from_elem((1, 1, 4, 4), 3e38).into_dyn());
    avg_pool2d(&huge, &AvgPool2dParams::new([2, 2])).unwrap();
    let (x, y) = (up(array![1e20, 1.0].into_dyn()), up(array![0.0, 1.0].into_dyn()));
    mse_loss(&x, &y, &MseLossParams::default()).unwrap();
    // A sum that overflows although what it is divided by is larger than the window.
    let divided = AvgPool2dParams { divisor_override: Some(1000), ..AvgPool2dParams::new([2, 2]) };
    avg_pool2d(&huge, &divided).unwrap();
    let cancelling = up(ndarray::Array4::from_shape_fn((1, 2, 2, 2), |at| [1e30, -1e30][at.1]).into_dyn());
    let weight = up(ndarray::Array4::from_elem((1, 2, 1, 1), 1e20).into_dyn());
    conv2d(&cancelling, &weight, None, &Conv2dParams::default()).unwrap();
    let wide = up(array![[1e19], [-1e19]].into_dyn());
    let training = BatchNormParams { training: true, ..Default::default() };
    batch_norm(&BatchNormInputs::new(&wide), &training).unwrap();

    let usage = BufferUsages::STORAGE;
    let descriptor = BufferDescriptor { label: None, size: 64, usage, mapped_at_creation: false };
    let unreadable = Tensor::from_buffer(&gpu, gpu.device().create_buffer(&descriptor), 0, &[16]).unwrap();
    sigmoid(&unreadable).unwrap();
    // Class indices that the GPU made, positions in a plane, are out of range.
    let plane = up(ndarray::Array3::from_shape_fn((1, 4, 4), |at| (at.1 * 4 + at.2) as f32).into_dyn());
    let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
    let indices = max_pool2d(&plane, &params).unwrap().indices.unwrap();
    let logits = up(ndarray::Array4::zeros((1, 3, 2, 2)).into_dyn());
    let target = CrossEntropyTarget::Classes(&indices);
    let loss = cross_entropy(&logits, target, None, &Default::default()).unwrap();
    assert!(loss.read_blocking().unwrap().first().unwrap().is_nan());
}
