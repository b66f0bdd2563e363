//! add: sums of operands that broadcast together.

use serde_json::json;
use wgdnn::{Add, AddParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("add", at_least 60, barriers problems);

/// Sums of enough terms for a tree of partial sums.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;

    vec![Problem { call: on_gpu::sums_of_many(), files: &["sums_finish"] }]
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use proptest::prelude::*;
    use wgdnn::AddInputs;
    use wgdnn::cases::Call;

    use super::*;
    use crate::harness::{expect_within, gpu, random};
    use crate::properties::{agree, config, rounding};
    use crate::splitting::expect_cut;

    fn of(input: &[usize], other: &[usize], alpha: f64) -> Call {
        let inputs = AddInputs { input: random(input, 1), other: random(other, 2) };
        Call::new::<Add>(inputs, &AddParams { alpha }).unwrap()
    }

    #[test]
    fn every_rest_of_a_block() {
        for count in (0..10).chain([1023, 1024, 70_001]) {
            expect_within(&of(&[count], &[count], 0.5), 1.2e-7);
            expect_within(&of(&[3, count], &[count], -0.5), 1.2e-7);
            expect_within(&of(&[3, 1], &[3, count], 2.0), 2.4e-7);
            expect_within(&of(&[], &[count], 1.0), 2.4e-7);
        }
        expect_within(&of(&[5_000_000], &[5_000_000], 1.0), 2.4e-7);
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        expect_cut(&of(&[1009], &[1009], 1.0), 1.2e-7);
    }

    /// The gradient of the output, and the gradients on the GPU and of the reference.
    fn gradients(
        grad_output: &ndarray::ArrayD<f32>,
        input: &[usize],
        other: &[usize],
    ) -> [[ndarray::ArrayD<f32>; 2]; 2] {
        use wgdnn::{Tensor, add_backward, reference};

        let (tensor, params) = (Tensor::from_array(gpu(), grad_output).unwrap(), AddParams { alpha: 2.0 });
        let on_gpu = add_backward(&tensor, input, other, &params).unwrap();
        let on_gpu = [on_gpu.grad_input, on_gpu.grad_other].map(|tensor| tensor.unwrap().read_blocking().unwrap());
        let expected = reference::add_backward(grad_output, input, other, &params).unwrap();
        [on_gpu, [expected.grad_input.unwrap(), expected.grad_other.unwrap()]]
    }

    #[test]
    fn gradients_of_whole_numbers_are_exact() {
        for (input, other) in [
            (&[1000, 1000][..], &[1][..]),
            (&[1001, 333], &[333]),
            (&[5000, 12], &[12]),
            (&[5000, 13], &[1, 13]),
            (&[4, 3, 56, 56], &[3, 1, 1]),
            (&[4, 3, 55, 55], &[3, 1, 1]),
            (&[7, 300, 1], &[300, 90]),
            (&[20, 1, 20, 1], &[3, 20, 5]),
            (&[1, 40, 1, 30], &[30, 1, 20, 1]),
            (&[6, 1, 8, 1], &[1, 500, 1, 600]),
        ] {
            let common = Add::new(input, other, &AddParams::default()).unwrap().output_shape().to_vec();
            let [on_gpu, expected] = gradients(&crate::harness::random_integers(&common, 1), input, other);
            assert_eq!(on_gpu, expected, "{input:?} {other:?}");
        }
    }

    /// PyTorch's sums of as many float32 have errors of about 1e-5 here.
    #[test]
    fn gradients_of_a_million_terms_are_accurate() {
        let [on_gpu, expected] = gradients(&random(&[1 << 20], 1), &[1], &[1 << 20]);
        let (sum, expected) = (on_gpu[0][0], expected[0][0]);
        assert!((sum - expected).abs() <= 2e-7 * expected.abs(), "{sum} {expected}");
    }

    /// Of enough terms for a tree of partial sums. Of whole numbers sums are exact.
    pub fn sums_of_many() -> Call {
        use wgdnn::operator::{FloatOrInteger, Gradient};

        let forward = of(&[9000, 3], &[3], 1.0);
        let grad_output = FloatOrInteger::Float(crate::harness::random_integers(&[9000, 3], 1));
        let (wanted, given) = ([("grad_other".into(), Gradient::Write)], [("grad_output".into(), grad_output)]);
        forward.backward(&wanted, &forward.run_reference().unwrap(), &given).unwrap()
    }

    #[test]
    fn faults_of_sums_are_seen() {
        let faults = [
            ("sums_finish", "own += OWN", "own += 2u * OWN"),
            ("sums_finish", "lane_sums[lane + width]", "lane_sums[lane]"),
            ("sums", "results[at] = sum.x;", "results[at] = 0.0;"),
            ("sums", "row += params.lanes", "row += 2u * params.lanes"),
            ("sums", "row * params.channels + channel", "row * params.channels"),
        ];
        crate::harness::expect_seen_in(&sums_of_many(), &faults);
    }

    /// What PyTorch's add_ does, and that neither a tensor nor its own clone may be broadcast.
    #[test]
    fn in_place() {
        use wgdnn::{Tensor, add_};

        let params = AddParams { alpha: 2.0 };
        let upload = |array: &[f32]| Tensor::from_slice(gpu(), array, &[array.len()]).unwrap();
        let (x, y) = (upload(&[1.0, 2.0, 3.0, 4.0]), upload(&[10.0, 20.0, 30.0, 40.0]));
        add_(&x, &y, &params).unwrap();
        assert_eq!(x.read_vec_blocking().unwrap(), [21.0, 42.0, 63.0, 84.0]);
        assert_eq!(y.read_vec_blocking().unwrap(), [10.0, 20.0, 30.0, 40.0]);
        add_(&x, &x.clone(), &params).unwrap();
        assert_eq!(x.read_vec_blocking().unwrap(), [63.0, 126.0, 189.0, 252.0]);
        let one = upload(&[1.0]);
        add_(&x, &one, &params).unwrap();
        assert_eq!(x.read_vec_blocking().unwrap(), [65.0, 128.0, 191.0, 254.0]);
        let error = add_(&one, &x, &params).unwrap_err();
        assert_eq!(error.to_string(), "add: input: expected shape [4], got shape [1]");
    }

    prop_compose! {
        /// Shapes that broadcast together.
        fn operands()(
            shape in prop::collection::vec(0..6_usize, 0..5),
            ones in prop::collection::vec(0..4_u8, 5),
            cut in 0..3_usize,
            swap: bool,
        ) -> [Vec<usize>; 2] {
            let without = |bit: u8| {
                let each = shape.iter().zip(&ones);
                each.map(|(&length, kind)| if *kind == bit { 1 } else { length }).collect::<Vec<_>>()
            };
            let (a, b) = (without(1), without(2));
            let b = b[cut.min(b.len())..].to_vec();
            if swap { [b, a] } else { [a, b] }
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference([input, other] in operands(), alpha in -3.0..3.0, seed in 0..u64::MAX - 1) {
            let inputs = AddInputs { input: random(&input, seed), other: random(&other, seed + 1) };
            agree(Call::new::<Add>(inputs, &AddParams { alpha }), rounding(4.0))?;
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
        fn parameters_come_back(alpha in number()) {
            comes_back(&AddParams { alpha });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = Add::new(&[1 << 15, 1], &[1, 1 << 15], &AddParams::default()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "add", argument: "output", .. }), "{error}");
    let error = Add::new(&[1 << 29], &[1], &AddParams::default()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "add", argument: "input", .. }), "{error}");
    let error = Add::new(&[2, 1, 2, 1, 2], &[1, 2, 1, 2, 1], &AddParams::default()).unwrap_err();
    assert_eq!(error.to_string(), "add: other: 5 exceeds the dimensions of a broadcast, which is 4");
}

