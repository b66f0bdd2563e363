//! conv_transpose2d: transposed convolution.

#[cfg(feature = "gpu-core")]
mod faults;
#[cfg(feature = "gpu-core")]
mod properties;

use serde_json::json;
use wgdnn::{ConvTranspose2d, ConvTranspose2dParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("conv_transpose2d", at_least 40, barriers problems);

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;
    use crate::harness::random_integers;
    use wgdnn::{ConvTranspose2dAlgorithm, ConvTranspose2dInputs, cases::Call};

    let inputs = ConvTranspose2dInputs::new(random_integers(&[1, 12, 6, 6], 1), random_integers(&[12, 20, 3, 3], 2));
    let params = ConvTranspose2dParams { stride: [2, 2], ..Default::default() };
    let operator = ConvTranspose2d::new(inputs.input.shape(), inputs.weight.shape(), None, &params).unwrap();
    let operator = operator.with_algorithm(ConvTranspose2dAlgorithm::ImplicitGemm);
    let activated = operator.clone().with_activation(wgdnn::Activation::Relu).unwrap();
    vec![
        Problem { call: Call::of_operator(operator, inputs.clone()), files: &["conv_transpose2d_gemm"] },
        Problem { call: Call::of_operator(activated, inputs), files: &["conv_transpose2d_gemm_epilogue"] },
    ]
}

#[cfg(feature = "gpu-core")]
mod exact {
    use super::*;
    use crate::harness::{
        expect_exact, expect_none, failures_of_all_algorithms, golden_of, gpu, portable_gpu, random_integers,
    };
    use ndarray::ArrayD;
    use wgdnn::cases::Call;
    use wgdnn::{ConvTranspose2dAlgorithm, ConvTranspose2dInputs, Operator};

    fn inputs(input: &[usize], weight: &[usize], params: &ConvTranspose2dParams) -> ConvTranspose2dInputs<ArrayD<f32>> {
        let bias = Some(random_integers(&[weight[1] * params.groups], 3));
        let new = ConvTranspose2dInputs::new(random_integers(input, 1), random_integers(weight, 2));
        ConvTranspose2dInputs { bias, ..new }
    }

    fn conv_transpose2d(input: &[usize], weight: &[usize], params: ConvTranspose2dParams) -> Call {
        Call::new::<ConvTranspose2d>(inputs(input, weight, &params), &params).unwrap()
    }

    #[test]
    fn integers_are_exact() {
        expect_exact(&conv_transpose2d(&[2, 16, 13, 11], &[16, 8, 3, 3], Default::default()));
        let params = ConvTranspose2dParams {
            stride: [2, 3],
            padding: [1, 2].into(),
            output_padding: [1, 0],
            groups: 4,
            dilation: [2, 1],
        };
        expect_exact(&conv_transpose2d(&[3, 8, 10, 20], &[8, 3, 3, 5], params));
    }

    /// Numbers of channels and pixels around those that kernels compute at once, and every way that stride, dilation and
    /// kernel go into each other.
    #[test]
    fn every_rest_of_a_tile_and_every_phase_is_exact() {
        for channels in [1, 2, 4, 5, 8, 9, 15, 16, 17, 33] {
            for (groups, stride) in [(1, [1, 2]), (2, [2, 3])] {
                let params = ConvTranspose2dParams { groups, stride, ..Default::default() };
                expect_exact(&conv_transpose2d(&[2, 3 * groups, 5, 7], &[3 * groups, channels, 3, 2], params));
            }
        }
        for stride in 1..=6 {
            for dilation in 1..=6 {
                let padding = [(stride + dilation) % 3, (stride * dilation) % 4];
                let params = ConvTranspose2dParams {
                    stride: [stride, 7 - stride],
                    dilation: [dilation, 7 - dilation],
                    padding: padding.into(),
                    ..Default::default()
                };
                expect_exact(&conv_transpose2d(&[1, 2, 6, 5], &[2, 3, 4, 5], params));
            }
        }
    }

