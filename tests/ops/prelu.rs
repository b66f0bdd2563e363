//! prelu: slopes for numbers below 0.

use serde_json::json;
use wgdnn::{Error, Prelu};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("prelu", at_least 60);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use proptest::prelude::*;
    use wgdnn::PreluInputs;
    use wgdnn::cases::Call;

    use super::*;
    use crate::harness::{expect_within, random};
    use crate::properties::{agree, config, shape};
    use crate::splitting::expect_cut;

    fn of(shape: &[usize], weight: &[usize], seed: u64) -> Call {
        let inputs = PreluInputs { input: random(shape, seed), weight: random(weight, seed + 1) };
        Call::new::<Prelu>(inputs, &Default::default()).unwrap()
    }

    #[test]
    fn every_rest_of_a_block() {
        for inner in (1..10).chain([1023, 1024]) {
            expect_within(&of(&[2, 3, inner], &[3], 1), 1.2e-7);
            expect_within(&of(&[inner], &[1], 1), 1.2e-7);
        }
        expect_within(&of(&[2, 3, 900_000], &[3], 2), 1.2e-7);
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        expect_cut(&of(&[101, 3, 5], &[3], 3), 1.2e-7);
        expect_cut(&of(&[1009], &[1], 3), 1.2e-7);
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(shape in shape(), one: bool, seed in 0..u64::MAX - 1) {
            let channels = if one { 1 } else { shape.get(1).copied().unwrap_or(1) };
            agree(Ok(of(&shape, &[channels], seed)), 1.2e-7)?;
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = Prelu::new(&[1 << 29], &[1]).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "prelu", argument: "input", .. }), "{error}");
}

#[test]
fn bad_input_is_refused() {
    let input = [2, 3, 4];
    let of = |input: &[usize], weight: &[usize]| {
        call("prelu", json!({}), &[("input", floats(input)), ("weight", floats(weight))])
    };
    let integers = wgdnn::cases::CaseArray::I64(ndarray::arr1(&[1, 2, 3]).into_dyn());
    expect_refused(
        "prelu",
        &[
            ("weight", of(&input, &[2])),
            ("weight", of(&input, &[4])),
            ("weight", of(&input, &[1, 3])),
            ("weight", of(&input, &[0])),
            ("weight", of(&input, &[3, 1])),
            ("weight", of(&[3], &[3])),
            ("weight", of(&[], &[2])),
            ("weight", call("prelu", json!({}), &[("input", floats(&input))])),
            ("weight", call("prelu", json!({}), &[("input", floats(&input)), ("weight", integers)])),
            ("input", call("prelu", json!({}), &[("weight", floats(&[1]))])),
        ],
    );
}

planted_faults!(
    "prelu",
    [
        ("prelu", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("prelu", "divided(plane, params.channels) * params.channels", "plane"),
        ("prelu", "params.inner % 4u == 0u || ", "params.inner % 2u == 0u || "),
        ("prelu", "params.first + 4u * block", "4u * block + 1u"),
        ("prelu", "params.first + index", "index"),
        ("prelu", "x, x > vec4<f32>()", "x, x < vec4<f32>()"),
        ("prelu_backward", "(bits > vec4<u32>())", "(bits >= vec4<u32>())"),
        ("prelu_backward", " & (bits <= vec4<u32>(INFINITY))", ""),
        ("prelu_backward", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("prelu_backward", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("prelu_backward", "slopes_at(params.first + 4u * block)", "slopes_at(4u * block + 1u)"),
        ("prelu_backward", "slope_of(params.first + index)", "slope_of(index)"),
        ("sums_prelu", "select(grad * x, vec4<f32>()", "select(grad * x, grad"),
        ("sums_prelu", "if (channel >= params.channels)", "if (channel + 1u >= params.channels)"),
        ("sums_prelu", "select(at, at + (params.channels - 1u) * params.inner, is_past)", "at"),
        ("sums_prelu", "select(offset, offset - params.inner, is_past)", "offset"),
        ("sums_prelu", "sums = add_block(sums, block_of_terms(place.at))", "sums = add_block(sums, vec4<f32>())"),
    ]
);
