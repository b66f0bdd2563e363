//! interpolate: images of another size.

use serde_json::json;
use wgdnn::{Error, Interpolate, InterpolateMode, InterpolateParams};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("interpolate", at_least 60, barriers problems);

const MODES: [InterpolateMode; 4] =
    [InterpolateMode::Nearest, InterpolateMode::NearestExact, InterpolateMode::Bilinear, InterpolateMode::Area];

#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    let call = on_gpu::of(&[1, 2, 60, 50], InterpolateParams::to_size([1, 1], InterpolateMode::Area));
    vec![crate::barriers::Problem { call, files: &["interpolate_area"] }]
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use ndarray::Array;
    use proptest::prelude::*;
    use wgdnn::cases::Call;
    use wgdnn::operator::Gradient;
    use wgdnn::{Tensor, UnaryInputs, interpolate_backward};

    use super::*;
    use crate::gradients::backward_of;
    use crate::harness::{expect_within, gpu, random};
    use crate::properties::{agree, config, image};
    use crate::splitting::expect_cut;

    pub fn of(shape: &[usize], params: InterpolateParams) -> Call {
        Call::new::<Interpolate>(UnaryInputs { input: random(shape, 1) }, &params).unwrap()
    }

    fn bound(mode: InterpolateMode) -> f64 {
        match mode {
            InterpolateMode::Nearest | InterpolateMode::NearestExact => 0.0,
            // Positions are rounded too.
            _ => 3e-5,
        }
    }

    #[test]
    fn every_plan() {
        for mode in MODES {
            for (out, says) in [([14, 16], "blocks of 4 columns"), ([5, 3], "element by element")] {
                let call = of(&[2, 3, 7, 8], InterpolateParams::to_size(out, mode));
                let plan = call.operator().plan_on(gpu().capabilities());
                let says = if mode == InterpolateMode::Area { "an area an invocation" } else { says };
                assert_eq!(plan, says);
                expect_within(&call, bound(mode));
            }
            let factors = [1.7, 0.6];
            expect_within(&of(&[2, 3, 70, 80], InterpolateParams::by_factor(factors, mode)), bound(mode));
            expect_within(&of(&[1, 64, 100, 200], InterpolateParams::by_factor([3.0, 2.0], mode)), bound(mode));
        }
        let area = InterpolateParams::to_size([1, 2], InterpolateMode::Area);
        expect_within(&of(&[1, 2, 70, 90], area), 1.2e-7);
        // Blocks that take few columns, to the last.
        for (cols, out_cols) in [(1, 4), (2, 4), (3, 8), (4, 8), (5, 12), (5, 100), (7, 16)] {
            for align_corners in [None, Some(true)] {
                let params = InterpolateParams::to_size([5, out_cols], InterpolateMode::Bilinear);
                let call = of(&[1, 2, 3, cols], InterpolateParams { align_corners, ..params });
                expect_within(&call, 1e-6);
                crate::gradients::agree(&call, 1).unwrap();
            }
        }
    }

    #[test]
    fn more_elements_than_a_driver_loops_over() {
        for mode in MODES {
            for size in [[300, 300], [1, 70_000], [70_000, 1]] {
                let ones = Tensor::from_array(gpu(), &Array::<f32, _>::ones((1, 1, size[0], size[1]))).unwrap();
                let params = InterpolateParams::to_size(size, mode);
                let gradient = interpolate_backward(&ones, &[1, 1, 1, 1], &params).unwrap();
                assert_eq!(gradient.read_blocking().unwrap()[[0; 4]], (size[0] * size[1]) as f32, "{mode:?}");
            }
        }
    }

    /// Every element of the output has one nearest of the input, however long rows are.
    #[test]
    fn gradients_of_long_rows_lose_nothing() {
        for mode in [InterpolateMode::Nearest, InterpolateMode::NearestExact, InterpolateMode::Bilinear] {
            for (cols, out_cols) in [(70_001, 100_003), (100_003, 70_001), (40_000, 3_000_001), (7, 2_000_003)] {
                let ones = Tensor::from_array(gpu(), &Array::<f32, _>::ones((1, 1, 1, out_cols))).unwrap();
                let params = InterpolateParams::to_size([1, out_cols], mode);
                let gradient = interpolate_backward(&ones, &[1, 1, 1, cols], &params).unwrap().read_blocking().unwrap();
                let sum: f64 = gradient.iter().map(|&x| f64::from(x)).sum();
                let lost = (sum - out_cols as f64).abs();
                let bound = if mode == InterpolateMode::Bilinear { 1e-6 * out_cols as f64 } else { 0.0 };
                assert!(lost <= bound, "{mode:?} {cols} {out_cols}: {lost}");
            }
        }
    }

    /// As PyTorch gives it, also where a share is 0.
    #[test]
    fn infinite_gradients_are_those_of_pytorch() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        for (size, align_corners, at, expected) in [
            ([3, 3], false, [1, 1], [0.0, 0.0, 0.0, 0.0, nan, 0.0, 0.0, 0.0, 0.0]),
            ([3, 6], false, [1, 1], [0.0, 0.0, 0.0, nan, nan, 0.0, 0.0, 0.0, 0.0]),
            ([6, 6], false, [1, 1], [inf, inf, 0.0, inf, inf, 0.0, 0.0, 0.0, 0.0]),
            ([6, 6], false, [0, 0], [inf, nan, 0.0, nan, nan, 0.0, 0.0, 0.0, 0.0]),
            ([6, 6], false, [5, 5], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, inf]),
            ([5, 5], true, [2, 2], [0.0, 0.0, 0.0, 0.0, inf, nan, 0.0, nan, nan]),
            ([5, 5], true, [4, 4], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, nan]),
        ] {
            let params = InterpolateParams::to_size(size, InterpolateMode::Bilinear);
            let params = InterpolateParams { align_corners: Some(align_corners), ..params };
            let mut grad = Array::<f32, _>::zeros((1, 1, size[0], size[1]));
            grad[[0, 0, at[0], at[1]]] = inf;
            let on_cpu = wgdnn::reference::interpolate_backward(&grad, &[1, 1, 3, 3], &params).unwrap();
            let grad = Tensor::from_array(gpu(), &grad).unwrap();
            let on_gpu = interpolate_backward(&grad, &[1, 1, 3, 3], &params).unwrap().read_blocking().unwrap();
            let is_it = |got: f32, expected: f32| got == expected || (got.is_nan() && expected.is_nan());
            for (name, got) in [("reference", on_cpu), ("GPU", on_gpu)] {
                assert!(
                    got.iter().zip(expected).all(|(&got, expected)| is_it(got, expected)),
                    "{name} {size:?}: {got}"
                );
            }
        }
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        for mode in MODES {
            let call = of(&[11, 3, 5, 6], InterpolateParams::to_size([4, 8], mode));
            expect_cut(&call, bound(mode));
            for how in [Gradient::Write, Gradient::Accumulate] {
                expect_cut(&backward_of(&call, 1, how, None).unwrap(), 1e-6);
            }
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(
            shape in image(),
            mode in prop::sample::select(MODES.to_vec()),
            size in prop::option::of([0..40_usize, 0..40]),
            factors in [0.1..4.0, 0.1..4.0],
            align in prop::option::of(any::<bool>()),
            seed: u64,
        ) {
            let align_corners = align.filter(|_| mode == InterpolateMode::Bilinear);
            let scale_factor = if size.is_none() { Some(factors) } else { None };
            let params = InterpolateParams { size, scale_factor, mode, align_corners };
            agree(Call::new::<Interpolate>(UnaryInputs { input: random(&shape, seed) }, &params), bound(mode))?;
        }
    }
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, number};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(
            size: Option<[usize; 2]>,
            scale_factor in prop::option::of([number(), number()]),
            mode in prop::sample::select(MODES.to_vec()),
            align_corners: Option<bool>,
        ) {
            comes_back(&InterpolateParams { size, scale_factor, mode, align_corners });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let mode = InterpolateMode::Nearest;
    for (params, argument_wanted) in [
        (InterpolateParams::to_size([usize::MAX; 2], mode), "size"),
        (InterpolateParams::by_factor([1e300; 2], mode), "scale_factor"),
        (InterpolateParams::by_factor([1e5; 2], mode), "scale_factor"),
    ] {
        let error = Interpolate::new(&[1, 1, 4, 4], &params).unwrap_err();
        let is_right = matches!(error, Error::LimitExceeded { argument, .. } if argument == argument_wanted);
        assert!(is_right, "{error}");
    }
}

