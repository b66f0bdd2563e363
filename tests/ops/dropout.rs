//! dropout: elements set to 0 at random, by bits that are documented.

use ndarray::ArrayD;
use serde_json::json;
use wgdnn::cases::CaseArray;
use wgdnn::{Dropout, DropoutParams, generator_state, reference};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};

golden_tests!("dropout", at_least 150);

/// Which elements a dropout keeps of so many.
fn kept(count: usize, seed: u64, offset: u64, p: f64) -> Vec<bool> {
    let generator = ndarray::arr1(&generator_state(seed, offset));
    let ones = ArrayD::<f32>::ones(vec![count]);
    let (output, _) = reference::dropout(&ones, &generator, &DropoutParams { p, training: true }).unwrap();
    output.iter().map(|x| *x != 0.0).collect()
}

/// How far a number of successes lies from what is expected, in standard deviations.
fn deviations(successes: usize, of: usize, probability: f64) -> f64 {
    let of = of as f64;
    (successes as f64 - of * probability).abs() / (of * probability * (1.0 - probability)).sqrt()
}

/// The bits are golden data; these are statistics of what the reference makes of them. With fixed seeds they cannot fail by
/// chance.
#[test]
fn rates_are_those_that_are_asked_for() {
    let count = 1 << 20;
    for p in [0.01, 0.1, 0.25, 0.5, 0.9, 0.999] {
        for (seed, offset) in [(0, 0), (1, 0), (1 << 40, 7), (u64::MAX, u64::MAX - 5)] {
            let kept = kept(count, seed, offset, p).into_iter().filter(|kept| *kept).count();
            assert!(deviations(kept, count, 1.0 - p) < 4.0, "p {p}, seed {seed}: {kept} of {count}");
        }
    }
}

/// Neighbours, words, seeds and consecutive calls are independent: as many pairs agree as of independent elements.
#[test]
fn elements_are_independent() {
    let count = 1 << 18;
    let agree = |a: &[bool], b: &[bool]| {
        let same = a.iter().zip(b).filter(|(a, b)| a == b).count();
        deviations(same, a.len().min(b.len()), 0.5)
    };
    let first = kept(count, 3, 0, 0.5);
    for lag in [1, 2, 3, 4, 5, 8, 32, 64, 1000, 4096] {
        assert!(agree(&first, &first[lag..]) < 4.0, "lag {lag}");
    }
    // Another seed, and the call that comes next.
    for (seed, offset) in [(4, 0), (3 | 1 << 32, 0), (3, count as u64 / 4), (3, 1 << 32)] {
        assert!(agree(&first, &kept(count, seed, offset, 0.5)) < 4.0, "seed {seed}, offset {offset}");
    }
    // Runs of kept and dropped elements.
    let runs = first.chunk_by(|a, b| a == b).count();
    assert!(deviations(runs - 1, count - 1, 0.5) < 4.0, "{runs} runs");
    // Offsets count blocks of 4.
    assert_eq!(first[400..], kept(count - 400, 3, 100, 0.5));
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::*;
    use crate::gradients::backward_of;
    use crate::harness::{expect_within, gpu, random};
    use crate::properties::{agree, config};
    use crate::splitting::expect_cut;
    use proptest::prelude::*;
    use wgdnn::cases::Call;
    use wgdnn::operator::Gradient;
    use wgdnn::{DropoutInputs, Tensor, dropout, dropout_backward};

    fn of(shape: &[usize], params: DropoutParams, seed: u64) -> Call {
        let generator = ndarray::arr1(&generator_state(seed, seed.wrapping_mul(0x1234_5678_9abc_def1))).into_dyn();
        Call::new::<Dropout>(DropoutInputs { input: random(shape, seed), generator }, &params).unwrap()
    }

    #[test]
    fn long_and_cut_arrays() {
        let params = DropoutParams { p: 0.3, training: true };
        for shape in [&[1_000_003][..], &[3, 5, 7]] {
            expect_within(&of(shape, params, 1), 2e-7);
        }
        let call = of(&[1003], params, 1);
        expect_cut(&call, 2e-7);
        expect_cut(&backward_of(&call, 1, Gradient::Write, None).unwrap(), 2e-7);
        expect_cut(&backward_of(&call, 1, Gradient::Accumulate, None).unwrap(), 4e-7);
    }

    /// The next call draws other bits, and each backward pass those of its own call.
    #[test]
    fn calls_follow_each_other() {
        let generator = Tensor::from_slice(gpu(), &generator_state(5, u64::MAX - 30), &[4]).unwrap();
        let ones = Tensor::from_slice(gpu(), &[1.0; 102], &[102]).unwrap();
        let params = DropoutParams::default();
        let calls = [0; 3].map(|_| dropout(&ones, &generator, &params).unwrap());
        assert_eq!(generator.read_vec_blocking().unwrap(), generator_state(5, 47));
        let outputs = calls.each_ref().map(|call| call.output.read_vec_blocking().unwrap());
        assert!(outputs[0] != outputs[1] && outputs[1] != outputs[2]);
        for (call, output) in calls.iter().zip(&outputs) {
            let gradient = dropout_backward(&ones, &call.saved_generator, &params).unwrap();
            assert_eq!(&gradient.read_vec_blocking().unwrap(), output);
        }
        let off = DropoutParams { training: false, ..params };
        assert_eq!(dropout(&ones, &generator, &off).unwrap().output.read_vec_blocking().unwrap(), [1.0; 102]);
        assert_eq!(generator.read_vec_blocking().unwrap(), generator_state(5, 47));
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(
            shape in crate::properties::shape(), p in prop_oneof![0.0..=1.0, Just(0.0), Just(1.0)], training: bool, seed: u64,
        ) {
            agree(Ok(of(&shape, DropoutParams { p, training }, seed)), f64::INFINITY)?;
            let call = of(&shape, DropoutParams { p: p / 2.0, training }, seed);
            agree(Ok(call), crate::properties::rounding(2.0))?;
        }
    }
}

