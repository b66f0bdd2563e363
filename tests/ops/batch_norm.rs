//! batch_norm: every channel shifted and scaled to mean 0 and variance 1.

use serde_json::json;
use wgdnn::{BatchNorm, BatchNormInputs, BatchNormParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("batch_norm", at_least 40, barriers problems);

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;
    use crate::gradients::backward_of;
    use crate::harness::random;
    use wgdnn::{cases::Call, operator::Gradient};

    let problems = |shape: &[usize]| {
        let params = BatchNormParams { training: true, ..Default::default() };
        let call = Call::new::<BatchNorm>(BatchNormInputs::new(random(shape, 1)), &params).unwrap();
        let backward = backward_of(&call, 2, Gradient::Write, None).unwrap();
        [Problem { call, files: &["batch_norm"] }, Problem { call: backward, files: &["batch_norm_backward"] }]
    };
    [&[3, 5, 40, 40], &[3, 5, 33, 33]].into_iter().flat_map(|shape| problems(shape)).collect()
}

#[test]
fn golden_cases_ask_for_the_optional_outputs() {
    for name in ["saved_mean", "saved_invstd"] {
        let cases = crate::harness::golden_of("batch_norm");
        let count = cases.iter().filter(|case| case.outputs.contains_key(name)).count();
        assert!(count >= 60, "{name}: {count}");
    }
}

