//! max_pool2d: the maximum over sliding windows.

use serde_json::json;
use wgdnn::{Error, MaxPool2d, MaxPool2dParams};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("max_pool2d", at_least 40);

#[cfg(feature = "gpu")]
mod exact {
    use super::*;
    use crate::cases::Call;
    use crate::harness::{expect_exact, random, random_integers};

    #[test]
    fn ties_take_the_first() {
        let params = MaxPool2dParams {
            stride: Some([1, 2]),
            padding: [1, 1],
            return_indices: true,
            ..MaxPool2dParams::new([3, 3])
        };
        expect_exact(&Call::MaxPool2d { input: random_integers(&[2, 3, 17, 9], 1).mapv(|x| x + 0.5), params });
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
            ([2, 13], [1, 3], [1, 6], [3, 36]),
        ] {
            for return_indices in [false, true] {
                let params =
                    MaxPool2dParams { stride: Some(stride), padding, return_indices, ..MaxPool2dParams::new(kernel) };
                let mut input = random_integers(&[2, 3, size[0], size[1]], 1);
                input[[0, 1, 1, 5]] = f32::NAN;
                input[[1, 2, 2, 7]] = f32::INFINITY;
                input.index_axis_mut(ndarray::Axis(0), 1).index_axis_mut(ndarray::Axis(0), 0).fill(f32::NEG_INFINITY);
                expect_exact(&Call::MaxPool2d { input, params });
            }
        }
    }

    #[test]
    fn windows_beyond_a_drivers_loop_limit() {
        // 90,000 elements in one window; llvmpipe ends a loop after 65,535.
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([300, 300]) };
        expect_exact(&Call::MaxPool2d { input: random(&[2, 1, 300, 300], 2), params: params.clone() });
        let params = MaxPool2dParams { return_indices: false, ..params };
        expect_exact(&Call::MaxPool2d { input: random(&[1, 1, 300, 300], 3), params });
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([1, 70_000]) };
        expect_exact(&Call::MaxPool2d { input: random(&[1, 1, 2, 70_000], 4), params });
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "max_pool2d";
    let with = |params, shape: &[usize]| call(op, params, &[("input", floats(shape))]);
    let image = &[1, 2, 6, 6];
    expect_refused(
        op,
        &[
            ("input", with(json!({"kernel_size": 2}), &[6, 6])),
            ("input", with(json!({"kernel_size": 2}), &[1, 1, 1, 6, 6])),
            ("input", with(json!({"kernel_size": 2}), &[1, 0, 6, 6])),
            ("input", with(json!({"kernel_size": 7}), image)),
            ("input", with(json!({"kernel_size": 3, "dilation": 3}), image)),
            ("kernel_size", with(json!({"kernel_size": 0}), image)),
            ("kernel_size", with(json!({}), image).or_else(|_| with(json!({"kernel_size": [2, 0]}), image))),
            ("kernel_size", with(json!({"kernel_size": [2, 2, 2]}), image)),
            ("kernel_size", with(json!({"kernel_size": "2"}), image)),
            ("stride", with(json!({"kernel_size": 2, "stride": 0}), image)),
            ("stride", with(json!({"kernel_size": 2, "stride": -1}), image)),
            ("padding", with(json!({"kernel_size": 2, "padding": 2}), image)),
            ("padding", with(json!({"kernel_size": 2, "padding": -1}), image)),
            ("dilation", with(json!({"kernel_size": 2, "dilation": [1, 0]}), image)),
            ("ceil_mode", with(json!({"kernel_size": 2, "ceil_mode": 1}), image)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let params = MaxPool2dParams { padding: [usize::MAX / 2; 2], ..MaxPool2dParams::new([usize::MAX; 2]) };
    assert!(matches!(MaxPool2d::new(&[1, 1, 4, 4], &params), Err(Error::LimitExceeded { .. })));
    let params = MaxPool2dParams::new([1, 1]);
    for shape in [[1, 1, 1 << 20, 1 << 20], [usize::MAX; 4], [1, 1 << 29, 1, 1]] {
        assert!(matches!(MaxPool2d::new(&shape, &params), Err(Error::LimitExceeded { .. })));
    }
}