mod serde {
    use crate::params_serde::{comes_back, config, number};
    use proptest::prelude::*;
    use wgdnn::DropoutParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(p in number(), training: bool) {
            comes_back(&DropoutParams { p, training });
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    crate::harness::expect_overflow_refused("dropout", |shape| Dropout::new(shape, &DropoutParams::default()));
}

#[test]
fn bad_input_is_refused() {
    let words = |count: usize| CaseArray::I64(ArrayD::zeros(vec![count]));
    let with = |params, generator| call("dropout", params, &[("input", floats(&[3])), ("generator", generator)]);
    expect_refused(
        "dropout",
        &[
            ("input", call("dropout", json!({}), &[("generator", words(4))])),
            ("generator", call("dropout", json!({}), &[("input", floats(&[3]))])),
            ("generator", with(json!({}), words(3))),
            ("generator", with(json!({}), words(0))),
            ("generator", with(json!({}), CaseArray::I64(ArrayD::zeros(vec![2, 2])))),
            ("generator", with(json!({}), CaseArray::I64(ArrayD::from_elem(vec![4], 1 << 31)))),
            ("generator", with(json!({}), floats(&[4]))),
            ("p", with(json!({"p": -0.1}), words(4))),
            ("p", with(json!({"p": 1.5}), words(4))),
            ("p", with(json!({"p": null}), words(4))),
            ("training", with(json!({"training": 1}), words(4))),
        ],
    );
}

planted_faults!(
    "dropout",
    [
        ("dropout", "round < 10u", "round < 9u"),
        ("dropout", "middle_low >> 16u", "0u"),
        ("dropout", "select(0u, 1u, low < b)", "0u"),
        ("dropout", "vec2<u32>(generator[0], generator[1])", "vec2<u32>(generator[0], 0u)"),
        ("dropout", "words < vec4<u32>(params.threshold)", "words <= vec4<u32>(params.threshold + 1000000u)"),
        ("dropout", "vec4<f32>(params.scale)", "vec4<f32>(1.0)"),
        ("dropout", "if (4u * block >= end)", "if (4u * block + 4u >= end)"),
        ("dropout", "saved_generator[word] = next_generator[word];", ""),
        ("dropout", "next_generator[2] = offset.x;", ""),
        ("dropout", "next_generator[3] = offset.y;", ""),
    ]
);