#[test]
fn bad_input_is_refused() {
    let of = |input: &[usize], other: &[usize], params| {
        call("add", params, &[("input", floats(input)), ("other", floats(other))])
    };
    let alone = |name| call("add", json!({}), &[(name, floats(&[2]))]);
    expect_refused(
        "add",
        &[
            ("other", of(&[2], &[3], json!({}))),
            ("other", of(&[2, 3], &[2], json!({}))),
            ("other", of(&[0], &[2], json!({}))),
            ("other", of(&[2, 3, 4], &[3, 3, 4], json!({}))),
            ("alpha", of(&[2], &[2], json!({"alpha": "1"}))),
            ("alpha", of(&[2], &[2], json!({"alpha": [1]}))),
            ("alpha", of(&[2], &[2], json!({"alpha": 1e39}))),
            ("other", alone("input")),
            ("input", alone("other")),
        ],
    );
}

planted_faults!(
    "add",
    [
        ("add", "params.other_factor * bitcast<vec4<f32>>(y)", "bitcast<vec4<f32>>(y)"),
        ("add", "if (block < params.count)", "if (block + 1u < params.count)"),
        (
            "add",
            "let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;\n    if (index < params.count)",
            "let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;\n    if (index + 1u < params.count)"
        ),
        ("add", "other_splat(at.y)", "other_splat(0u)"),
        ("add", "params.base + params.first + index", "params.base + index"),
        ("add", "rest_1 - at_0 * params.lengths.y", "rest_1"),
        ("add", "in_other.x + in_other.y", "in_other.y"),
        ("add", "let in_input = at * params.input_strides", "let in_input = at * params.other_strides"),
        ("add_backward", "params.factor * source[", "source["),
        ("add_backward", "params.factor * source_blocks[", "source_blocks["),
        ("add_backward", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("add_backward", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("sums", "params.factor * rounded(sum)", "rounded(sum)"),
        ("sums", "place.index < params.count", "place.index + 1u < params.count"),
        (
            "sums",
            "write(4u * block + 3u, own, vec2<f32>(sums.values.w",
            "write(4u * block + 3u, own, vec2<f32>(sums.values.z"
        ),
        ("sums_walk", "rest_1 - at_0 * params.walk_lengths.y", "rest_1"),
        ("sums_walk", "params.walk_strides * vec4<u32>", "params.walk_strides.wzyx * vec4<u32>"),
    ]
);
