//! pad: elements added around an array.

use serde_json::json;
use wgdnn::{Error, Pad, PadMode, PadParams};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("pad", at_least 60);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use proptest::prelude::*;
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    use super::*;
    use crate::harness::{expect_exact, random};
    use crate::properties::{agree, config};
    use crate::splitting::expect_cut;

    fn of(shape: &[usize], pad: &[isize], mode: PadMode) -> Call {
        let value = (mode == PadMode::Constant).then_some(2.5);
        let params = PadParams { pad: pad.to_vec(), mode, value };
        Call::new::<Pad>(UnaryInputs { input: random(shape, 1) }, &params).unwrap()
    }

    const MODES: [PadMode; 3] = [PadMode::Constant, PadMode::Reflect, PadMode::Replicate];

    #[test]
    fn every_rest_of_a_block() {
        for mode in MODES {
            for length in 3..12 {
                expect_exact(&of(&[2, 3, length], &[1, 2], mode));
                expect_exact(&of(&[2, 3, 5, length], &[2, -1, 2, 0], mode));
            }
            expect_exact(&of(&[4, 3, 1000, 500], &[3, 1, 1, 2], mode));
        }
        expect_exact(&of(&[2; 8], &[1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1], PadMode::Constant));
    }

    /// Beside a corner, an element of a replicated plane is in more places than a software adapter's loops run.
    #[test]
    fn gradients_of_wide_padding() {
        use crate::harness::{gpu, random_integers};
        use wgdnn::{Tensor, pad_backward, reference};

        for (shape, pad, mode) in [
            (&[2, 2, 3][..], &[300, 301, 299, 298][..], PadMode::Replicate),
            (&[1, 1, 1, 2], &[40, 50, 40, 41, 39, 38], PadMode::Replicate),
            (&[1, 70_000], &[69_999, 3], PadMode::Reflect),
            (&[1, 2], &[70_000, 0], PadMode::Replicate),
        ] {
            let params = PadParams { mode, ..PadParams::new(pad.to_vec()) };
            let grad_output = random_integers(Pad::new(shape, &params).unwrap().output_shape(), 1);
            let tensor = Tensor::from_array(gpu(), &grad_output).unwrap();
            let gradient = pad_backward(&tensor, shape, &params).unwrap().read_blocking().unwrap();
            assert_eq!(gradient, reference::pad_backward(&grad_output, shape, &params).unwrap(), "{shape:?} {pad:?}");
        }
    }

    /// Rows with blocks of elements that are each in one place.
    #[test]
    fn faults_of_gradients_of_blocks_are_seen() {
        use wgdnn::operator::{FloatOrInteger, Gradient};

        let forward = of(&[1, 5, 20], &[2, 2], PadMode::Reflect);
        let outputs = forward.run_reference().unwrap();
        let grad_output = FloatOrInteger::Float(crate::harness::random_integers(&[1, 5, 24], 1));
        let call = forward.backward(
            &[("grad_input".into(), Gradient::Write)],
            &outputs,
            &[("grad_output".into(), grad_output)],
        );
        crate::harness::expect_seen_in(
            &call.unwrap(),
            &[
                ("pad_backward", "grad_output[first + 2]", "grad_output[first + 1]"),
                ("pad_backward", "vec4<i32>(last, at.yzw) <", "at <"),
            ],
        );
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        for mode in MODES {
            expect_cut(&of(&[101, 3, 5], &[1, 2], mode), 0.0);
        }
    }

    prop_compose! {
        /// Most of them can be padded.
        fn problem()(mode in prop::sample::select(MODES.to_vec()), shape in prop::collection::vec(1..8_usize, 1..6))(
            pairs in if mode == PadMode::Constant { 0..=shape.len() } else { padded(shape.len()) },
            pad in prop::collection::vec(-2..4_isize, 2 * shape.len()),
            (mode, mut shape) in Just((mode, shape)),
            is_empty in prop::bool::weighted(0.05),
        ) -> (PadMode, Vec<usize>, Vec<isize>) {
            if is_empty {
                shape[0] = 0;
            }
            let lengths = shape.iter().rev().flat_map(|&length| [length as isize; 2]);
            let limited = pad.iter().zip(lengths).map(|(&pad, length)| match mode {
                PadMode::Reflect => pad.min(length - 1).max(-(length / 3)),
                _ => pad.max(-(length / 3)),
            });
            let pad = limited.take(2 * pairs).collect();
            (mode, shape, pad)
        }
    }

    /// How many dimensions may be padded after (C) or (N,C), of this many in all.
    fn padded(rank: usize) -> std::ops::RangeInclusive<usize> {
        rank.saturating_sub(2).max(1)..=rank.saturating_sub(1).clamp(1, 3)
    }

    /// Infinities and NaN are numbers to pad with.
    #[test]
    fn with_what_is_not_finite() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let params = PadParams { value: Some(value), ..PadParams::new(vec![1, 2]) };
            let input = random(&[2, 5], 1);
            let call = Call::new::<Pad>(UnaryInputs { input: input.clone() }, &params).unwrap();
            let output = crate::properties::eager(&call);
            for ((row, col), &x) in output.into_dimensionality::<ndarray::Ix2>().unwrap().indexed_iter() {
                let expected = if (1..6).contains(&col) { input[[row, col - 1]] } else { value as f32 };
                assert!(x == expected || x.is_nan() && expected.is_nan(), "{x} where {expected} is due");
            }
        }
        let error = Pad::new(&[2], &PadParams { value: Some(1e39), ..PadParams::new(vec![1, 2]) }).unwrap_err();
        assert!(error.to_string().starts_with("pad: value: expected a float32"), "{error}");
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((mode, shape, pad) in problem(), value in -2..2_i8, seed: u64) {
            let value = (mode == PadMode::Constant).then_some(value.into());
            let inputs = UnaryInputs { input: random(&shape, seed) };
            agree(Call::new::<Pad>(inputs, &PadParams { pad, mode, value }), 0.0)?;
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
        fn parameters_come_back(pad: Vec<isize>, mode in 0..3, value in prop::option::of(number())) {
            let mode = [PadMode::Constant, PadMode::Reflect, PadMode::Replicate][mode as usize];
            comes_back(&PadParams { pad, mode, value });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = Pad::new(&[1 << 29], &PadParams::new(vec![])).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "pad", argument: "input", .. }), "{error}");
    let error = Pad::new(&[1 << 28], &PadParams::new(vec![1 << 28, 1 << 28])).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "pad", argument: "output", .. }), "{error}");
    for pad in [isize::MAX, isize::MIN] {
        let error = Pad::new(&[4], &PadParams::new(vec![pad, isize::MAX])).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { operator: "pad", argument: "pad", .. }), "{error}");
    }
    let error = Pad::new(&[2; 9], &PadParams::new(vec![1; 18])).unwrap_err();
    assert_eq!(error.to_string(), "pad: input: 9 exceeds the dimensions of a padding, which is 8");
}

