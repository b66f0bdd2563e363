//! conv2d: two-dimensional convolution.

use serde_json::json;
use wgdnn::{Conv2d, Conv2dParams, Error, Padding};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("conv2d", at_least 40);

#[cfg(feature = "gpu")]
mod exact {
    use super::*;
    use crate::cases::Call;
    use crate::harness::{expect_exact, random_integers};

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
        expect_exact(&conv2d(&[1, 1, 1, 70_001], &[1, 1, 1, 70_000], Conv2dParams::default()));
        expect_exact(&conv2d(&[1, 1, 300, 300], &[2, 1, 300, 300], Conv2dParams::default()));
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
