//! mse_loss: the squared difference of two arrays, or its mean or sum.

use serde_json::json;
use wgdnn::{Error, MseLoss};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};
use wgdnn::cases::CaseArray;

golden_tests!("mse_loss", at_least 40, barriers problems);

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;
    use crate::gradients::backward_of;
    use crate::harness::random;
    use wgdnn::{MseLossInputs, cases::Call, operator::Gradient};

    let call = |input: &[usize], target: &[usize]| {
        let inputs = MseLossInputs::new(random(input, 1), random(target, 2));
        Call::new::<MseLoss>(inputs, &Default::default()).unwrap()
    };
    // The gradient of a target that was broadcast often.
    let gradient = ["grad_target".into()];
    let backward = gradient.map(|only| backward_of(&call(&[2500, 2], &[2]), 3, Gradient::Write, Some(only)).unwrap());
    let calls = [call(&[5000], &[5000]), call(&[5001], &[5001])].into_iter().chain(backward);
    calls.map(|call| Problem { call, files: &["mse_loss"] }).collect()
}

#[cfg(feature = "gpu-core")]
mod accurate {
    use super::MseLoss;
    use crate::harness::{expect_exact, expect_within, golden_of, gpu, random, random_integers, rmse_beside_pytorch};
    use wgdnn::cases::Call;
    use wgdnn::{MseLossInputs, MseLossParams, Reduction};

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let (ours, theirs) = rmse_beside_pytorch(&golden_of("mse_loss"), |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    fn mse_loss(input: &[usize], target: &[usize], reduction: Reduction) -> Call {
        Call::new::<MseLoss>(
            MseLossInputs::new(random_integers(input, 1), random_integers(target, 2)),
            &MseLossParams { reduction },
        )
        .unwrap()
    }

    #[test]
    fn integers_are_exact() {
        expect_exact(&mse_loss(&[64, 65], &[64, 65], Reduction::None));
        expect_exact(&mse_loss(&[64, 65], &[64, 65], Reduction::Sum));
        expect_exact(&mse_loss(&[63, 65], &[63, 65], Reduction::Sum));
        expect_exact(&mse_loss(&[4], &[4], Reduction::Sum));
        expect_exact(&mse_loss(&[4100, 4], &[4100, 4], Reduction::Sum));
        expect_exact(&mse_loss(&[7, 1, 5, 1], &[6, 1, 4], Reduction::None));
        expect_exact(&mse_loss(&[3, 1, 5], &[5], Reduction::Sum));
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
                crate::gradients::agree(&mse_loss(input, target, reduction), 3).unwrap();
                crate::gradients::agree(&mse_loss(target, input, reduction), 4).unwrap();
            }
        }
    }

    #[test]
    fn many_elements() {
        // Past what float32 can count one by one.
        let call = Call::new::<MseLoss>(
            MseLossInputs::new(random(&[5, 1_000_003], 1), random(&[5, 1_000_003], 2)),
            &MseLossParams::default(),
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
    use wgdnn::{MseLossInputs, MseLossParams, Reduction};

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(
            shape in shape(), seed: u64, kept in prop::collection::vec(any::<bool>(), 5), reduction in reduction(),
        ) {
            // Dimensions of the target that are not kept are broadcast.
            let other: Vec<usize> = shape.iter().zip(kept).map(|(&length, kept)| if kept { length } else { 1 }).collect();
            let inputs = MseLossInputs::new(random_integers(&shape, seed), random_integers(&other, seed ^ 1));
            // Squares of whole numbers and their sums are exact; the mean of up to 64 is rounded.
            let atol = if reduction == Reduction::Mean { rounding(64.0) } else { 0.0 };
            agree(Call::new::<MseLoss>(inputs, &MseLossParams { reduction }), atol)?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::cases::Call;
    use wgdnn::{MseLossInputs, MseLossParams, Reduction};

    let inputs = MseLossInputs::new(random(&[27, 2, 6, 5], 1), random(&[27, 2, 6, 5], 12));
    expect_cut(&Call::new::<MseLoss>(inputs, &MseLossParams { reduction: Reduction::None }).unwrap(), 1e-6);
}

mod serde {
    use crate::params_serde::{comes_back, config, reduction};
    use proptest::prelude::*;
    use wgdnn::MseLossParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(reduction in reduction()) {
            comes_back(&MseLossParams { reduction });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "mse_loss";
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
        let result = MseLoss::new(input, target, &Default::default());
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

planted_faults!(
    "mse_loss",
    [
        ("mse_loss", "let second = at * params.second_strides;", "let second = at * params.first_strides;"),
        ("mse_loss", "let blocks = params.count / 4u;", "let blocks = params.count / 8u;"),
        ("mse_loss", "return Pairs(upper * upper, rest);", "return Pairs(upper, rest);"),
        // Gradients.
        ("mse_loss", "select(slope, -slope, params.of_target != 0u)", "slope"),
        ("mse_loss", "slopes(these) / params.divisor * grads", "slopes(these) * grads"),
        ("mse_loss", "+ position(item, params.summed)", ""),
        (
            "mse_loss",
            "sum = add(sum, term(params.first + index, item));",
            "sum = vec2<f32>(term(params.first + index, item), 0.0);"
        ),
        ("mse_loss", "return grad_output_blocks[block];", "return vec4<f32>(grad_output[0]);"),
    ]
);
