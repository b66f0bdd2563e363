//! mse_loss: the squared difference of two arrays, or its mean or sum.

use serde_json::json;
use wgdnn::{Error, MseLoss};

use crate::cases::CaseArray;
use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("mse_loss", at_least 40);

#[cfg(feature = "gpu")]
mod accurate {
    use crate::cases::Call;
    use crate::harness::{expect_exact, expect_within, golden_of, gpu, random, random_integers, rmse_beside_pytorch};
    use wgdnn::{MseLossParams, Reduction};

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let (ours, theirs) = rmse_beside_pytorch(&golden_of("mse_loss"), |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    fn mse_loss(input: &[usize], target: &[usize], reduction: Reduction) -> Call {
        Call::MseLoss {
            input: random_integers(input, 1),
            target: random_integers(target, 2),
            params: MseLossParams { reduction },
        }
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

    #[test]
    fn many_elements() {
        // Past what float32 can count one by one.
        let call = Call::MseLoss {
            input: random(&[5, 1_000_003], 1),
            target: random(&[5, 1_000_003], 2),
            params: MseLossParams::default(),
        };
        expect_within(&call, 6e-8);
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
