//! avg_pool2d: the mean over sliding windows.

use serde_json::json;
use wgdnn::{AvgPool2d, AvgPool2dParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("avg_pool2d", at_least 40);

#[cfg(feature = "gpu-core")]
mod exact {
    use super::*;
    use crate::harness::{expect_exact, expect_within, gpu, random, random_integers};
    use ndarray::Array;
    use wgdnn::cases::Call;
    use wgdnn::{AvgPool2dInputs, Tensor, avg_pool2d_backward};

    #[test]
    fn integers_are_exact() {
        for count_include_pad in [true, false] {
            // With a power of two as divisor nothing is rounded.
            let params = AvgPool2dParams {
                stride: Some([3, 1]),
                padding: [2, 1].into(),
                ceil_mode: true,
                count_include_pad,
                divisor_override: Some(4),
                ..AvgPool2dParams::new([5, 3])
            };
            expect_exact(
                &Call::new::<AvgPool2d>(AvgPool2dInputs { input: random_integers(&[2, 3, 17, 9], 1) }, &params)
                    .unwrap(),
            );
        }
    }

    /// Rows in blocks of 4, and windows over their edges.
    #[test]
    fn blocks_are_exact() {
        for (kernel, stride, padding, size) in [
            ([2, 2], [2, 2], [0, 0], [6, 16]),
            ([3, 3], [1, 1], [1, 1], [5, 8]),
            ([3, 3], [2, 2], [1, 1], [7, 24]),
            ([1, 5], [3, 1], [0, 2], [6, 12]),
            ([7, 7], [4, 4], [3, 3], [9, 32]),
        ] {
            for count_include_pad in [true, false] {
                let params = |divisor_override| AvgPool2dParams {
                    stride: Some(stride),
                    padding: padding.into(),
                    count_include_pad,
                    divisor_override,
                    ..AvgPool2dParams::new(kernel)
                };
                let input = random_integers(&[2, 3, size[0], size[1]], 1);
                expect_exact(
                    &Call::new::<AvgPool2d>(AvgPool2dInputs { input: input.clone() }, &params(Some(4))).unwrap(),
                );
                let call = Call::new::<AvgPool2d>(AvgPool2dInputs { input }, &params(None)).unwrap();
                expect_within(&call, 2.5e-7);
                crate::gradients::agree(&call, 1).unwrap();
            }
        }
    }

    #[test]
    fn more_windows_than_a_driver_loops_over() {
        let params =
            AvgPool2dParams { stride: Some([1, 1]), divisor_override: Some(1), ..AvgPool2dParams::new([1, 33_001]) };
        let ones = Tensor::from_array(gpu(), &Array::<f32, _>::ones((1, 1, 1, 33_001))).unwrap();
        let gradient = avg_pool2d_backward(&ones, &[1, 1, 1, 66_001], &params).unwrap().read_blocking().unwrap();
        let counts = Array::from_shape_fn((1, 1, 1, 66_001), |at| (at.3 + 1).min(66_001 - at.3) as f32);
        assert_eq!(gradient, counts.into_dyn());
    }

    #[test]
    fn windows_beyond_a_drivers_loop_limit() {
        // 90,000 elements in one window; llvmpipe ends a loop after 65,535.
        let params = AvgPool2dParams::new([300, 300]);
        expect_within(
            &Call::new::<AvgPool2d>(AvgPool2dInputs { input: random(&[2, 1, 300, 300], 2) }, &params).unwrap(),
            1e-9,
        );
        let params = AvgPool2dParams { divisor_override: Some(1), ..AvgPool2dParams::new([1, 70_000]) };
        expect_exact(
            &Call::new::<AvgPool2d>(AvgPool2dInputs { input: random_integers(&[1, 1, 2, 70_000], 4) }, &params)
                .unwrap(),
        );
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random_integers;
    use crate::properties::{agree, commutes_with_a_split, config, image, pair, rounding};
    use ndarray::ArrayD;
    use proptest::prelude::*;
    use wgdnn::AvgPool2dInputs;
    use wgdnn::cases::Call;

    prop_compose! {
        fn problem()(
            shape in image(), kernel_size in pair(1..6), stride in prop::option::of(pair(1..5)), half in pair(0..3),
            ceil_mode: bool, count_include_pad: bool, divisor_override in prop::option::of(-8..8_i64), seed: u64,
        ) -> (ArrayD<f32>, AvgPool2dParams) {
            let padding = [half[0].min(kernel_size[0] / 2), half[1].min(kernel_size[1] / 2)];
            let params =
                AvgPool2dParams { kernel_size, stride, padding: padding.into(), ceil_mode, count_include_pad, divisor_override };
            (random_integers(&shape, seed), params)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((input, params) in problem()) {
            // Sums of whole numbers are exact, and then a division is rounded.
            agree(Call::new::<AvgPool2d>(AvgPool2dInputs { input }, &params), rounding(100.0))?;
        }

        #[test]
        fn it_commutes_with_a_split_of_the_batch((input, params) in problem(), cut in 0..4_usize) {
            commutes_with_a_split(|input| Call::new::<AvgPool2d>(AvgPool2dInputs { input }, &params), &input, cut)?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::gradients::backward_of;
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::AvgPool2dInputs;
    use wgdnn::cases::Call;
    use wgdnn::operator::Gradient;

    for shape in [&[200, 7, 9][..], &[27, 2, 6, 5]] {
        let inputs = AvgPool2dInputs { input: random(shape, 3) };
        let call = Call::new::<AvgPool2d>(inputs, &AvgPool2dParams::new([2, 2])).unwrap();
        expect_cut(&call, 1e-7);
        for how in [Gradient::Write, Gradient::Accumulate] {
            expect_cut(&backward_of(&call, 1, how, None).unwrap(), 1e-6);
        }
    }
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, pair};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(
            (kernel_size, stride, padding) in (pair(), proptest::option::of(pair()), pair()),
            (ceil_mode, count_include_pad) in any::<(bool, bool)>(), divisor_override in any::<Option<i64>>(),
        ) {
            comes_back(&AvgPool2dParams {
                kernel_size,
                stride,
                padding: padding.into(),
                ceil_mode,
                count_include_pad,
                divisor_override,
            });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "avg_pool2d";
    let with = |params, shape: &[usize]| call(op, params, &[("input", floats(shape))]);
    let image = &[1, 2, 6, 6];
    expect_refused(
        op,
        &[
            ("input", with(json!({"kernel_size": 2}), &[6])),
            ("input", with(json!({"kernel_size": 2}), &[2, 0, 6])),
            ("input", with(json!({"kernel_size": [2, 7]}), image)),
            ("kernel_size", with(json!({"kernel_size": 0}), image)),
            ("kernel_size", with(json!({"kernel_size": 2.5}), image)),
            ("stride", with(json!({"kernel_size": 2, "stride": [1, 0]}), image)),
            ("stride", with(json!({"kernel_size": 2, "stride": [1, 1, 1]}), image)),
            ("padding", with(json!({"kernel_size": 3, "padding": 2}), image)),
            ("padding", with(json!({"kernel_size": 3, "padding": -2}), image)),
            ("divisor_override", with(json!({"kernel_size": 2, "divisor_override": 0}), image)),
            ("count_include_pad", with(json!({"kernel_size": 2, "count_include_pad": "yes"}), image)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let params = AvgPool2dParams { stride: Some([usize::MAX; 2]), ..AvgPool2dParams::new([2, 2]) };
    assert!(matches!(AvgPool2d::new(&[1, 1, 4, 4], &params), Err(Error::LimitExceeded { .. })));
    assert!(matches!(
        AvgPool2d::new(&[1 << 15, 1 << 15, 1 << 15, 1 << 15], &AvgPool2dParams::new([1, 1])),
        Err(Error::LimitExceeded { .. })
    ));
}

/// Padding that differs before and after is that of an input padded before; what a sum is divided by knows both.
#[test]
fn sides_are_padded_each_by_its_own() {
    use crate::harness::{padded, random};
    use wgdnn::{AvgPool2dParams, Padding, reference};

    for (sides, cols) in [([[0, 1], [1, 0]], 8), ([[1, 0], [0, 1]], 12), ([[0, 1], [0, 1]], 7)] {
        let input = random(&[2, 3, 9, cols], 1).mapv(|x| (x * 4.0).round());
        let params =
            AvgPool2dParams { stride: Some([2, 1]), padding: Padding::Sides(sides), ..AvgPool2dParams::new([2, 4]) };
        let output = reference::avg_pool2d(&input, &params).unwrap();
        let around = padded(&input, sides, 0.0);
        let alone = AvgPool2dParams { padding: Padding::Valid, ..params.clone() };
        assert_eq!(output, reference::avg_pool2d(&around, &alone).unwrap());
        for (count_include_pad, ceil_mode) in [(true, true), (false, true), (false, false)] {
            let params = AvgPool2dParams { count_include_pad, ceil_mode, ..params.clone() };
            // The means of ones tell how many elements count.
            let ones = reference::avg_pool2d(&input.mapv(|_| 1.0), &params).unwrap();
            assert!(ones.iter().all(|&share| if count_include_pad { share <= 1.0 } else { share == 1.0 }));
            #[cfg(feature = "gpu-core")]
            {
                use wgdnn::{AvgPool2d, AvgPool2dInputs, cases::Call};
                let inputs = AvgPool2dInputs::new(input.clone());
                crate::harness::expect_within(&Call::new::<AvgPool2d>(inputs, &params).unwrap(), 1e-6);
            }
        }
    }
}

planted_faults!(
    "avg_pool2d",
    [
        ("avg_pool2d", "params.padded_rows)", "params.in_rows)"),
        ("avg_pool2d", "else if (params.count_include_pad != 0u)", "else if (params.count_include_pad == 0u)"),
        ("avg_pool2d", "select(total / divisor, 0.0, is_outside)", "total * divisor"),
        ("avg_pool2d", "let first_col = max(start_col, 0);", "let first_col = max(start_col, 1);"),
        ("avg_pool2d_quads", "visit(&sum_3, &span, 3)", "visit(&sum_3, &span, 2)"),
        ("avg_pool2d_backward", "min(start + window.kernel, padded)", "start + window.kernel"),
        ("avg_pool2d_backward", "params.has_divisor_override != 0u", "false"),
        ("avg_pool2d_backward", "params.count_include_pad != 0u", "true"),
        ("avg_pool2d_backward", "offsets < vec4<i32>(params.cols.kernel)", "offsets <= vec4<i32>(params.cols.kernel)"),
        ("avg_pool2d_backward", "sums += of_row", "sums = of_row"),
        ("avg_pool2d_backward_quads", "offset < KERNEL_COLS", "offset <= KERNEL_COLS"),
        ("avg_pool2d_backward_quads", "grads[element] / divisor", "grads[element] * divisor"),
        ("avg_pool2d_backward_quads", "block < STRIDE_COLS", "block < STRIDE_COLS - 1"),
    ]
);
