//! max_pool2d: the maximum over sliding windows.

use serde_json::json;
use wgdnn::{Error, MaxPool2d, MaxPool2dParams};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("max_pool2d", at_least 40);

#[cfg(feature = "gpu-core")]
mod exact {
    use super::*;
    use crate::harness::{expect_exact, gpu, random, random_integers};
    use ndarray::Array;
    use wgdnn::cases::Call;
    use wgdnn::{MaxPool2dInputs, Tensor, max_pool2d_backward, reference};

    #[test]
    fn ties_take_the_first() {
        let params = MaxPool2dParams {
            stride: Some([1, 2]),
            padding: [1, 1].into(),
            return_indices: true,
            ..MaxPool2dParams::new([3, 3])
        };
        expect_exact(
            &Call::new::<MaxPool2d>(
                MaxPool2dInputs { input: random_integers(&[2, 3, 17, 9], 1).mapv(|x| x + 0.5) },
                &params,
            )
            .unwrap(),
        );
    }

    /// Rows in blocks of 4, and windows over their edges.
    #[test]
    fn blocks_are_exact() {
        for (kernel, stride, padding, size) in [
            ([2, 2], [2, 2], [0, 0], [6, 16]),
            ([3, 3], [1, 1], [1, 1], [5, 8]),
            ([2, 3], [2, 3], [1, 0], [4, 12]),
            ([3, 3], [2, 2], [1, 1], [7, 24]),
            ([1, 5], [3, 1], [0, 2], [6, 12]),
            ([7, 7], [4, 4], [3, 3], [9, 32]),
            ([2, 13], [1, 3], [1, 6], [3, 36]),
        ] {
            for return_indices in [false, true] {
                let params = MaxPool2dParams {
                    stride: Some(stride),
                    padding: padding.into(),
                    return_indices,
                    ..MaxPool2dParams::new(kernel)
                };
                let mut input = random_integers(&[2, 3, size[0], size[1]], 1);
                input[[0, 1, 1, 5]] = f32::NAN;
                input[[1, 2, 2, 7]] = f32::INFINITY;
                input.index_axis_mut(ndarray::Axis(0), 1).index_axis_mut(ndarray::Axis(0), 0).fill(f32::NEG_INFINITY);
                let call = Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params).unwrap();
                expect_exact(&call);
                crate::gradients::agree(&call, 1).unwrap();
            }
        }
    }

    #[test]
    fn more_windows_than_a_driver_loops_over() {
        // Every window has its maximum at column 33,000.
        let params =
            MaxPool2dParams { stride: Some([1, 1]), return_indices: true, ..MaxPool2dParams::new([1, 33_001]) };
        let ones = Tensor::from_array(gpu(), &Array::<f32, _>::ones((1, 1, 1, 33_001))).unwrap();
        let indices = Tensor::from_array(gpu(), &Array::from_elem((1, 1, 1, 33_001), 33_000)).unwrap();
        let gradient = max_pool2d_backward(&ones, &indices, &[1, 1, 1, 66_001], &params).unwrap();
        let gradient = gradient.read_blocking().unwrap();
        assert_eq!((gradient[[0, 0, 0, 33_000]], gradient.sum()), (33_001.0, 33_001.0));
    }

    /// In both kernels.
    #[test]
    fn a_place_outside_its_window_gets_no_gradient() {
        for cols in [4, 3] {
            let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
            let input = [1, 1, 4, 2 * cols];
            // Only the first and the last are right.
            let [inside, last] = [0, 3 * input[3] as i32 - 1];
            let places = [inside, 0, 6, -1, i32::MAX, i32::MIN, 1 << 30];
            let indices = Array::from_shape_fn((1, 1, 2, cols), |(_, _, y, x)| match y * cols + x {
                at if at + 1 == 2 * cols => last,
                at => places[at],
            });
            let grad = Array::from_shape_fn((1, 1, 2, cols), |(_, _, y, x)| (y * cols + x + 1) as f32);
            let expected = reference::max_pool2d_backward(&grad, &indices, &input, &params).unwrap();
            assert_eq!(expected.sum(), 1.0 + 2.0 * cols as f32);
            let grad = Tensor::from_array(gpu(), &grad).unwrap();
            let indices = Tensor::from_array(gpu(), &indices).unwrap();
            let got = max_pool2d_backward(&grad, &indices, &input, &params).unwrap();
            assert_eq!(got.read_blocking().unwrap(), expected);
        }
    }

    #[test]
    fn windows_beyond_a_drivers_loop_limit() {
        // 90,000 elements in one window; llvmpipe ends a loop after 65,535.
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([300, 300]) };
        expect_exact(
            &Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(&[2, 1, 300, 300], 2) }, &params.clone()).unwrap(),
        );
        let params = MaxPool2dParams { return_indices: false, ..params };
        expect_exact(
            &Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(&[1, 1, 300, 300], 3) }, &params).unwrap(),
        );
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([1, 70_000]) };
        expect_exact(
            &Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(&[1, 1, 2, 70_000], 4) }, &params).unwrap(),
        );
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random_integers;
    use crate::properties::{agree, commutes_with_a_split, config, image, pair};
    use ndarray::ArrayD;
    use proptest::prelude::*;
    use wgdnn::MaxPool2dInputs;
    use wgdnn::cases::Call;

    prop_compose! {
        fn problem()(
            shape in image(), kernel_size in pair(1..6), stride in prop::option::of(pair(1..5)), half in pair(0..3),
            dilation in pair(1..4), ceil_mode: bool, return_indices: bool, seed: u64,
        ) -> (ArrayD<f32>, MaxPool2dParams) {
            let padding = [half[0].min(kernel_size[0] / 2), half[1].min(kernel_size[1] / 2)];
            let params = MaxPool2dParams { kernel_size, stride, padding: padding.into(), dilation, ceil_mode, return_indices };
            (random_integers(&shape, seed), params)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((input, params) in problem()) {
            agree(Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params), 0.0)?;
        }

        #[test]
        fn it_commutes_with_a_split_of_the_batch((input, params) in problem(), cut in 0..4_usize) {
            commutes_with_a_split(|input| Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params), &input, cut)?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::gradients::backward_of;
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::MaxPool2dInputs;
    use wgdnn::cases::Call;
    use wgdnn::operator::Gradient;

    let call = |shape: &[usize], params| Call::new::<MaxPool2d>(MaxPool2dInputs { input: random(shape, 1) }, &params);
    expect_cut(&call(&[27, 2, 6, 5], MaxPool2dParams::new([2, 2])).unwrap(), 0.0);
    // Parts that begin nowhere near where bindings may.
    expect_cut(&call(&[70, 1, 21, 23], MaxPool2dParams::new([3, 2])).unwrap(), 0.0);
    let params = MaxPool2dParams { return_indices: true, stride: Some([1, 1]), ..MaxPool2dParams::new([3, 2]) };
    let call = call(&[27, 2, 6, 5], params).unwrap();
    expect_cut(&call, 0.0);
    for how in [Gradient::Write, Gradient::Accumulate] {
        expect_cut(&backward_of(&call, 1, how, None).unwrap(), 1e-6);
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
            (kernel_size, stride, padding, dilation) in (pair(), proptest::option::of(pair()), pair(), pair()),
            (ceil_mode, return_indices) in any::<(bool, bool)>(),
        ) {
            comes_back(&MaxPool2dParams { kernel_size, stride, padding: padding.into(), dilation, ceil_mode, return_indices });
        }
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
    let params = MaxPool2dParams { padding: [usize::MAX / 2; 2].into(), ..MaxPool2dParams::new([usize::MAX; 2]) };
    assert!(matches!(MaxPool2d::new(&[1, 1, 4, 4], &params), Err(Error::LimitExceeded { .. })));
    let params = MaxPool2dParams::new([1, 1]);
    for shape in [[1, 1, 1 << 20, 1 << 20], [usize::MAX; 4], [1, 1 << 29, 1, 1]] {
        assert!(matches!(MaxPool2d::new(&shape, &params), Err(Error::LimitExceeded { .. })));
    }
}

