//! avg_pool2d: the mean over sliding windows.

use serde_json::json;
use wgdnn::{AvgPool2d, AvgPool2dParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("avg_pool2d", at_least 40);

#[cfg(feature = "gpu")]
mod exact {
    use super::*;
    use crate::cases::Call;
    use crate::harness::{expect_exact, expect_within, random, random_integers};

    #[test]
    fn integers_are_exact() {
        for count_include_pad in [true, false] {
            // With a power of two as divisor nothing is rounded.
            let params = AvgPool2dParams {
                stride: Some([3, 1]),
                padding: [2, 1],
                ceil_mode: true,
                count_include_pad,
                divisor_override: Some(4),
                ..AvgPool2dParams::new([5, 3])
            };
            expect_exact(&Call::AvgPool2d { input: random_integers(&[2, 3, 17, 9], 1), params });
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
                    padding,
                    count_include_pad,
                    divisor_override,
                    ..AvgPool2dParams::new(kernel)
                };
                let input = random_integers(&[2, 3, size[0], size[1]], 1);
                expect_exact(&Call::AvgPool2d { input: input.clone(), params: params(Some(4)) });
                expect_within(&Call::AvgPool2d { input, params: params(None) }, 2.5e-7);
            }
        }
    }

    #[test]
    fn windows_beyond_a_drivers_loop_limit() {
        // 90,000 elements in one window; llvmpipe ends a loop after 65,535.
        let params = AvgPool2dParams::new([300, 300]);
        expect_within(&Call::AvgPool2d { input: random(&[2, 1, 300, 300], 2), params }, 1e-9);
        let params = AvgPool2dParams { divisor_override: Some(1), ..AvgPool2dParams::new([1, 70_000]) };
        expect_exact(&Call::AvgPool2d { input: random_integers(&[1, 1, 2, 70_000], 4), params });
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