#[test]
fn bad_input_is_refused() {
    let of = |shape: &[usize], params| call("interpolate", params, &[("input", floats(shape))]);
    let image = [1, 1, 4, 4];
    for factor in [f64::NAN, f64::INFINITY] {
        let params = InterpolateParams::by_factor([1.0, factor], InterpolateMode::Nearest);
        assert!(Interpolate::new(&image, &params).is_err());
    }
    expect_refused(
        "interpolate",
        &[
            ("input", of(&[1, 4, 4], json!({"size": 2}))),
            ("input", of(&[1, 1, 4, 4, 4], json!({"size": 2}))),
            ("input", of(&[1, 0, 4, 4], json!({"size": 2}))),
            ("input", of(&[1, 1, 0, 4], json!({"size": 2, "mode": "area"}))),
            ("size", of(&image, json!({}))),
            ("scale_factor", of(&image, json!({"size": 2, "scale_factor": 2}))),
            ("size", of(&image, json!({"size": 0}))),
            ("size", of(&image, json!({"size": [2]}))),
            ("size", of(&image, json!({"size": [2, -1]}))),
            ("scale_factor", of(&image, json!({"scale_factor": 0.1}))),
            ("scale_factor", of(&image, json!({"scale_factor": -1}))),
            ("scale_factor", of(&image, json!({"scale_factor": "2"}))),
            ("mode", of(&image, json!({"size": 2, "mode": "bicubic"}))),
            ("align_corners", of(&image, json!({"size": 2, "align_corners": false}))),
            ("align_corners", of(&image, json!({"size": 2, "mode": "bilinear", "align_corners": 1}))),
        ],
    );
}

