//! conv2d: two-dimensional convolution.

use serde_json::json;
use wgdnn::{Conv2d, Conv2dParams, Error, Padding};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("conv2d", at_least 40);

#[cfg(feature = "gpu")]
mod exact {
    use super::*;
    use crate::cases::{Call, CaseArray};
    use crate::harness::{expect_exact, gpu, random_integers};
    use wgdnn::Conv2dAlgorithm;

    fn conv2d(input: &[usize], weight: &[usize], params: Conv2dParams) -> Call {
        Call::Conv2d {
            input: random_integers(input, 1),
            weight: random_integers(weight, 2),
            bias: Some(random_integers(&weight[..1], 3)),
            params,
        }
    }

    #[test]
    fn integers_are_exact() {
        expect_exact(&conv2d(&[2, 16, 33, 31], &[8, 16, 3, 3], Conv2dParams::default()));
        let params = Conv2dParams {
            stride: [2, 3],
            padding: Padding::Explicit([1, 2]),
            dilation: [2, 1],
            groups: 4,
            ..Default::default()
        };
        expect_exact(&conv2d(&[3, 8, 20, 40], &[12, 2, 3, 5], params));
        expect_exact(&conv2d(
            &[4, 9, 65],
            &[5, 4, 2, 4],
            Conv2dParams { padding: Padding::Same, ..Default::default() },
        ));
    }

    /// Numbers of channels and pixels around those that kernels compute at once.
    #[test]
    fn every_rest_of_a_tile_is_exact() {
        for channels in [1, 2, 4, 5, 8, 9, 15, 16, 17, 33] {
            for (groups, rows, cols) in [(1, 7, 9), (2, 9, 10), (1, 2, 2), (1, 3, 4), (1, 10, 9)] {
                let params = Conv2dParams { groups, padding: Padding::Explicit([1, 0]), ..Default::default() };
                expect_exact(&conv2d(&[2, 3 * groups, rows, cols], &[channels * groups, 3, 3, 2], params));
            }
        }
    }

    #[test]
    fn every_rest_of_a_tile_of_a_dense_3x3_kernel_is_exact() {
        for channels in [1, 3, 4, 7, 8, 9, 31, 33] {
            for (groups, rows, cols) in [(1, 1, 1), (1, 7, 9), (2, 5, 6), (3, 4, 8), (1, 17, 30)] {
                let params = Conv2dParams { groups, padding: Padding::Explicit([1, 2]), ..Default::default() };
                expect_exact(&conv2d(&[2, 5 * groups, rows, cols], &[channels * groups, 5, 3, 3], params));
            }
        }
    }

    /// Channels enough for transforms.
    #[test]
    fn every_rest_of_a_transformed_tile_is_exact() {
        for (channels, in_channels) in [(1, 64), (3, 65), (5, 66), (33, 67), (70, 64)] {
            for (groups, rows, cols) in [(1, 1, 1), (1, 7, 9), (2, 5, 6)] {
                let params = Conv2dParams { groups, padding: Padding::Explicit([1, 2]), ..Default::default() };
                let (input, weight) = ([2, in_channels * groups, rows, cols], [channels * groups, in_channels, 3, 3]);
                expect_exact(&conv2d(&input, &weight, params));
            }
        }
    }

    #[test]
    fn every_rest_of_a_pointwise_kernel_is_exact() {
        for channels in [1, 3, 4, 8, 9, 17] {
            for (groups, rows, cols) in [(1, 1, 1), (2, 2, 2), (1, 3, 4), (3, 5, 5), (1, 9, 20)] {
                let params = Conv2dParams { groups, ..Default::default() };
                expect_exact(&conv2d(&[2, 6 * groups, rows, cols], &[channels * groups, 6, 1, 1], params));
            }
        }
    }

    /// Outputs large enough for each size of tile, and small ones, where several workgroups share a tile.
    #[test]
    fn every_tile_of_products_is_exact() {
        for (input, weight, stride) in [
            ([1, 2, 93, 91], [130, 2, 1, 1], 1),
            ([3, 2, 75, 81], [70, 2, 1, 2], 2),
            ([1, 3, 40, 31], [33, 3, 2, 5], 1),
            ([2, 70, 6, 5], [37, 70, 3, 3], 1),
            ([1, 300, 7, 7], [33, 300, 3, 3], 2),
            ([1, 1000, 1, 1], [33, 1000, 1, 1], 1),
        ] {
            let params = Conv2dParams {
                algorithm: Conv2dAlgorithm::ImplicitGemm,
                padding: Padding::Explicit([2, 0]),
                stride: [stride, 1],
                ..Default::default()
            };
            let operator = Conv2d::new(&input, &weight, Some(&weight[..1]), &params).unwrap();
            assert_eq!(operator.workspace_size() > 0, weight[1] >= 70, "{input:?}");
            let call = conv2d(&input, &weight, params);
            assert_eq!(call.run_eager(gpu()).unwrap(), call.run_reference().unwrap(), "{input:?}");
        }
    }