#[cfg(feature = "gpu-core")]
mod accurate {
    use super::*;
    use crate::harness::{expect_within, golden_of, gpu, random, rmse_beside_pytorch};
    use wgdnn::cases::Call;

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let (ours, theirs) = rmse_beside_pytorch(&golden_of("batch_norm"), |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    fn training(input: ndarray::ArrayD<f32>) -> Call {
        Call::new::<BatchNorm>(BatchNormInputs::new(input), &BatchNormParams { training: true, ..Default::default() })
            .unwrap()
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

    /// With a weight as without one: all sums are 0.
    #[test]
    fn gradients_of_an_empty_batch() {
        use wgdnn::{BatchNormBackwardInputs, Tensor, batch_norm_backward, reference};

        for training in [true, false] {
            let params = BatchNormParams { training, ..Default::default() };
            let (empty, ones) = (random(&[0, 3, 2], 1), random(&[3], 2).mapv(|_| 1.0_f32));
            let tensors = [&empty, &ones].map(|array| Tensor::from_array(gpu(), array).unwrap());
            let [empty_tensor, ones_tensor] = tensors.each_ref();
            let inputs = BatchNormBackwardInputs {
                input: Some(empty_tensor),
                running_mean: Some(ones_tensor).filter(|_| !training),
                running_var: Some(ones_tensor).filter(|_| !training),
                weight: Some(ones_tensor),
                ..BatchNormBackwardInputs::new(empty_tensor)
            };
            let on_gpu = batch_norm_backward(&inputs, &params).unwrap();
            let inputs = BatchNormBackwardInputs::<&dyn reference::AsArray<f32>> {
                input: Some(&empty),
                running_mean: if training { None } else { Some(&ones) },
                running_var: if training { None } else { Some(&ones) },
                weight: Some(&ones),
                ..BatchNormBackwardInputs::new(&empty)
            };
            let on_cpu = reference::batch_norm_backward(&inputs, &params).unwrap();
            let read = |tensor: Option<Tensor>| tensor.unwrap().read_blocking().unwrap();
            assert_eq!((read(on_gpu.grad_input), on_cpu.grad_input.unwrap()), (empty.clone(), empty));
            let zeros = ones.mapv(|_| 0.0);
            assert_eq!([read(on_gpu.grad_weight), on_cpu.grad_weight.unwrap()], [zeros.clone(), zeros.clone()]);
            assert_eq!([read(on_gpu.grad_bias), on_cpu.grad_bias.unwrap()], [zeros.clone(), zeros]);
        }
    }

    /// Planes in blocks of 4, not in blocks, and small.
    #[test]
    fn planes_of_all_kinds_in_inference() {
        for (rows, cols) in [(1, 4), (5, 7), (6, 6), (8, 9), (33, 64), (65, 65)] {
            let of_channels = |seed, least| Some(random(&[3], seed).mapv(|x| x.abs() + least));
            expect_within(
                &Call::new::<BatchNorm>(
                    BatchNormInputs {
                        running_mean: of_channels(2, 0.0),
                        running_var: of_channels(3, 0.5),
                        weight: of_channels(4, 0.5),
                        bias: of_channels(5, 0.0),
                        ..BatchNormInputs::new(random(&[2, 3, rows, cols], 1))
                    },
                    &BatchNormParams::default(),
                )
                .unwrap(),
                5e-7,
            );
        }
    }

    #[test]
    fn infinities_in_inference() {
        let call = Call::new::<BatchNorm>(
            BatchNormInputs {
                running_mean: Some(ndarray::array![1.0, 2.0].into_dyn()),
                running_var: Some(ndarray::array![0.01, 4.0].into_dyn()),
                weight: Some(ndarray::array![-2.0, 1.0].into_dyn()),
                bias: Some(ndarray::array![5.0, 1.0].into_dyn()),
                ..BatchNormInputs::new(
                    ndarray::array![[f32::INFINITY, 1.0], [f32::NEG_INFINITY, 2.0], [3e38, f32::NAN]].into_dyn(),
                )
            },
            &BatchNormParams::default(),
        )
        .unwrap();
        expect_within(&call, 1e-6);
    }

    /// But on devices that bind too few buffers, which say so.
    #[test]
    fn inference_needs_no_workspace() {
        use wgdnn::{Gpu, GpuOptions, Operator, wgpu};

        let channels = Some(&[3][..]);
        let inputs = BatchNormInputs {
            running_mean: channels,
            running_var: channels,
            weight: channels,
            bias: channels,
            ..BatchNormInputs::new(&[2, 3, 4, 4][..])
        };
        let inference = BatchNorm::new(&inputs, &BatchNormParams::default()).unwrap();
        assert_eq!(inference.workspace_size(gpu()), 0);
        let with_buffers = |count| {
            let limits =
                wgpu::Limits { max_storage_buffers_per_shader_stage: count, ..wgpu::Limits::downlevel_defaults() };
            let options = GpuOptions::default().limits(limits);
            Gpu::with_options_blocking(&options).unwrap()
        };
        assert_eq!(inference.workspace_size(&with_buffers(6)), 0);
        assert_eq!(inference.workspace_size(&with_buffers(4)), 3 * 28);
        let training = BatchNormParams { training: true, ..Default::default() };
        let training = BatchNorm::new(&inputs, &training).unwrap();
        assert_eq!(training.workspace_size(gpu()), 3 * (28 + 24));
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
            let wgdnn::cases::CaseArray::F32(output) = &constant.run_eager(gpu()).unwrap()["output"] else { panic!() };
            assert!(output.iter().all(|x| *x == 0.0), "{shape:?}");
        }
        // The mean is finite, and the variance is not.
        let (mean, variance) = (Some(ndarray::array![1e38].into_dyn()), Some(ndarray::array![2.0].into_dyn()));
        let call = Call::new::<BatchNorm>(
            BatchNormInputs {
                running_mean: mean,
                running_var: variance,
                ..BatchNormInputs::new(ndarray::array![[3e38], [-1e38], [2.5e38], [3.1e38]].into_dyn())
            },
            &BatchNormParams { training: true, momentum: 0.5, ..Default::default() },
        )
        .unwrap();
        expect_within(&call, 5e31);
    }

    #[test]
    fn many_values_per_channel() {
        let (blocks, elements) = (training(random(&[2, 2, 300, 500], 3)), training(random(&[70_000, 2], 4)));
        expect_within(&blocks, 1e-6);
        expect_within(&elements, 1e-6);
        for call in [blocks, elements] {
            crate::gradients::agree(&call, 5).unwrap();
        }
    }

    /// Planes in blocks of 4, not in blocks, and small.
    #[test]
    fn gradients_of_planes_of_all_kinds() {
        for (rows, cols) in [(1, 4), (5, 7), (6, 6), (8, 9), (33, 64), (65, 65)] {
            let of_channels = |seed| Some(random(&[3], seed).mapv(|x| x.abs() + 0.1));
            for training in [false, true] {
                let inputs = BatchNormInputs {
                    running_mean: of_channels(2),
                    running_var: of_channels(3),
                    weight: of_channels(4),
                    bias: of_channels(5),
                    ..BatchNormInputs::new(random(&[2, 3, rows, cols], 1))
                };
                let params = BatchNormParams { training, ..Default::default() };
                let call = Call::new::<BatchNorm>(inputs, &params).unwrap();
                for seed in 0..6 {
                    crate::gradients::agree(&call, seed).unwrap();
                }
            }
        }
    }
}

#[cfg(feature = "gpu-core")]
mod properties;

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::cases::Call;

    let per_channel = |seed| Some(random(&[2], seed).mapv(|x| x * x + 0.1));
    let inputs = BatchNormInputs {
        running_mean: per_channel(6),
        running_var: per_channel(7),
        weight: per_channel(8),
        bias: per_channel(9),
        ..BatchNormInputs::new(random(&[27, 2, 6, 5], 1))
    };
    expect_cut(&Call::new::<BatchNorm>(inputs, &BatchNormParams::default()).unwrap(), 2e-6);
}

#[test]
fn a_constant_channel_becomes_zero() {
    let input = ndarray::ArrayD::from_elem(vec![3, 2, 5], 0.1_f32);
    let params = BatchNormParams { training: true, ..Default::default() };
    let output = wgdnn::reference::batch_norm(&BatchNormInputs::new(&input as _), &params).unwrap().output;
    assert!(output.iter().all(|x| x.abs() < 1e-5));
    #[cfg(feature = "gpu-core")]
    {
        use wgdnn::{Tensor, batch_norm};
        let input = Tensor::from_array(crate::harness::gpu(), &input).unwrap();
        let output = batch_norm(&BatchNormInputs::new(&input), &params).unwrap();
        assert!(output.read_blocking().unwrap().iter().all(|x| x.abs() < 1e-5));
    }
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, number};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(training: bool, momentum in number(), eps in number()) {
            comes_back(&BatchNormParams { training, momentum, eps });
        }
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
        let result = BatchNorm::new(&BatchNormInputs::new(shape), &params);
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

