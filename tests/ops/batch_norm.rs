//! batch_norm: every channel shifted and scaled to mean 0 and variance 1.

use serde_json::json;
use wgdnn::{BatchNorm, BatchNormArguments, BatchNormParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("batch_norm", at_least 40);

#[cfg(feature = "gpu")]
mod accurate {
    use super::*;
    use crate::cases::Call;
    use crate::harness::{expect_within, golden_of, gpu, random, rmse_beside_pytorch};

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let (ours, theirs) = rmse_beside_pytorch(&golden_of("batch_norm"), |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    fn training(input: ndarray::ArrayD<f32>) -> Call {
        Call::BatchNorm {
            input,
            arguments: BatchNormArguments::default(),
            params: BatchNormParams { training: true, ..Default::default() },
        }
    }

    #[test]
    fn a_mean_far_larger_than_the_spread() {
        // A spread of 1 about 100,000 leaves 7 bits behind the point; what is left after the mean must be exact.
        let input = random(&[4, 3, 40, 40], 1).mapv(|x| x * 2.0 + 1e5);
        expect_within(&training(input), 1e-6);
        // A first element far away from all others.
        let mut input = random(&[2, 1, 50, 50], 2);
        input[[0, 0, 0, 0]] = -1e6;
        expect_within(&training(input), 1e-5);
    }

    /// Planes in blocks of 4, not in blocks, and small.
    #[test]
    fn planes_of_all_kinds_in_inference() {
        for (rows, cols) in [(1, 4), (5, 7), (6, 6), (8, 9), (33, 64), (65, 65)] {
            let of_channels = |seed, least| Some(random(&[3], seed).mapv(|x| x.abs() + least));
            expect_within(
                &Call::BatchNorm {
                    input: random(&[2, 3, rows, cols], 1),
                    arguments: BatchNormArguments {
                        running_mean: of_channels(2, 0.0),
                        running_var: of_channels(3, 0.5),
                        weight: of_channels(4, 0.5),
                        bias: of_channels(5, 0.0),
                    },
                    params: BatchNormParams::default(),
                },
                5e-7,
            );
        }
    }

    #[test]
    fn infinities_in_inference() {
        let call = Call::BatchNorm {
            input: ndarray::array![[f32::INFINITY, 1.0], [f32::NEG_INFINITY, 2.0], [3e38, f32::NAN]].into_dyn(),
            arguments: BatchNormArguments {
                running_mean: Some(ndarray::array![1.0, 2.0].into_dyn()),
                running_var: Some(ndarray::array![0.01, 4.0].into_dyn()),
                weight: Some(ndarray::array![-2.0, 1.0].into_dyn()),
                bias: Some(ndarray::array![5.0, 1.0].into_dyn()),
            },
            params: BatchNormParams::default(),
        };
        expect_within(&call, 1e-6);
    }

    /// But on devices that bind too few buffers, which say so.
    #[test]
    fn inference_needs_no_workspace() {
        use wgdnn::{Gpu, GpuOptions, wgpu};

        let channels = Some(&[3][..]);
        let arguments =
            BatchNormArguments { running_mean: channels, running_var: channels, weight: channels, bias: channels };
        let shape = &[2, 3, 4, 4];
        let inference = BatchNorm::new(shape, &arguments, &BatchNormParams::default()).unwrap();
        assert_eq!(inference.workspace_size(), 0);
        let with_buffers = |count| {
            let limits =
                wgpu::Limits { max_storage_buffers_per_shader_stage: count, ..wgpu::Limits::downlevel_defaults() };
            let options = GpuOptions { limits: Some(limits), ..Default::default() };
            Gpu::with_options_blocking(&options).unwrap()
        };
        assert_eq!(inference.workspace_size_on(&with_buffers(6)), 0);
        assert_eq!(inference.workspace_size_on(&with_buffers(4)), 3 * 28);
        let training = BatchNormParams { training: true, ..Default::default() };
        let training = BatchNorm::new(shape, &arguments, &training).unwrap();
        assert_eq!(training.workspace_size(), 3 * (28 + 24));
        assert_eq!(training.workspace_size_on(gpu()), training.workspace_size());
    }

    /// Numbers whose squares overflow, everywhere, here and there, and as one constant.
    #[test]
    fn huge_values_in_training() {
        for shape in [&[5, 2][..], &[3, 2, 7, 9], &[3, 2, 60, 60]] {
            let huge = random(shape, 1).mapv(|x| x * 3e38);
            expect_within(&training(huge.clone()), 2e-6);
            expect_within(&training(huge.mapv(|x| x * 1e-15)), 2e-6);
            let mut here_and_there = random(shape, 2);
            let count = here_and_there.len();
            here_and_there.iter_mut().step_by(count / 4 + 1).for_each(|x| *x = 3e38);
            expect_within(&training(here_and_there.clone()), 2e-4);
            expect_within(&training(here_and_there.mapv(|x| if x > 1.0 { 1e21 } else { x })), 2e-4);
            let constant = training(ndarray::ArrayD::from_elem(shape, 3e38));
            let crate::cases::CaseArray::F32(output) = &constant.run_eager(gpu()).unwrap()["output"] else { panic!() };
            assert!(output.iter().all(|x| *x == 0.0), "{shape:?}");
        }
        // The mean is finite, and the variance is not.
        let (mean, variance) = (Some(ndarray::array![1e38].into_dyn()), Some(ndarray::array![2.0].into_dyn()));
        let call = Call::BatchNorm {
            input: ndarray::array![[3e38], [-1e38], [2.5e38], [3.1e38]].into_dyn(),
            arguments: BatchNormArguments { running_mean: mean, running_var: variance, ..Default::default() },
            params: BatchNormParams { training: true, momentum: 0.5, ..Default::default() },
        };
        expect_within(&call, 5e31);
    }

    #[test]
    fn many_values_per_channel() {
        expect_within(&training(random(&[2, 2, 300, 500], 3)), 1e-6);
        expect_within(&training(random(&[70_000, 2], 4)), 1e-6);
    }
}

#[test]
fn a_constant_channel_becomes_zero() {
    let input = ndarray::ArrayD::from_elem(vec![3, 2, 5], 0.1_f32);
    let params = BatchNormParams { training: true, ..Default::default() };
    let output = wgdnn::reference::batch_norm(&input, &BatchNormArguments::default(), &params).unwrap().output;
    assert!(output.iter().all(|x| x.abs() < 1e-5));
    #[cfg(feature = "gpu")]
    {
        use wgdnn::{Tensor, batch_norm};
        let input = Tensor::from_array(crate::harness::gpu(), &input).unwrap();
        let output = batch_norm(&input, &BatchNormArguments::default(), &params).unwrap();
        assert!(output.read_blocking().unwrap().iter().all(|x| x.abs() < 1e-5));
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "batch_norm";
    let all = ["running_mean", "running_var", "weight", "bias"];
    let with = |params, shape: &[usize], names: &[&str], wrong: Option<&str>| {
        let mut inputs = vec![("input", floats(shape))];
        inputs.extend(names.iter().map(|&name| (name, floats(if wrong == Some(name) { &[4] } else { &[3] }))));
        call(op, params, &inputs)
    };
    let training = || json!({"training": true});
    let shape = &[2, 3, 4];
    expect_refused(
        op,
        &[
            ("input", with(training(), &[3], &[], None)),
            ("input", with(training(), &[], &[], None)),
            ("input", with(training(), &[1, 3], &all, None)),
            ("running_mean", with(json!({}), shape, &[], None)),
            ("running_mean", with(json!({}), shape, &["running_var"], None)),
            ("running_var", with(training(), shape, &["running_mean"], None)),
            ("running_mean", with(training(), shape, &all, Some("running_mean"))),
            ("running_var", with(training(), shape, &all, Some("running_var"))),
            ("weight", with(training(), shape, &all, Some("weight"))),
            ("bias", with(json!({}), shape, &all, Some("bias"))),
            ("eps", with(json!({"training": true, "eps": 0.0}), shape, &all, None)),
            ("eps", with(json!({"training": true, "eps": -1e-5}), shape, &all, None)),
            ("eps", with(json!({"training": true, "eps": "small"}), shape, &all, None)),
            ("momentum", with(json!({"training": true, "momentum": 1e60}), shape, &all, None)),
            ("training", with(json!({"training": 1}), shape, &all, None)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let params = BatchNormParams { training: true, ..Default::default() };
    for shape in [&[1 << 15, 1 << 15][..], &[usize::MAX, usize::MAX], &[0, 2, usize::MAX, usize::MAX]] {
        let result = BatchNorm::new(shape, &BatchNormArguments::default(), &params);
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}
