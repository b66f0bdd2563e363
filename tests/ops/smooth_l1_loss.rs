//! smooth_l1_loss: the difference of two arrays, squared where it is small, or the mean or sum of that.

use serde_json::json;
use wgdnn::{Error, SmoothL1Loss};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};
use wgdnn::cases::CaseArray;

golden_tests!("smooth_l1_loss", at_least 40, barriers problems);

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;
    use crate::gradients::backward_of;
    use crate::harness::random;
    use wgdnn::{SmoothL1LossInputs, cases::Call, operator::Gradient};

    let call = |input: &[usize], target: &[usize]| {
        let inputs = SmoothL1LossInputs::new(random(input, 1), random(target, 2));
        Call::new::<SmoothL1Loss>(inputs, &Default::default()).unwrap()
    };
    // The gradient of a target that was broadcast often.
    let gradient = ["grad_target".into()];
    let backward = gradient.map(|only| backward_of(&call(&[2500, 2], &[2]), 3, Gradient::Write, Some(only)).unwrap());
    let calls = [call(&[5000], &[5000]), call(&[5001], &[5001])].into_iter().chain(backward);
    calls.map(|call| Problem { call, files: &["smooth_l1_loss"] }).collect()
}

#[cfg(feature = "gpu-core")]
mod accurate {
    use super::SmoothL1Loss;
    use crate::harness::{expect_exact, expect_within, golden_of, gpu, random, random_integers, rmse_beside_pytorch};
    use wgdnn::cases::Call;
    use wgdnn::{Reduction, SmoothL1LossInputs, SmoothL1LossParams};

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let (ours, theirs) = rmse_beside_pytorch(&golden_of("smooth_l1_loss"), |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    fn smooth_l1_loss(input: &[usize], target: &[usize], reduction: Reduction) -> Call {
        Call::new::<SmoothL1Loss>(
            SmoothL1LossInputs::new(random_integers(input, 1), random_integers(target, 2)),
            &SmoothL1LossParams { reduction, ..Default::default() },
        )
        .unwrap()
    }

    #[test]
    fn integers_are_exact() {
        expect_exact(&smooth_l1_loss(&[64, 65], &[64, 65], Reduction::None));
        expect_exact(&smooth_l1_loss(&[64, 65], &[64, 65], Reduction::Sum));
        expect_exact(&smooth_l1_loss(&[63, 65], &[63, 65], Reduction::Sum));
        expect_exact(&smooth_l1_loss(&[4], &[4], Reduction::Sum));
        expect_exact(&smooth_l1_loss(&[4100, 4], &[4100, 4], Reduction::Sum));
        expect_exact(&smooth_l1_loss(&[7, 1, 5, 1], &[6, 1, 4], Reduction::None));
        expect_exact(&smooth_l1_loss(&[3, 1, 5], &[5], Reduction::Sum));
    }

    /// Operands that were broadcast once, often, and very often.
    #[test]
    fn gradients_of_broadcasts() {
        for (input, target) in [
            (&[64, 65][..], &[64, 65][..]),
            (&[64, 65], &[65]),
            (&[300, 5], &[5]),
            (&[300, 5], &[300, 1]),
            (&[3, 1, 5000], &[2, 1]),
            (&[2, 70_000], &[]),
            (&[1, 3], &[0, 3]),
        ] {
            for reduction in [Reduction::None, Reduction::Mean, Reduction::Sum] {
                crate::gradients::agree(&smooth_l1_loss(input, target, reduction), 3).unwrap();
                crate::gradients::agree(&smooth_l1_loss(target, input, reduction), 4).unwrap();
            }
        }
    }

    /// NaN has no gradient without beta alone.
    #[test]
    fn small_betas() {
        for beta in [0.0, 1e-50, 1e-42, 1e-20, 1e30, f64::INFINITY] {
            let input = random(&[7, 9], 1).mapv(|x| if x > 0.9 { f32::NAN } else { x });
            let inputs = SmoothL1LossInputs::new(input, random(&[7, 9], 2));
            let params = SmoothL1LossParams { reduction: Reduction::None, beta };
            let call = Call::new::<SmoothL1Loss>(inputs, &params).unwrap();
            if beta < 1.0 {
                expect_within(&call, 1e-6);
            }
            crate::gradients::agree(&call, 3).unwrap();
        }
    }

    #[test]
    fn many_elements() {
        // Past what float32 can count one by one.
        let call = Call::new::<SmoothL1Loss>(
            SmoothL1LossInputs::new(random(&[5, 1_000_003], 1), random(&[5, 1_000_003], 2)),
            &SmoothL1LossParams::default(),
        )
        .unwrap();
        expect_within(&call, 6e-8);
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random_integers;
    use crate::properties::{agree, config, reduction, rounding, shape};
    use proptest::prelude::*;
    use wgdnn::cases::Call;
    use wgdnn::{Reduction, SmoothL1LossInputs, SmoothL1LossParams};

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(
            shape in shape(), seed: u64, kept in prop::collection::vec(any::<bool>(), 5), reduction in reduction(),
            beta in prop_oneof![Just(0.0), Just(0.5), Just(1.0), Just(4.0)],
        ) {
            // Dimensions of the target that are not kept are broadcast.
            let other: Vec<usize> = shape.iter().zip(kept).map(|(&length, kept)| if kept { length } else { 1 }).collect();
            let inputs = SmoothL1LossInputs::new(random_integers(&shape, seed), random_integers(&other, seed ^ 1));
            // Losses of whole numbers and their sums are exact; the mean of up to 9 is rounded.
            let atol = if reduction == Reduction::Mean { rounding(9.0) } else { 0.0 };
            agree(Call::new::<SmoothL1Loss>(inputs, &SmoothL1LossParams { reduction, beta }), atol)?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::cases::Call;
    use wgdnn::{Reduction, SmoothL1LossInputs, SmoothL1LossParams};

    let inputs = SmoothL1LossInputs::new(random(&[27, 2, 6, 5], 1), random(&[27, 2, 6, 5], 12));
    expect_cut(
        &Call::new::<SmoothL1Loss>(inputs, &SmoothL1LossParams { reduction: Reduction::None, beta: 0.5 }).unwrap(),
        1e-6,
    );
}

mod serde {
    use crate::params_serde::{comes_back, config, number, reduction};
    use proptest::prelude::*;
    use wgdnn::SmoothL1LossParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(reduction in reduction(), beta in number()) {
            comes_back(&SmoothL1LossParams { reduction, beta });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "smooth_l1_loss";
    let with = |params, input: &[usize], target: &[usize]| {
        call(op, params, &[("input", floats(input)), ("target", floats(target))])
    };
    let integers = CaseArray::I64(ndarray::arr1(&[1, 2]).into_dyn());
    let reduction = with(json!({"reduction": "max"}), &[2], &[2]);
    expect_refused(
        op,
        &[
            ("target", with(json!({}), &[2], &[3])),
            ("target", with(json!({}), &[2, 3], &[3, 2])),
            ("target", with(json!({}), &[2, 3], &[2])),
            ("target", with(json!({}), &[4, 1, 3], &[2, 2])),
            ("target", with(json!({}), &[0], &[2])),
            // Five dimensions that alternate between the one that is broadcast and the other.
            ("target", with(json!({}), &[2, 1, 2, 1, 2], &[1, 2, 1, 2, 1])),
            ("beta", with(json!({"beta": -1.0}), &[2], &[2])),
            ("beta", with(json!({"beta": "small"}), &[2], &[2])),
            ("reduction", reduction),
            ("reduction", with(json!({"reduction": 1}), &[2], &[2])),
        ],
    );
    let refused = call(op, json!({}), &[("input", integers.clone()), ("target", integers)]);
    assert!(refused.is_err());
}

#[test]
fn sizes_that_overflow_are_refused() {
    for (input, target) in
        [(&[1 << 15, 1 << 15][..], &[1 << 15, 1 << 15][..]), (&[1 << 20, 1], &[1, 1 << 20]), (&[usize::MAX], &[1])]
    {
        let result = SmoothL1Loss::new(input, target, &Default::default());
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

planted_faults!(
    "smooth_l1_loss",
    [
        ("smooth_l1_loss", "vec4<f32>(0.5 * params.beta)", "vec4<f32>(params.beta)"),
        ("smooth_l1_loss", "select(0.5 * size * share, far.values, is_far)", "far.values"),
        (
            "smooth_l1_loss",
            "return Operands(input_blocks[block], target_blocks[block]);",
            "return Operands(input_blocks[block], target_blocks[0]);"
        ),
        // Gradients.
        ("smooth_l1_loss", "select(difference / params.beta, signs, is_far)", "signs"),
        ("smooth_l1_loss", "select(difference, vec4<f32>(), params.beta == 0.0)", "difference"),
        ("smooth_l1_loss", "select(difference / params.beta, signs, is_far)", "difference / params.beta"),
        (
            "smooth_l1_loss",
            "select(vec4<f32>(), select(vec4<f32>(-1.0), vec4<f32>(1.0), a > b), a != b)",
            "select(vec4<f32>(-1.0), vec4<f32>(1.0), a > b)"
        ),
    ]
);
