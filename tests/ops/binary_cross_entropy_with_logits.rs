//! binary_cross_entropy_with_logits: how far the sigmoid of each score is from its target, a probability.

#[cfg(feature = "gpu-core")]
use ndarray::ArrayD;
use serde_json::json;
use wgdnn::cases::CaseArray;
use wgdnn::{
    BinaryCrossEntropyWithLogits, BinaryCrossEntropyWithLogitsInputs, BinaryCrossEntropyWithLogitsParams, Error,
};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};
#[cfg(feature = "gpu-core")]
use {crate::harness::random, wgdnn::Reduction, wgdnn::cases::Call};

golden_tests!("binary_cross_entropy_with_logits", at_least 40, barriers problems);

#[cfg(feature = "gpu-core")]
fn loss(
    shape: &[usize],
    weight: Option<&[usize]>,
    pos_weight: Option<&[usize]>,
    reduction: Reduction,
    seed: u64,
) -> Call {
    let positive = |shape: &[usize], seed: u64| random(shape, seed).mapv(|x| x.abs() + 0.01);
    let inputs = BinaryCrossEntropyWithLogitsInputs {
        weight: weight.map(|shape| positive(shape, seed ^ 1)),
        pos_weight: pos_weight.map(|shape| positive(shape, seed ^ 2)),
        ..BinaryCrossEntropyWithLogitsInputs::new(random(shape, seed).mapv(|x| x * 9.0), positive(shape, seed ^ 3))
    };
    Call::new::<BinaryCrossEntropyWithLogits>(inputs, &BinaryCrossEntropyWithLogitsParams { reduction }).unwrap()
}

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    let problems = |count: usize| {
        let problem = |weight, module: &'static [&'static str]| {
            let call = loss(&[count], weight, None, Reduction::Mean, 1);
            crate::barriers::Problem { call, files: module }
        };
        [
            problem(None, &["binary_cross_entropy_with_logits"]),
            problem(Some(&[1][..]), &["binary_cross_entropy_with_logits_weighted"]),
        ]
    };
    [5000, 5001].into_iter().flat_map(problems).collect()
}

#[cfg(feature = "gpu-core")]
mod accurate {
    use super::*;
    use crate::harness::{expect_within, golden_of, gpu, rmse_beside_pytorch};

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let cases = golden_of("binary_cross_entropy_with_logits");
        let (ours, theirs) = rmse_beside_pytorch(&cases, |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    #[test]
    fn weights_that_are_broadcast_in_every_way() {
        let shapes =
            [None, Some(&[][..]), Some(&[5]), Some(&[4, 1]), Some(&[3, 4, 5]), Some(&[3, 1, 5]), Some(&[3, 1, 1])];
        for weight in shapes {
            for pos_weight in shapes {
                for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
                    let call = loss(&[3, 4, 5], weight, pos_weight, reduction, 1);
                    expect_within(&call, if reduction == Reduction::Sum { 1e-4 } else { 3e-6 });
                    crate::gradients::agree(&call, 2).unwrap();
                }
            }
        }
    }

    #[test]
    fn many_elements() {
        expect_within(&loss(&[5, 1_000_003], None, None, Reduction::Mean, 1), 2e-7);
        expect_within(&loss(&[1_000_003, 5], None, Some(&[5]), Reduction::Mean, 1), 2e-7);
    }