planted_faults!(
    "interpolate",
    [
        ("interpolate", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("interpolate", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("interpolate", "select(0.0, 0.5, MODE == NEAREST_EXACT)", "0.0"),
        ("interpolate", "params.align_corners != 0u", "false"),
        ("interpolate", "cols.second_share * second", "cols.second_share"),
        ("interpolate", "rows.second_share * between.y", "rows.second_share"),
        ("interpolate", "element_of(rows, begins, out_col + i)", "element_of(rows, begins, out_col + min(i, 2u))"),
        ("interpolate", "one_of(columns, cols.second - start)", "one_of(columns, cols.first - start)"),
        ("interpolate", "index > 1u", "index > 2u"),
        ("interpolate", "min(start + 2u, last)", "start"),
        ("interpolate_area", "select(0u, 1u, begin_of_next.y > 0u)", "0u"),
        ("interpolate_backward", "first - select(0u, 1u, MODE == BILINEAR && first > 0u)", "first"),
        ("interpolate_backward", "last + 1u, scale", "last, scale"),
        ("interpolate_backward", "places.second_share * grad", "0.0"),
        ("interpolate_backward", "columns == vec4<u32>(places.second)", "columns == vec4<u32>(places.first)"),
        ("interpolate_backward", "params.align_corners != 0u", "false"),
        ("interpolate_backward", "sum += grad", "sum = grad"),
        ("interpolate_area_backward", "sums += of_row", "sums = of_row"),
    ]
);
