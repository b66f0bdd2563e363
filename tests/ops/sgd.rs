//! sgd: a step of stochastic gradient descent.

use serde_json::json;
use wgdnn::{Error, Sgd, SgdParams};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("sgd", at_least 150);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::*;
    use crate::harness::{expect_within, random};
    use crate::properties::{agree, config, rounding};
    use crate::splitting::expect_cut;
    use proptest::prelude::*;
    use wgdnn::SgdInputs;
    use wgdnn::cases::Call;

    fn of(shape: &[usize], params: SgdParams, step: f32, seed: u64) -> Result<Call, wgdnn::cases::Refusal> {
        let has_momentum = params.momentum != 0.0;
        let scalar = |number: f32| ndarray::arr0(number).into_dyn();
        let inputs = SgdInputs {
            momentum_buffer: has_momentum.then(|| random(shape, seed ^ 2)),
            step: has_momentum.then(|| scalar(step)),
            ..SgdInputs::new(random(shape, seed), random(shape, seed ^ 1), scalar(0.1))
        };
        Call::new::<Sgd>(inputs, &params)
    }

    #[test]
    fn long_parameters() {
        let momentum = SgdParams { momentum: 0.9, ..Default::default() };
        for params in [SgdParams::default(), momentum] {
            for shape in [&[1_000_003][..], &[512, 300]] {
                expect_within(&of(shape, params, 3.0, 1).unwrap(), 1e-6);
            }
        }
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        for momentum in [0.0, 0.9] {
            for shape in [&[1001][..], &[100, 28]] {
                expect_cut(&of(shape, SgdParams { momentum, ..Default::default() }, 1.0, 1).unwrap(), 1e-6);
            }
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(
            shape in crate::properties::shape(), momentum in prop_oneof![Just(0.0), 0.0..1.0], dampening in 0.0..1.0,
            weight_decay in prop_oneof![Just(0.0), 0.0..0.5], nesterov: bool, maximize: bool, step in 0..3_u8, seed: u64,
        ) {
            let dampening = if nesterov { 0.0 } else { dampening };
            let params = SgdParams { momentum, dampening, weight_decay, nesterov, maximize };
            agree(of(&shape, params, step.into(), seed), rounding(8.0))?;
        }
    }
}

mod serde {
    use crate::params_serde::{comes_back, config, number};
    use proptest::prelude::*;
    use wgdnn::SgdParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(momentum in number(), dampening in number(), weight_decay in number(), nesterov: bool, maximize: bool) {
            comes_back(&SgdParams { momentum, dampening, weight_decay, nesterov, maximize });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = Sgd::new(&[1 << 20, 1 << 20], &SgdParams::default()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "sgd", argument: "param", .. }), "{error}");
}

#[test]
fn bad_input_is_refused() {
    let with = |params, grad: &[usize], lr: &[usize], more: &[(&str, &[usize])]| {
        let mut inputs = vec![("param", floats(&[2, 3])), ("grad", floats(grad)), ("lr", floats(lr))];
        inputs.extend(more.iter().map(|(name, shape)| (*name, floats(shape))));
        call("sgd", params, &inputs)
    };
    let (good, none) = (&[2, 3][..], &[][..]);
    let momentum = || json!({"momentum": 0.9});
    let state: &[(&str, &[usize])] = &[("momentum_buffer", good), ("step", none)];
    expect_refused(
        "sgd",
        &[
            ("grad", with(json!({}), &[3, 2], none, &[])),
            ("grad", with(json!({}), &[6], none, &[])),
            ("lr", with(json!({}), good, &[1], &[])),
            ("momentum_buffer", with(json!({}), good, none, state)),
            ("momentum_buffer", with(momentum(), good, none, &[])),
            ("momentum_buffer", with(momentum(), good, none, &[("momentum_buffer", &[6]), ("step", none)])),
            ("step", with(momentum(), good, none, &state[..1])),
            ("step", with(momentum(), good, none, &[state[0], ("step", &[1])])),
            ("momentum", with(json!({"momentum": -0.1}), good, none, &[])),
            ("momentum", with(json!({"momentum": 1e39}), good, none, &[])),
            ("weight_decay", with(json!({"weight_decay": -1}), good, none, &[])),
            ("dampening", with(json!({"dampening": 1e39}), good, none, &[])),
            ("nesterov", with(json!({"nesterov": true}), good, none, &[])),
            ("nesterov", with(json!({"nesterov": true, "momentum": 0.5, "dampening": 0.5}), good, none, state)),
            ("nesterov", with(json!({"nesterov": 1}), good, none, &[])),
        ],
    );
}

planted_faults!(
    "sgd",
    [
        ("sgd", "return params.sign * gradient;", "return gradient;"),
        ("sgd", "+ params.weight_decay * value", ""),
        ("sgd", "value - rates[0] * direction(at, gradient)", "value - direction(at, gradient)"),
        (
            "sgd",
            "if (index < params.count) {\n        let block",
            "if (index + 1u < params.count) {\n        let block"
        ),
        ("sgd_momentum", "step[0] == 0.0", "step[0] == 1.0"),
        ("sgd_momentum", "params.undamped * gradient", "gradient"),
        ("sgd_momentum", "return gradient + params.momentum * buffer;", "return buffer;"),
        ("sgd_momentum", "momentum_buffer[at] = buffer.x;", ""),
        ("sgd_momentum", "momentum_blocks[block] = buffer;", ""),
        ("sgd_momentum", "step[0] += 1.0;", ""),
    ]
);