/// Padding that differs before and after is that of an input padded before.
#[test]
fn sides_are_padded_each_by_its_own() {
    use crate::harness::{padded, random};
    use wgdnn::{MaxPool2dParams, Padding, reference};

    for (sides, cols) in [([[0, 1], [1, 0]], 8), ([[1, 0], [0, 1]], 12), ([[0, 1], [0, 1]], 7)] {
        let input = random(&[2, 3, 9, cols], 1);
        let params =
            MaxPool2dParams { stride: Some([2, 1]), padding: Padding::Sides(sides), ..MaxPool2dParams::new([3, 2]) };
        let output = reference::max_pool2d(&input, &params).unwrap().output;
        let around = padded(&input, sides, f32::NEG_INFINITY);
        let alone = MaxPool2dParams { padding: Padding::Valid, ..params.clone() };
        assert_eq!(output, reference::max_pool2d(&around, &alone).unwrap().output);
        #[cfg(feature = "gpu-core")]
        for return_indices in [false, true] {
            use wgdnn::{MaxPool2d, MaxPool2dInputs, cases::Call};
            let (inputs, params) = (MaxPool2dInputs::new(input.clone()), params.clone());
            let params = MaxPool2dParams { return_indices, ..params };
            crate::harness::expect_exact(&Call::new::<MaxPool2d>(inputs, &params).unwrap());
        }
    }
    let same = MaxPool2dParams { padding: Padding::Same, ..MaxPool2dParams::new([3, 3]) };
    let error = wgdnn::MaxPool2d::new(&[1, 1, 8, 8], &same).unwrap_err();
    assert!(error.to_string().starts_with("max_pool2d: padding: expected numbers"), "{error}");
    let large = MaxPool2dParams { padding: Padding::Sides([[0, 2], [0, 0]]), ..MaxPool2dParams::new([3, 3]) };
    assert!(wgdnn::MaxPool2d::new(&[1, 1, 8, 8], &large).is_err());
}