    /// What PyTorch's float64 gives beside infinities and NaN.
    #[test]
    fn gradients_of_infinities() {
        use wgdnn::{BinaryCrossEntropyWithLogitsBackwardInputs, Tensor, binary_cross_entropy_with_logits_backward};

        let [inf, nan] = [f32::INFINITY, f32::NAN];
        let x = [inf, inf, inf, -inf, -inf, -inf, nan, 1.0, 1.0, 1.0];
        let t = [0.0, 1.0, 0.5, 0.0, 1.0, 0.5, 0.5, nan, inf, -inf];
        let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(gpu(), values, shape).unwrap();
        let (x, t, one) = (tensor(&x, &[10]), tensor(&t, &[10]), tensor(&[1.0; 10], &[10]));
        let is_equal = |got: &Tensor, expected: &[f32]| {
            let got = got.read_vec_blocking().unwrap();
            let is_near = |(a, b): (&f32, &f32)| a == b || (a - b).abs() < 1e-4 || (a.is_nan() && b.is_nan());
            assert!(got.iter().zip(expected).all(is_near), "{got:?}, expected {expected:?}");
        };
        let of_target = [-inf, -inf, -inf, inf, inf, inf, nan];
        for (pos_weight, of_input, rest) in [
            (None, [1.0, 0.0, 0.5, 0.0, -1.0, -0.5, nan, nan, -inf, inf], [-1.0; 3]),
            (Some(2.0), [1.0, 0.0, 0.5, 0.0, -2.0, -1.0, nan, nan, nan, nan], [-0.68674; 3]),
            (Some(inf), [nan; 10], [inf; 3]),
        ] {
            let pos_weight = pos_weight.map(|p| tensor(&[p], &[]));
            let inputs = BinaryCrossEntropyWithLogitsBackwardInputs {
                pos_weight: pos_weight.as_ref(),
                ..BinaryCrossEntropyWithLogitsBackwardInputs::new(&one, &x, &t)
            };
            let params = BinaryCrossEntropyWithLogitsParams { reduction: Reduction::None };
            let gradients = binary_cross_entropy_with_logits_backward(&inputs, &params).unwrap();
            is_equal(&gradients.grad_input.unwrap(), &of_input);
            let mut expected = [&of_target[..], &rest].concat();
            if rest[0] == inf {
                expected[..3].fill(nan);
            }
            is_equal(&gradients.grad_target.unwrap(), &expected);
        }
    }