    /// Kernels as large as their stride, on planes in blocks of 4 and not.
    #[test]
    fn every_rest_of_a_pointwise_kernel_is_exact() {
        for channels in [1, 3, 5, 17] {
            for (groups, size, stride) in
                [(1, [1, 4], [2, 2]), (2, [3, 8], [3, 2]), (1, [3, 3], [2, 2]), (3, [6, 10], [1, 4])]
            {
                let params = ConvTranspose2dParams { stride, groups, ..Default::default() };
                let input = [2, 3 * groups, size[0], size[1]];
                expect_exact(&conv_transpose2d(&input, &[3 * groups, channels, stride[0], stride[1]], params));
            }
        }
    }

    /// Outputs large enough for each size of tile, and small ones, where several workgroups share a tile.
    #[test]
    fn every_tile_of_products_is_exact() {
        for (input, weight, stride) in [
            ([1, 2, 47, 46], [2, 130, 2, 2], 2),
            ([2, 3, 40, 31], [3, 70, 3, 2], 1),
            ([2, 70, 6, 5], [70, 37, 5, 5], 1),
            ([1, 300, 7, 7], [300, 33, 3, 3], 2),
        ] {
            let params =
                ConvTranspose2dParams { stride: [stride, stride], padding: [1, 0].into(), ..Default::default() };
            let operator = ConvTranspose2d::new(&input, &weight, None, &params).unwrap();
            let operator = operator.with_algorithm(ConvTranspose2dAlgorithm::ImplicitGemm);
            assert_eq!(operator.workspace_size(gpu()) > 0, weight[0] >= 70, "{input:?}");
            let call = conv_transpose2d(&input, &weight, params).by("ImplicitGemm").unwrap();
            assert_eq!(call.run_eager(gpu()).unwrap(), call.run_reference().unwrap(), "{input:?}");
        }
    }

    /// More pixels than the reference has products of in one matrix.
    #[test]
    fn the_references_blocks_fit_together() {
        let call = conv_transpose2d(&[1, 2, 22, 23], &[2, 2000, 3, 3], Default::default()).by("Gather").unwrap();
        assert_eq!(call.run_eager(gpu()).unwrap(), call.run_reference().unwrap());
    }

    /// Strides and kernels of which next to nothing meets an input: what visits all of it takes minutes.
    #[test]
    fn long_strides_and_kernels_are_exact() {
        for (input, weight, stride, dilation) in [
            ([1, 1, 3, 1], [1, 1, 70_000, 1], [999, 1], [1, 1]),
            ([1, 2, 2, 1], [2, 17, 3, 1], [1_000_000, 1], [1, 1]),
            ([1, 17, 1, 2], [17, 16, 1, 3], [1, 999_999], [1, 7]),
            ([2, 1, 1, 2], [1, 2, 1, 20_000], [1, 1], [1, 1]),
            // Steps that products of two do not fit into 32 bits.
            ([1, 1, 4, 1], [1, 2, 3, 1], [99_991, 1], [70_001, 1]),
            ([1, 1, 1, 3], [1, 1, 1, 4], [1, 65_537], [1, 65_539]),
            ([1, 1, 1, 3], [1, 1, 1, 4], [1, 131_074], [1, 4]),
        ] {
            let params = ConvTranspose2dParams { stride, dilation, ..Default::default() };
            expect_exact(&conv_transpose2d(&input, &weight, params));
        }
    }