planted_faults!(
    "max_pool2d",
    [
        ("max_pool2d", "ordered(value) > ordered(best.value)", "ordered(value) >= ordered(best.value)"),
        ("max_pool2d", "is_nan_of(value) || ", ""),
        ("max_pool2d", "min(params.col_end, cols); col_tap++", "min(params.col_end, cols) - 1; col_tap++"),
        ("max_pool2d", "row_index + first_col + col_tap * params.cols.dilation", "row_index + first_col + col_tap"),
        ("max_pool2d", "!is_nan_of(best.value) && ordered", "ordered"),
        ("max_pool2d_backward", "out_col < cols.y", "out_col + 1 < cols.y"),
        ("max_pool2d_backward", "sums += of_row", "sums = of_row"),
        ("max_pool2d_backward", "if (left > 2)", "if (left > 3)"),
        ("max_pool2d_backward_quads", "places[window] == place", "places[window] >= place"),
        ("max_pool2d_backward_quads", "window < LEFT + WINDOWS", "window < LEFT + WINDOWS - 1"),
        ("max_pool2d_backward_quads", "block < STRIDE_COLS", "block < STRIDE_COLS - 1"),
    ]
);

#[cfg(feature = "gpu-core")]
#[test]
fn planted_faults_are_seen_among_nans() {
    use crate::harness::{expect_seen_in, random_integers};
    use wgdnn::MaxPool2dInputs;
    use wgdnn::cases::Call;

    let mut input = random_integers(&[1, 1, 4, 8], 2);
    input[[0, 0, 1, 2]] = f32::NAN;
    input[[0, 0, 1, 3]] = f32::NAN;
    let params = MaxPool2dParams {
        stride: Some([1, 1]),
        padding: [1, 1].into(),
        return_indices: true,
        ..MaxPool2dParams::new([3, 3])
    };
    expect_seen_in(
        &Call::new::<MaxPool2d>(MaxPool2dInputs { input }, &params).unwrap(),
        &[
            ("max_pool2d_quads", "|| order == NAN_ORDER", ""),
            ("max_pool2d_quads", "col >= 0 && col < params.in_cols", "col >= 0"),
        ],
    );
}