    /// Scores of which 1 - sigmoid is small are told apart.
    #[test]
    fn no_digits_are_lost_far_from_0() {
        let input = ArrayD::from_shape_fn(vec![64], |at| at[0] as f32 - 32.0);
        for target in [0.0, 1.0] {
            let inputs = BinaryCrossEntropyWithLogitsInputs::new(input.clone(), ArrayD::from_elem(vec![64], target));
            let params = BinaryCrossEntropyWithLogitsParams { reduction: Reduction::None };
            let call = Call::new::<BinaryCrossEntropyWithLogits>(inputs, &params).unwrap();
            let backward =
                crate::gradients::backward_of(&call, 1, wgdnn::operator::Gradient::Write, Some("grad_input".into()));
            for call in [call, backward.unwrap()] {
                let [expected, got] = [call.run_reference().unwrap(), call.run_eager(gpu()).unwrap()];
                for (name, expected) in expected {
                    let (CaseArray::F32(expected), CaseArray::F32(got)) = (expected, &got[&name]) else { panic!() };
                    for (expected, got) in expected.iter().zip(got) {
                        assert!((expected - got).abs() <= 2e-6 * expected.abs(), "{name}: {got}, expected {expected}");
                    }
                }
            }
        }
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::properties::{agree, config, reduction, rounding, shape};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(
            shape in shape(), seed: u64, kept in prop::collection::vec([any::<bool>(), any::<bool>()], 5),
            has in [any::<bool>(), any::<bool>()], reduction in reduction(),
        ) {
            // Dimensions of weights that are not kept are broadcast.
            let broadcast = |of: usize| -> Vec<usize> {
                shape.iter().zip(&kept).map(|(&length, kept)| if kept[of] { length } else { 1 }).collect()
            };
            let weights = [0, 1].map(broadcast);
            let [weight, pos_weight] = [0, 1].map(|of| has[of].then_some(&weights[of][..]));
            let count = if reduction == Reduction::Sum { shape.iter().product::<usize>() as f64 } else { 1.0 };
            agree(Ok(loss(&shape, weight, pos_weight, reduction, seed)), rounding(40.0 * count))?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    crate::splitting::expect_cut(&loss(&[27, 2, 6, 5], None, None, Reduction::None, 1), 3e-6);
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, reduction};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(reduction in reduction()) {
            comes_back(&BinaryCrossEntropyWithLogitsParams { reduction });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "binary_cross_entropy_with_logits";
    let with = |params, target: &[usize], more: &[(&str, &[usize])]| {
        let mut inputs = vec![("input", floats(&[2, 3])), ("target", floats(target))];
        inputs.extend(more.iter().map(|(name, shape)| (*name, floats(shape))));
        call(op, params, &inputs)
    };
    expect_refused(
        op,
        &[
            ("target", with(json!({}), &[3], &[])),
            ("target", with(json!({}), &[1, 3], &[])),
            ("target", with(json!({}), &[6], &[])),
            ("weight", with(json!({}), &[2, 3], &[("weight", &[2])])),
            ("weight", with(json!({}), &[2, 3], &[("weight", &[1, 2, 3])])),
            ("weight", with(json!({}), &[2, 3], &[("weight", &[0, 3])])),
            ("pos_weight", with(json!({}), &[2, 3], &[("pos_weight", &[3, 1])])),
            ("pos_weight", with(json!({}), &[2, 3], &[("weight", &[3]), ("pos_weight", &[1, 1, 1])])),
            ("reduction", with(json!({"reduction": "max"}), &[2, 3], &[])),
            ("reduction", with(json!({"reduction": 1}), &[2, 3], &[])),
        ],
    );
    let integers = CaseArray::I64(ndarray::arr1(&[1, 2]).into_dyn());
    assert!(call(op, json!({}), &[("input", integers.clone()), ("target", integers)]).is_err());
}

#[test]
fn sizes_that_overflow_are_refused() {
    for shape in [&[1 << 15, 1 << 15][..], &[usize::MAX, 2]] {
        let inputs = BinaryCrossEntropyWithLogitsInputs::new(shape, shape);
        let result = BinaryCrossEntropyWithLogits::new(&inputs, &Default::default());
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
    // Five dimensions that alternate between those in which weights are broadcast and others.
    let weight = Some(&[2, 1, 2, 1, 2][..]);
    let inputs =
        BinaryCrossEntropyWithLogitsInputs { weight, ..BinaryCrossEntropyWithLogitsInputs::new(&[2; 5][..], &[2; 5]) };
    let result = BinaryCrossEntropyWithLogits::new(&inputs, &Default::default());
    assert!(matches!(result, Err(Error::LimitExceeded { argument: "weight", .. })), "{result:?}");
}

planted_faults!(
    "binary_cross_entropy_with_logits",
    [
        ("binary_cross_entropy_with_logits", "linear + rest * share", "linear + share"),
        ("binary_cross_entropy_with_logits", "select(exact, plain, is_spoilt(exact))", "exact"),
        ("binary_cross_entropy_with_logits", "sigmoid * share - positive, above,", "above, above,"),
        ("binary_cross_entropy_with_logits", "        slope = -x;", "        slope = x;"),
        ("binary_cross_entropy_with_logits_weighted", " * these.weights.weight", ""),
        ("binary_cross_entropy_with_logits_weighted", "vec4<f32>(a.yw, b.yw)", "vec4<f32>(a.yw, a.yw)"),
        (
            "binary_cross_entropy_with_logits_weighted",
            "- 1.0) * these.target_values + 1.0",
            ") * these.target_values + 1.0"
        ),
        ("binary_cross_entropy_with_logits_weighted", "- below * these.weights.pos_weight", "- below"),
        ("binary_cross_entropy_with_logits_weighted", "* vec2<f32>(grad, 1.0)", ""),
        ("binary_cross_entropy_with_logits_weighted", "pos_weight[at.y]", "pos_weight[at.x]"),
    ]
);