    /// An infinite weight spoils the outputs that it has products in, and no others; also where a sum is split over
    /// workgroups, and cut into parts.
    #[test]
    fn infinite_weights_stay_where_they_are() {
        use wgdnn::Gpu;

        let run = |gpu: &Gpu, input: &[usize], weight: &[usize], params: &ConvTranspose2dParams| {
            let mut inputs = inputs(input, weight, params);
            let last = inputs.weight.len() - 1;
            for (index, value) in inputs.weight.iter_mut().enumerate() {
                if index % 97 == 0 || index == last {
                    *value = f32::INFINITY;
                }
            }
            let call = Call::new::<ConvTranspose2d>(inputs, params).unwrap();
            let expected = call.run_reference().unwrap();
            let wgdnn::cases::CaseArray::F32(output) = &expected["output"] else { unreachable!() };
            assert!(output.iter().any(|x| x.is_finite()) && output.iter().any(|x| !x.is_finite()));
            for (algorithm, call) in call.by_every_algorithm() {
                let got = call.run_eager(gpu).unwrap();
                let wgdnn::cases::CaseArray::F32(got) = &got["output"] else { unreachable!() };
                let is_same = |(a, b): (&f32, &f32)| a == b || a.is_nan() && b.is_nan();
                assert!(got.iter().zip(output).all(is_same), "{algorithm}, {input:?}");
            }
        };
        let stride_2 = ConvTranspose2dParams { stride: [2, 2], padding: [1, 1].into(), ..Default::default() };
        let gpus = [gpu(), crate::harness::gpu_taken_for_hardware()];
        for gpu in gpus {
            run(gpu, &[1, 1, 2, 2], &[1, 1, 3, 3], &Default::default());
            run(gpu, &[2, 3, 9, 7], &[3, 17, 4, 3], &stride_2);
        }
        let image = &[1, 40, 3, 3];
        let operator = ConvTranspose2d::new(image, &[40, 1, 4, 4], None, &Default::default()).unwrap();
        let operator = operator.with_algorithm(ConvTranspose2dAlgorithm::ImplicitGemm);
        assert!(operator.workspace_size(gpu()) > 0);
        run(gpu(), image, &[40, 1, 4, 4], &Default::default());
    }

    #[test]
    fn sums_beyond_a_drivers_loop_limit() {
        // llvmpipe ends an invocation's loops after 65,535 iterations in all.
        expect_exact(&conv_transpose2d(&[1, 70_000, 1, 2], &[70_000, 1, 1, 1], Default::default()));
        expect_exact(&conv_transpose2d(&[1, 1, 1, 2], &[1, 70_000, 1, 1], Default::default()));
        let params = ConvTranspose2dParams { padding: [149, 149].into(), ..Default::default() };
        expect_exact(&conv_transpose2d(&[1, 1, 2, 2], &[1, 1, 300, 300], params));
    }

