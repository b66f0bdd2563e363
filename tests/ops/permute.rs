//! permute: dimensions in another order.

use serde_json::json;
use wgdnn::{Error, Permute, PermuteParams};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("permute", at_least 60);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use proptest::prelude::*;
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    use super::*;
    use crate::harness::{expect_exact, gpu, random};
    use crate::properties::{agree, config};
    use crate::splitting::expect_cut;

    fn of(shape: &[usize], dims: &[isize]) -> Call {
        Call::new::<Permute>(UnaryInputs { input: random(shape, 1) }, &PermuteParams::new(dims.to_vec())).unwrap()
    }

    #[test]
    fn every_plan() {
        for (shape, dims, plan) in [
            (&[8, 12][..], &[1, 0][..], "squares of 4 by 4 elements"),
            (&[2, 8, 3, 12], &[0, 3, 2, 1], "squares of 4 by 4 elements"),
            (&[2, 16, 24, 8], &[0, 3, 1, 2], "squares of 4 by 4 elements"),
            (&[4, 3, 8], &[1, 0, 2], "blocks of 4 elements"),
            (&[5, 3, 2, 6, 4], &[2, 0, 1, 3, 4], "blocks of 4 elements"),
            (&[5, 8], &[1, 0], "element by element"),
            (&[8, 6], &[1, 0], "element by element"),
            (&[3, 5, 7], &[2, 1, 0], "element by element"),
        ] {
            let call = of(shape, dims);
            assert_eq!(call.operator().plan_on(gpu().capabilities()), plan, "{shape:?} {dims:?}");
            expect_exact(&call);
        }
        expect_exact(&of(&[2000, 2500], &[1, 0]));
        expect_exact(&of(&[2001, 2501], &[1, 0]));
        // As it is, and as many dimensions as there may be.
        expect_exact(&of(&[3, 70_001], &[0, 1]));
        expect_exact(&of(&[2; 8], &[7, 5, 3, 1, 6, 4, 2, 0]));
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        expect_cut(&of(&[101, 8, 4], &[0, 2, 1]), 0.0);
        expect_cut(&of(&[101, 3, 5], &[0, 2, 1]), 0.0);
    }

    prop_compose! {
        fn problem()(shape in prop::collection::vec(prop::sample::select(vec![0, 1, 2, 3, 4, 8, 12]), 0..6))(
            dims in Just((0..shape.len() as isize).collect::<Vec<_>>()).prop_shuffle(),
            shape in Just(shape),
        ) -> (Vec<usize>, Vec<isize>) {
            (shape, dims)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((shape, dims) in problem(), seed: u64) {
            let input = random(&shape, seed);
            agree(Call::new::<Permute>(UnaryInputs { input }, &PermuteParams::new(dims)), 0.0)?;
        }
    }
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(dims: Vec<isize>) {
            comes_back(&PermuteParams::new(dims));
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = Permute::new(&[1 << 29], &PermuteParams::new(vec![0])).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "permute", argument: "input", .. }), "{error}");
    let error = Permute::new(&[2; 9], &PermuteParams::new(vec![8, 6, 4, 2, 0, 7, 5, 3, 1])).unwrap_err();
    assert_eq!(error.to_string(), "permute: dims: 9 exceeds the dimensions of an order, which is 8");
}

#[test]
fn bad_input_is_refused() {
    let of = |shape: &[usize], dims| call("permute", json!({ "dims": dims }), &[("input", floats(shape))]);
    expect_refused(
        "permute",
        &[
            ("dims", of(&[2, 3], json!([0]))),
            ("dims", of(&[2, 3], json!([0, 1, 2]))),
            ("dims", of(&[2, 3], json!([0, 0]))),
            ("dims", of(&[2, 3], json!([1, -1]))),
            ("dims", of(&[2, 3], json!([0, 2]))),
            ("dims", of(&[2, 3], json!([-3, 0]))),
            ("dims", of(&[2, 3], json!(1))),
            ("dims", of(&[2, 3], json!(["0", "1"]))),
            ("dims", of(&[], json!([0]))),
            ("dims", call("permute", json!({}), &[("input", floats(&[2]))])),
            ("input", call("permute", json!({"dims": []}), &[])),
        ],
    );
}

planted_faults!(
    "permute",
    [
        ("permute", "rest = divided(coordinate, length);", "rest = divided(coordinate, length + 1u);"),
        ("permute", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("permute", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("permute", "if (square >= params.count)", "if (square + 1u >= params.count)"),
        ("permute", "at.x + 2u * params.input_step", "at.x + params.input_step"),
        ("permute", "vec4<u32>(row_0.z, row_1.z", "vec4<u32>(row_1.z, row_0.z"),
        ("permute", "return second[dimension - 4u];", "return 1u;"),
        ("permute", "output[at] = value", "output[at] = 0u"),
        ("permute", "output_blocks[at] = values", "output_blocks[at] = values.yxzw"),
    ]
);
