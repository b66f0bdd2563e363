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
    use proptest::prelude::*;
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    use super::*;
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
                expect_within(&of(&[1, 2, 3, cols], InterpolateParams { align_corners, ..params }), 1e-6);
            }
        }
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        for mode in MODES {
            expect_cut(&of(&[11, 3, 5, 6], InterpolateParams::to_size([4, 8], mode)), bound(mode));
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
        ("interpolate_area", "select(0u, 1u, divided.y > 0u)", "0u"),
    ]
);