    #[test]
    fn scatter_add_without_float32_atomics() {
        let gpu = portable_gpu();
        let cases = golden_of("conv_transpose2d");
        let failures = failures_of_all_algorithms(&cases, |call| crate::recorded::run(call, &gpu));
        expect_none(&failures, cases.len());
        // Thousands of additions an invocation, all of which meet others in the same few elements.
        let call = conv_transpose2d(&[1, 96, 1, 1], &[96, 900, 3, 3], Default::default()).by("ScatterAdd").unwrap();
        assert_eq!(call.run_eager(&gpu), call.run_reference());
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::ConvTranspose2dInputs;
    use wgdnn::cases::Call;

    let new = ConvTranspose2dInputs::new(random(&[27, 2, 6, 5], 1), random(&[2, 3, 2, 2], 2));
    let inputs = ConvTranspose2dInputs { bias: Some(random(&[3], 3)), ..new };
    expect_cut(&Call::new::<ConvTranspose2d>(inputs, &Default::default()).unwrap(), 2e-6);
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, pair};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(
            (stride, padding, dilation, output_padding) in (pair(), pair(), pair(), pair()), groups in any::<usize>(),
        ) {
            comes_back(&ConvTranspose2dParams { stride, padding: padding.into(), output_padding, groups, dilation });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "conv_transpose2d";
    let with = |params, input: &[usize], weight: &[usize], bias: &[usize]| {
        call(op, params, &[("input", floats(input)), ("weight", floats(weight)), ("bias", floats(bias))])
    };
    let (image, kernel, bias) = (&[1, 4, 6, 6][..], &[4, 2, 3, 3][..], &[2][..]);
    expect_refused(
        op,
        &[
            ("input", with(json!({}), &[4, 6], kernel, bias)),
            ("input", with(json!({}), &[1, 4, 6, 0], kernel, bias)),
            ("weight", with(json!({}), image, &[4, 2, 3], bias)),
            ("weight", with(json!({}), image, &[3, 2, 3, 3], bias)),
            ("weight", with(json!({}), image, &[4, 0, 3, 3], &[0])),
            ("groups", with(json!({"groups": 3}), image, kernel, &[6])),
            ("bias", with(json!({"groups": 2}), image, kernel, bias)),
            ("groups", with(json!({"groups": 0}), image, kernel, bias)),
            ("stride", with(json!({"stride": [0, 1]}), image, kernel, bias)),
            ("dilation", with(json!({"dilation": 0}), image, kernel, bias)),
            ("padding", with(json!({"padding": 4}), image, kernel, bias)),
            ("padding", with(json!({"padding": -1}), image, kernel, bias)),
            ("output_padding", with(json!({"output_padding": 1}), image, kernel, bias)),
            ("output_padding", with(json!({"output_padding": 2, "stride": 2, "dilation": 2}), image, kernel, bias)),
            ("output_padding", with(json!({"output_padding": [0, -1]}), image, kernel, bias)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let new = |input: &[usize], weight: &[usize], params| ConvTranspose2d::new(input, weight, None, &params);
    let default = ConvTranspose2dParams::default;
    for result in [
        new(&[1, 1, 8, 8], &[1, 1 << 28, 1, 1], default()),
        new(&[0, 1, 2, 2], &[1, 4096, 1, 1], ConvTranspose2dParams { stride: [1 << 30, 1], ..default() }),
        new(
            &[1, 1, 2, 2],
            &[1, 1, 1, 1],
            ConvTranspose2dParams { dilation: [usize::MAX; 2], output_padding: [usize::MAX - 1; 2], ..default() },
        ),
        new(&[1, 1, 1 << 14, 1 << 14], &[1, 2, 1, 1], default()),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], ConvTranspose2dParams { stride: [1 << 20, 1 << 20], ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], ConvTranspose2dParams { stride: [1 << 30, 1], ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], ConvTranspose2dParams { dilation: [usize::MAX, 1], ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], ConvTranspose2dParams { padding: [usize::MAX, 1].into(), ..default() }),
    ] {
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

/// Padding that differs before and after cuts each side of the output by its own, by every algorithm.
#[test]
fn sides_are_cut_each_by_its_own() {
    use crate::harness::random;
    use ndarray::{Axis, Slice};
    use wgdnn::{ConvTranspose2dParams, Padding, reference};

    for (sides, stride) in [([[0, 1], [2, 0]], [1, 1]), ([[1, 0], [0, 2]], [2, 1]), ([[0, 1], [1, 0]], [3, 2])] {
        let (input, weight) = (random(&[2, 4, 5, 6], 1), random(&[4, 20, 3, 3], 2));
        let [input, weight] = [input, weight].map(|array| array.mapv(|x| (x * 4.0).round()));
        let params = ConvTranspose2dParams { stride, padding: Padding::Sides(sides), ..Default::default() };
        let alone = ConvTranspose2dParams { padding: Padding::Valid, ..params.clone() };
        let whole = reference::conv_transpose2d(&input, &weight, None, &alone).unwrap();
        let mut cut = whole.view();
        for (axis, [before, after]) in [2, 3].into_iter().zip(sides) {
            cut.slice_axis_inplace(
                Axis(axis),
                Slice::new(before as isize, Some(-(after as isize)).filter(|&end| end < 0), 1),
            );
        }
        assert_eq!(reference::conv_transpose2d(&input, &weight, None, &params).unwrap(), cut);
        #[cfg(feature = "gpu-core")]
        {
            use wgdnn::{ConvTranspose2d, ConvTranspose2dInputs, cases::Call};
            let inputs = ConvTranspose2dInputs::new(input, weight);
            crate::harness::expect_exact(&Call::new::<ConvTranspose2d>(inputs, &params).unwrap());
        }
    }
}