planted_faults!(
    "batch_norm",
    [
        ("batch_norm", "            statistics[lane] = merge(statistics[lane], statistics[lane + width]);", ""),
        ("batch_norm", "workspace[words + 5u] = terms.bias;", ""),
        ("batch_norm", "normalized(x.z, terms)", "normalized(x.y, terms)"),
        ("batch_norm", "plane % params.channels", "plane % (params.channels + 1u)"),
        ("batch_norm", "min(first + part_items, plane_items)", "min(first + 1u, plane_items)"),
        ("batch_norm", "add_pair(add_pair(a.deviations, b.deviations), steps)", "add_pair(a.deviations, b.deviations)"),
        ("batch_norm", "/ (count - 1.0)", "/ count"),
        ("batch_norm", "-product(all.deviations, rest)", "product(all.deviations, rest) + 1.0"),
        // What makes infinities, NaN and huge numbers come out right.
        ("batch_norm_inference", "        y = mended(x, terms);", ""),
        ("batch_norm_inference", "y[index] = mended(x[index], terms);", ""),
        ("batch_norm_inference", "if (largest == EXPONENT) {", "if (false) {"),
        ("batch_norm", "is_large && a.scale == 1.0", "false"),
        ("batch_norm", "terms.scale = 1.0 / HUGE;", ""),
        ("batch_norm_inference", "let is_huge = abs(w) > HUGE;", "let is_huge = false;"),
        ("batch_norm_inference", "beside_infinity(x) * factor", "x"),
        ("batch_norm", "let center = infinite_part(a.center) +", "let center ="),
        // Gradients.
        ("batch_norm_backward", "grad * (input[at] - center)", "grad * input[at]"),
        ("batch_norm_backward", "grad * (input_blocks[at] - center)", "grad * input_blocks[at]"),
        ("batch_norm_backward", "let other = sums[lane + width];", "let other = sums[lane];"),
        ("batch_norm_backward", "- (x - terms.mean) * terms.invstd * terms.mean_product", ""),
        ("batch_norm_backward", "grad - terms.mean_grad", "grad"),
        ("batch_norm_backward", "centered * terms.invstd * terms.weight", "centered * terms.invstd"),
        ("batch_norm_backward", "invstd + params.eps", "invstd"),
        ("batch_norm_backward", "plane % params.channels", "plane % (params.channels + 1u)"),
        ("batch_norm_backward", "workspace[words + 6u] = products;", "workspace[words + 6u] = grads;"),
    ]
);

/// Statistics that are saved, which the golden cases do not tell.
#[cfg(feature = "gpu-core")]
#[test]
fn planted_faults_are_seen_in_saved_statistics() {
    use crate::harness::{faulty, gpu, portable_gpu, random};
    use wgdnn::cases::{Call, CaseArray, Outputs, difference};

    let input = random(&[3, 5, 7], 1).mapv(|x| x * 3.0 + 1.0);
    let weight = random(&[5], 2);
    let params = BatchNormParams { training: true, ..Default::default() };
    let inputs = BatchNormInputs { weight: Some(weight.shape()), ..BatchNormInputs::new(input.shape()) };
    let operator = BatchNorm::new(&inputs, &params).unwrap().with_saved_statistics().unwrap();
    let call = Call::of_operator(operator, BatchNormInputs { weight: Some(weight), ..BatchNormInputs::new(input) });
    let expected = call.run_reference().unwrap();
    let farthest = |outputs: &Outputs| {
        let differences = expected.iter().map(|(name, expected)| match (&outputs[name], expected) {
            (CaseArray::F32(got), CaseArray::F32(expected)) => difference(got, expected).largest,
            _ => panic!("{name} has integers"),
        });
        differences.fold(0.0, f64::max)
    };
    assert_eq!(expected.len(), 3);
    assert!(farthest(&call.run_eager(gpu()).unwrap()) < 1e-6);
    for fault in [
        ("batch_norm", "saved_mean[channel] = rounded(vec2<f32>(terms.mean, terms.mean_rest));", ""),
        ("batch_norm", "rounded(terms.factor) * terms.scale", "rounded(terms.factor) * terms.mean"),
        ("batch_norm", "    saved_invstd[channel] =", "    saved_invstd[0] ="),
    ] {
        let gpu = portable_gpu();
        gpu.substitute_shader(fault.0, faulty(&fault));
        let farthest = farthest(&crate::recorded::run(&call, &gpu).unwrap());
        assert!(farthest.is_nan() || farthest > 1e-3, "{fault:?}: {farthest}");
    }
}