    #[test]
    fn infinities_stay_infinite_and_where_they_belong() {
        let mut input = random_integers(&[1, 64, 20, 20], 1);
        input[[0, 3, 9, 9]] = f32::INFINITY;
        let call = |algorithm| Call::Conv2d {
            input: input.clone(),
            weight: random_integers(&[16, 64, 3, 3], 2).mapv(|x| x.abs() + 1.0),
            bias: None,
            params: Conv2dParams { algorithm, ..Default::default() },
        };
        let infinities_and_nans = |algorithm| {
            let CaseArray::F32(output) = &call(algorithm).run_eager(gpu()).unwrap()["output"] else { panic!() };
            [f32::is_infinite as fn(f32) -> bool, f32::is_nan].map(|is| output.iter().filter(|x| is(**x)).count())
        };
        for &algorithm in Conv2dAlgorithm::ALL {
            assert_eq!(infinities_and_nans(algorithm), [16 * 9, 0], "{algorithm:?}");
        }
    }

    #[test]
    fn a_single_kernel_element_has_no_dilation() {
        for dilation in [2, i32::MAX as usize, u32::MAX as usize, usize::MAX] {
            let params = Conv2dParams {
                padding: Padding::Explicit([2, 2]),
                dilation: [dilation, dilation],
                ..Default::default()
            };
            expect_exact(&conv2d(&[1, 1, 3, 3], &[1, 1, 1, 1], params));
        }
    }

    #[test]
    fn sums_beyond_a_drivers_loop_limit() {
        // llvmpipe ends an invocation's loops after 65,535 iterations in all.
        expect_exact(&conv2d(&[1, 70_000, 1, 2], &[2, 70_000, 1, 1], Conv2dParams::default()));
        expect_exact(&conv2d(&[1, 8_000, 3, 4], &[1, 8_000, 3, 3], Conv2dParams::default()));
        expect_exact(&conv2d(&[1, 40_000, 3, 3], &[1, 40_000, 3, 3], Conv2dParams::default()));
        expect_exact(&conv2d(&[1, 1, 1, 70_001], &[1, 1, 1, 70_000], Conv2dParams::default()));
        expect_exact(&conv2d(&[1, 1, 300, 300], &[2, 1, 300, 300], Conv2dParams::default()));
        // So many groups that products in tiles are not split.
        let params = Conv2dParams { groups: 128, ..Default::default() };
        expect_exact(&conv2d(&[1, 128 * 13_000, 1, 1], &[128, 13_000, 1, 1], params));
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "conv2d";
    let with = |params, input: &[usize], weight: &[usize], bias: &[usize]| {
        call(op, params, &[("input", floats(input)), ("weight", floats(weight)), ("bias", floats(bias))])
    };
    let (image, kernel, bias) = (&[1, 4, 6, 6][..], &[2, 4, 3, 3][..], &[2][..]);
    expect_refused(
        op,
        &[
            ("input", with(json!({}), &[6, 6], kernel, bias)),
            ("input", with(json!({}), &[1, 4, 0, 6], kernel, bias)),
            ("input", with(json!({}), &[1, 4, 2, 6], kernel, bias)),
            ("groups", with(json!({"groups": 3}), image, &[3, 1, 3, 3], &[3])),
            ("input", with(json!({"dilation": 3}), image, kernel, bias)),
            ("weight", with(json!({}), image, &[2, 4, 3], bias)),
            ("weight", with(json!({}), image, &[2, 3, 3, 3], bias)),
            ("weight", with(json!({}), image, &[0, 4, 3, 3], &[0])),
            ("weight", with(json!({"groups": 2}), image, kernel, bias)),
            ("groups", with(json!({"groups": 4}), image, &[2, 1, 3, 3], bias)),
            ("bias", with(json!({}), image, kernel, &[3])),
            ("bias", with(json!({}), image, kernel, &[1, 2])),
            ("groups", with(json!({"groups": 0}), image, kernel, bias)),
            ("groups", with(json!({"groups": -1}), image, kernel, bias)),
            ("stride", with(json!({"stride": 0}), image, kernel, bias)),
            ("stride", with(json!({"stride": 2, "padding": "same"}), image, kernel, bias)),
            ("padding", with(json!({"padding": -1}), image, kernel, bias)),
            ("padding", with(json!({"padding": "full"}), image, kernel, bias)),
            ("dilation", with(json!({"dilation": [0, 1]}), image, kernel, bias)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let new = |input: &[usize], weight: &[usize], params| Conv2d::new(input, weight, None, &params);
    let default = Conv2dParams::default;
    for result in [
        new(&[1, 1, 8, 8], &[1 << 29, 1, 1, 1], default()),
        new(&[0, 1, 1, 1], &[8, 1, 1, 1], Conv2dParams { padding: [1 << 29, 1 << 29].into(), ..default() }),
        new(&[1 << 20, 1, 8, 8], &[1 << 20, 1, 1, 1], default()),
        new(&[1, 1, 1 << 20, 1 << 20], &[1, 1, 1, 1], default()),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { padding: [1 << 20, 1 << 20].into(), ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { padding: [usize::MAX, 0].into(), ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { dilation: [usize::MAX, 1], ..default() }),
        new(
            &[1, 1, 8, 8],
            &[1, 1, 3, 3],
            Conv2dParams { dilation: [usize::MAX, 1], padding: Padding::Same, ..default() },
        ),
    ] {
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}