#[test]
fn bad_input_is_refused() {
    let of = |shape: &[usize], params| call("pad", params, &[("input", floats(shape))]);
    expect_refused(
        "pad",
        &[
            ("pad", of(&[2, 3], json!({"pad": [1]}))),
            ("pad", of(&[2, 3], json!({"pad": [1, 1, 1, 1, 1, 1]}))),
            ("pad", of(&[2, 3], json!({"pad": [-2, -2]}))),
            ("pad", of(&[2, 3], json!({"pad": [-4, 5]}))),
            ("pad", of(&[2, 3], json!({"pad": 1}))),
            ("pad", of(&[2, 3], json!({"pad": [0.5, 1]}))),
            ("pad", of(&[2, 3], json!({"pad": [3, 0], "mode": "reflect"}))),
            ("pad", of(&[2, 3], json!({"pad": [], "mode": "replicate"}))),
            ("input", of(&[3], json!({"pad": [1, 1], "mode": "reflect"}))),
            ("input", of(&[2, 2, 0, 3], json!({"pad": [1, 1, 1, 1], "mode": "replicate"}))),
            ("mode", of(&[2, 3], json!({"pad": [1, 1], "mode": "circular"}))),
            ("value", of(&[2, 3], json!({"pad": [1, 1], "mode": "reflect", "value": 1}))),
            ("value", of(&[2, 3], json!({"pad": [1, 1], "value": 1e60}))),
            ("pad", of(&[2, 3], json!({}))),
        ],
    );
}

planted_faults!(
    "pad",
    [
        ("pad", "if (block >= params.count)", "if (block + 1u >= params.count)"),
        ("pad", "if (number < params.count)", "if (number + 1u < params.count)"),
        ("pad", "source >= 0 && source < length", "source >= 0 && source <= length"),
        ("pad", "2 * (length - 1) - source", "2 * length - source"),
        ("pad", "clamp(source, 0, length - 1)", "clamp(source, 0, length)"),
        ("pad", "let index = params.first + number", "let index = number"),
        ("pad", "            row++;\n", ""),
        ("pad", "rest = divided(coordinate, length);", "rest = divided(coordinate, length + 1u);"),
        ("pad_backward", "return 3u;", "return 1u;"),
        ("pad_backward", "number == 1u && position > 0", "number == 1u"),
        ("pad_backward", "number == 2u && position + 1 < length", "number == 2u"),
        ("pad_backward", "select(max(own, 0), 0, position == 0)", "max(own, 0)"),
        (
            "pad_backward",
            "select(min(own, last), last, position + 1 == i32(params.lengths[dimension]))",
            "min(own, last)"
        ),
        ("pad_backward", "if (index >= params.count)", "if (index + 1u >= params.count)"),
        ("pad_backward", "if (block >= params.count)", "if (block + 1u >= params.count)"),
        ("pad_backward", "row, at.x + 3)", "row, at.x + 2)"),
        ("pad_backward", "all(at >= vec4<i32>(params.inner_begin)) && ", ""),
        ("pad_backward", " && all(vec4<i32>(last, at.yzw) < vec4<i32>(params.inner_end))", ""),
    ]
);
