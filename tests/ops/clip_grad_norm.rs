//! clip_grad_norm: a gradient scaled down to a norm.

use serde_json::json;
use wgdnn::cases::CaseArray;
use wgdnn::{ClipGradNorm, ClipGradNormParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("clip_grad_norm", at_least 100);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::*;
    use crate::harness::{expect_within, random};
    use crate::properties::{agree, config};
    use proptest::prelude::*;
    use wgdnn::ClipGradNormInputs;
    use wgdnn::cases::Call;

    fn of(shape: &[usize], max_norm: f64, seed: u64) -> Call {
        let inputs = ClipGradNormInputs { grad: random(shape, seed) };
        Call::new::<ClipGradNorm>(inputs, &ClipGradNormParams { max_norm }).unwrap()
    }

    /// The norm of millions of numbers has all digits.
    #[test]
    fn long_gradients() {
        for shape in [&[3_000_003][..], &[2000, 1024], &[65]] {
            expect_within(&of(shape, 0.5, 1), 2e-4);
            let grad = of(shape, 0.5, 1);
            let outputs = [grad.run_reference().unwrap(), grad.run_eager(crate::harness::gpu()).unwrap()];
            let [expected, got] = outputs.map(|outputs| match &outputs["total_norm"] {
                CaseArray::F32(norm) => f64::from(norm[[]]),
                other => panic!("{other:?}"),
            });
            assert!((got - expected).abs() <= 2e-7 * expected, "{got}, expected {expected}");
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(shape in crate::properties::shape(), max_norm in 0.0..50.0, seed: u64) {
            agree(Ok(of(&shape, max_norm, seed)), 4e-6)?;
        }
    }
}

mod serde {
    use crate::params_serde::{comes_back, config, number};
    use proptest::prelude::*;
    use wgdnn::ClipGradNormParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(max_norm in number()) {
            comes_back(&ClipGradNormParams { max_norm });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = ClipGradNorm::new(&[1 << 20, 1 << 20], &ClipGradNormParams::new(1.0)).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "clip_grad_norm", argument: "grad", .. }), "{error}");
    for max_norm in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        let error = ClipGradNorm::new(&[1], &ClipGradNormParams { max_norm }).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { argument: "max_norm", .. }), "{error}");
    }
    assert!(ClipGradNorm::new(&[1], &ClipGradNormParams::new(f64::INFINITY)).is_ok());
}

#[test]
fn bad_input_is_refused() {
    let integers = CaseArray::I64(ndarray::arr1(&[1, 2]).into_dyn());
    let with = |params| call("clip_grad_norm", params, &[("grad", floats(&[3]))]);
    let one = || json!({"max_norm": 1});
    expect_refused(
        "clip_grad_norm",
        &[
            ("grad", call("clip_grad_norm", one(), &[])),
            ("grad", call("clip_grad_norm", one(), &[("grad", integers)])),
            ("grad", call("clip_grad_norm", one(), &[("grad", floats(&[0, 1 << 20, 1 << 20]))])),
            ("max_norm", with(json!({}))),
            ("max_norm", with(json!({"max_norm": -1}))),
            ("max_norm", with(json!({"max_norm": null}))),
            ("max_norm", with(json!({"max_norm": [1.0]}))),
            ("max_norm", with(json!({"max_norm": "one"}))),
        ],
    );
}

planted_faults!(
    "clip_grad_norm",
    [
        ("clip_grad_norm", "sqrt(total_norm[0])", "total_norm[0]"),
        ("clip_grad_norm", "known_norm[0] + 1e-6", "known_norm[0]"),
        ("clip_grad_norm", "return min(ratio, 1.0);", "return ratio;"),
        ("clip_grad_norm", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("clip_grad_norm", "if (block < params.count)", "if (block + 1u < params.count)"),
        ("sums_of_squares", "return x * x;", "return x;"),
    ]
);
