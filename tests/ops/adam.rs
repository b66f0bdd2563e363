//! adam: a step of Adam or AdamW.

use serde_json::json;
use wgdnn::{Adam, AdamParams, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("adam", at_least 150);

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::*;
    use crate::harness::{expect_within, expect_within_on, random};
    use crate::properties::{agree, config, rounding};
    use crate::splitting::expect_cut;
    use proptest::prelude::*;
    use wgdnn::AdamInputs;
    use wgdnn::cases::Call;

    fn of(shape: &[usize], params: AdamParams, step: f32, seed: u64) -> Result<Call, wgdnn::cases::Refusal> {
        let scalar = |number: f32| ndarray::arr0(number).into_dyn();
        let [param, grad, average] = [0, 1, 2].map(|more| random(shape, seed ^ more));
        let square = random(shape, seed ^ 3).mapv(|x| x * x + 0.01);
        Call::new::<Adam>(AdamInputs::new(param, grad, average, square, scalar(0.01), scalar(step)), &params)
    }

    #[test]
    fn long_parameters() {
        for params in [AdamParams::default(), AdamParams::adamw()] {
            for shape in [&[1_000_003][..], &[512, 300]] {
                expect_within(&of(shape, params, 3.0, 1).unwrap(), 1e-6);
            }
        }
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        for shape in [&[1001][..], &[100, 28]] {
            expect_cut(&of(shape, AdamParams::adamw(), 1.0, 1).unwrap(), 1e-6);
        }
    }

    /// 1 - beta^t, of which float32's beta^t leaves 3 digits at first, and nothing where t is large.
    #[test]
    fn bias_corrections_have_all_digits() {
        let params = AdamParams { betas: [0.999, 0.9999], eps: 0.0, ..Default::default() };
        for step in [0.0, 1.0, 2.0, 9.0, 99.0, 1e4, 1e6, 16_777_214.0] {
            expect_within(&of(&[3, 5], params, step, 1).unwrap(), 4e-7);
        }
    }

    /// Where a kernel binds no more than 4 buffers.
    #[test]
    fn few_buffers_suffice() {
        let limits = wgdnn::wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..wgdnn::wgpu::Limits::defaults() };
        let gpu = wgdnn::Gpu::with_options_blocking(&wgdnn::GpuOptions::default().limits(limits)).unwrap();
        for params in
            [AdamParams::default(), AdamParams { weight_decay: 0.1, ..Default::default() }, AdamParams::adamw()]
        {
            expect_within_on(&gpu, &of(&[101, 3], params, 3.0, 1).unwrap(), 1e-6);
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(
            shape in crate::properties::shape(), betas in [0.0..0.999, 0.0..0.9999], eps in prop_oneof![Just(1e-8), 0.0..0.1],
            weight_decay in prop_oneof![Just(0.0), 0.0..0.5], maximize: bool, decoupled_weight_decay: bool, step in 0..2000_u16,
            seed: u64,
        ) {
            let params = AdamParams { betas, eps, weight_decay, maximize, decoupled_weight_decay };
            agree(of(&shape, params, step.into(), seed), rounding(16.0))?;
        }
    }
}

mod serde {
    use crate::params_serde::{comes_back, config, number};
    use proptest::prelude::*;
    use wgdnn::AdamParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(
            betas in [number(), number()], eps in number(), weight_decay in number(), maximize: bool, decoupled_weight_decay: bool,
        ) {
            comes_back(&AdamParams { betas, eps, weight_decay, maximize, decoupled_weight_decay });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let error = Adam::new(&[1 << 20, 1 << 20], &AdamParams::default()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { operator: "adam", argument: "param", .. }), "{error}");
}

#[test]
fn bad_input_is_refused() {
    let names = ["grad", "exp_avg", "exp_avg_sq", "lr", "step"];
    let with = |params, name: &str, shape: &[usize]| {
        let good = |of: &str| if matches!(of, "lr" | "step") { vec![] } else { vec![2, 3] };
        let of = |other: &str| if other == name { shape.to_vec() } else { good(other) };
        let mut inputs = vec![("param", floats(&[2, 3]))];
        inputs.extend(names.map(|name| (name, floats(&of(name)))));
        call("adam", params, &inputs)
    };
    let good = |params| with(params, "", &[]);
    let without = |name: &str| {
        let inputs = ["param", "grad", "exp_avg", "exp_avg_sq", "lr"].into_iter().filter(|other| *other != name);
        call("adam", json!({}), &inputs.map(|name| (name, floats(&[]))).collect::<Vec<_>>())
    };
    expect_refused(
        "adam",
        &[
            ("grad", with(json!({}), "grad", &[3, 2])),
            ("exp_avg", with(json!({}), "exp_avg", &[6])),
            ("exp_avg_sq", with(json!({}), "exp_avg_sq", &[2, 3, 1])),
            ("lr", with(json!({}), "lr", &[1])),
            ("step", with(json!({}), "step", &[1])),
            ("exp_avg", without("exp_avg")),
            ("step", without("step")),
            ("betas", good(json!({"betas": [1.0, 0.5]}))),
            ("betas", good(json!({"betas": [-0.1, 0.5]}))),
            ("betas", good(json!({"betas": 0.9}))),
            ("betas", good(json!({"betas": [0.9, 0.99, 0.999]}))),
            ("eps", good(json!({"eps": -1e-8}))),
            ("weight_decay", good(json!({"weight_decay": -1}))),
            ("weight_decay", good(json!({"weight_decay": 1e39}))),
            ("maximize", good(json!({"maximize": 0}))),
        ],
    );
}

planted_faults!(
    "adam",
    [
        ("adam", "step[0] = now;", ""),
        ("adam", "rate / bias_correction(vec2<f32>(params.beta_1, params.beta_1_rest), u32(now))", "rate"),
        ("adam", "vec2<f32>(params.beta_2, params.beta_2_rest), u32(now)", "vec2<f32>(params.beta_2, 0.0), 1u"),
        ("adam", "1.0 - rate * params.weight_decay", "1.0"),
        ("adam", "params.sign * gradient", "gradient"),
        ("adam", "g += params.weight_decay * value;", ""),
        ("adam", "value *= factors[2];", ""),
        ("adam", "vec4<bool>(params.weight_1 < 0.5)", "vec4<bool>(true)"),
        ("adam", "(params.weight_2 * g) * g", "params.weight_2 * g"),
        ("adam", "+ params.eps)", ")"),
        ("adam", "exp_avg[at] = averages.m.x;", ""),
        ("adam", "exp_avg_sq_blocks[block] = averages.v;", ""),
    ]
);
