//! cross_entropy: how far a softmax is from its targets.

use ndarray::ArrayD;
use serde_json::json;
use wgdnn::{CrossEntropy, CrossEntropyTarget, Error};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};
use wgdnn::cases::CaseArray;

#[cfg(feature = "gpu-core")]
mod gradients;

golden_tests!("cross_entropy", at_least 40, barriers problems);

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;
    use crate::harness::random;
    use wgdnn::{CrossEntropyInputs, CrossEntropyParams, cases::Call};

    let problem = |input, target, files| {
        let params = CrossEntropyParams { label_smoothing: 0.1, ..Default::default() };
        Problem { call: Call::new::<CrossEntropy>(CrossEntropyInputs::new(input, target), &params).unwrap(), files }
    };
    let labels = |shape: &[usize]| CrossEntropyTarget::Classes(random(shape, 4).mapv(|x| (x.abs() * 39.0) as i32));
    let probabilities = |of: &ArrayD<f32>| CrossEntropyTarget::Probabilities(of.mapv(f32::abs));
    let (blocks, strided) = (random(&[6, 4096], 1), random(&[3, 40, 30], 5));
    let files = &["cross_entropy_in_blocks", "cross_entropy"];
    let losses = [
        problem(blocks.clone(), labels(&[6]), files),
        problem(blocks, probabilities(&random(&[6, 4096], 3)), files),
        problem(strided.clone(), labels(&[3, 30]), &files[1..]),
        problem(strided.clone(), probabilities(&strided), &files[1..]),
    ];
    losses.into_iter().chain(gradients::problems()).collect()
}

#[cfg(feature = "gpu-core")]
mod accurate {
    use super::*;
    use crate::harness::{expect_within, golden_of, gpu, random, rmse_beside_pytorch};
    use wgdnn::cases::Call;
    use wgdnn::{CrossEntropyInputs, CrossEntropyParams, Reduction, Tensor, cross_entropy, reference};

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let (ours, theirs) = rmse_beside_pytorch(&golden_of("cross_entropy"), |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    fn classes(shape: &[usize], classes: i32, params: CrossEntropyParams) -> Call {
        let mut rows = shape.to_vec();
        rows.remove(1);
        let mut next = 0;
        let target = ArrayD::from_shape_simple_fn(rows, || {
            next += 1;
            next * 7919 % classes
        });
        Call::new::<CrossEntropy>(
            CrossEntropyInputs {
                weight: Some(random(&[shape[1]], 2).mapv(|x| x + 1.5)),
                ..CrossEntropyInputs::new(random(shape, 1).mapv(|x| x * 5.0), CrossEntropyTarget::Classes(target))
            },
            &params,
        )
        .unwrap()
    }

    #[test]
    fn many_classes_and_many_rows() {
        let smooth = CrossEntropyParams { label_smoothing: 0.1, ..Default::default() };
        let none = CrossEntropyParams { reduction: Reduction::None, ..smooth };
        expect_within(&classes(&[2, 100_000], 100_000, smooth), 4e-6);
        expect_within(&classes(&[3, 32_000, 2], 32_000, none), 1e-5);
        expect_within(&classes(&[2, 3, 300, 400], 3, smooth), 5e-7);
        expect_within(&classes(&[70_000, 2], 2, CrossEntropyParams::default()), 3e-7);
    }

    /// Numbers of classes around those that invocations share, in blocks of 4 and not.
    #[test]
    fn every_rest_of_the_classes() {
        let smooth = CrossEntropyParams { label_smoothing: 0.1, ..Default::default() };
        for count in [1, 3, 4, 31, 32, 33, 36, 63, 64, 1000, 1001, 4096, 4100] {
            for params in [CrossEntropyParams::default(), smooth] {
                expect_within(&classes(&[5, count as usize], count, params), 2e-6);
                expect_within(&classes(&[2, count as usize, 3], count, params), 2e-6);
            }
        }
    }

    /// Rising slowly, with each class a new largest, and flat: where roundings would add up.
    #[test]
    fn as_many_classes_as_a_vocabulary() {
        let rising = ArrayD::from_shape_fn(vec![2, 65_536], |at| at[1] as f32 * (0.1 / 65_536.0));
        for label_smoothing in [0.0, 0.1] {
            for shape in [vec![2, 65_536], vec![1, 65_536, 2]] {
                let input = rising.clone().into_shape_with_order(shape.clone()).unwrap();
                let rows: Vec<_> = shape.iter().enumerate().filter(|(axis, _)| *axis != 1).map(|(_, n)| *n).collect();
                let target = CrossEntropyTarget::Classes(ArrayD::from_elem(rows, 5));
                let weight = Some(ArrayD::from_elem(vec![65_536], 0.1));
                let params = CrossEntropyParams { label_smoothing, ..Default::default() };
                expect_within(
                    &Call::new::<CrossEntropy>(
                        CrossEntropyInputs { weight, ..CrossEntropyInputs::new(input, target) },
                        &params,
                    )
                    .unwrap(),
                    1.5e-6,
                );
            }
        }
        let probabilities = CrossEntropyTarget::Probabilities(ArrayD::from_elem(vec![2, 65_536], 1.0 / 65_536.0));
        let params = CrossEntropyParams::default();
        expect_within(
            &Call::new::<CrossEntropy>(CrossEntropyInputs::new(rising, probabilities), &params).unwrap(),
            1.5e-6,
        );
    }

    #[test]
    fn logits_in_any_order_and_infinite() {
        let rising = ArrayD::from_shape_fn(vec![2, 2000], |at| at[1] as f32 * 0.01);
        let falling = rising.mapv(|x| -x);
        let mut masked = rising.clone();
        masked.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
        let mut lowest = rising.mapv(|_| f32::NEG_INFINITY);
        lowest[[0, 1]] = f32::MIN;
        lowest[[1, 1]] = f32::MIN;
        // Steps beyond what a center reaches.
        let steep = rising.mapv(|x| x * 500.0);
        let zigzag = ArrayD::from_shape_fn(vec![2, 2000], |at| if at[1] % 2 == 0 { 30.0 } else { -1e30 });
        for input in [rising, falling, masked, lowest, steep, zigzag] {
            let target = CrossEntropyTarget::Classes(ndarray::array![1, 1].into_dyn());
            let params = CrossEntropyParams::default();
            expect_within(&Call::new::<CrossEntropy>(CrossEntropyInputs::new(input, target), &params).unwrap(), 4e-6);
        }
    }

    #[test]
    fn small_losses_keep_their_digits() {
        // log(1 + exp(-18)) is 1.5e-8; computed as -log of a softmax next to 1 it would be 0.
        let input = ndarray::array![[18.0_f32, 0.0]].into_dyn();
        let logits = Tensor::from_array(gpu(), &input).unwrap();
        let target = Tensor::from_array(gpu(), &ndarray::array![0]).unwrap();
        let target = CrossEntropyTarget::Classes(&target);
        let loss = cross_entropy(&logits, target, None, &Default::default()).unwrap().read_blocking().unwrap();
        let expected = (-18.0_f64).exp().ln_1p();
        assert!((f64::from(loss[[]]) / expected - 1.0).abs() < 1e-6, "{loss} not {expected}");
    }

    #[test]
    fn targets_that_only_the_gpu_knows_give_nan() {
        use wgdnn::{MaxPool2dParams, max_pool2d};
        // The index of the maximum, 3, made on the GPU: with 2 classes it is none.
        let image = Tensor::from_array(gpu(), &ndarray::array![[[0.0, 1.0], [2.0, 3.0]]]).unwrap();
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
        let indices = max_pool2d(&image, &params).unwrap().indices.unwrap();
        let indices = wgdnn::flatten(&indices, &Default::default()).unwrap();
        let logits = Tensor::from_array(gpu(), &ndarray::array![[1.0, 2.0]]).unwrap();
        let loss = cross_entropy(&logits, CrossEntropyTarget::Classes(&indices), None, &Default::default()).unwrap();
        assert!(loss.read_blocking().unwrap()[[]].is_nan());
    }

    #[test]
    fn infinite_and_nan_logits() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        // What PyTorch 2.11 gives for each row; the last is ignored.
        let input = ndarray::array![
            [inf, 1.0, 2.0],
            [-inf, 1.0, 2.0],
            [-inf, -inf, -inf],
            [nan, 1.0, 2.0],
            [1.0, -inf, 2.0],
            [nan, nan, inf]
        ];
        let input = input.into_dyn();
        let target = ndarray::array![1, 1, 0, 2, 1, -100].into_dyn();
        let expected = [nan, 1.3132616, nan, nan, inf, 0.0];
        let params = CrossEntropyParams { reduction: Reduction::None, ..Default::default() };
        let call =
            Call::new::<CrossEntropy>(CrossEntropyInputs::new(input, CrossEntropyTarget::Classes(target)), &params)
                .unwrap();
        for outputs in [call.run_reference(), call.run_eager(gpu())] {
            let Some(CaseArray::F32(losses)) = outputs.unwrap().remove("output") else { panic!("no losses") };
            for (got, expected) in losses.iter().zip(expected) {
                let is_same = got.is_nan() && expected.is_nan() || *got == expected || (got - expected).abs() < 2e-7;
                assert!(is_same, "{losses} is not {expected}");
            }
        }
    }

    #[test]
    fn a_smoothed_mean_over_weights_of_zero_is_nan() {
        let params = CrossEntropyParams { label_smoothing: 0.1, ..Default::default() };
        let call = Call::new::<CrossEntropy>(
            CrossEntropyInputs {
                weight: Some(ndarray::array![0.75, 0.0].into_dyn()),
                ..CrossEntropyInputs::new(
                    ndarray::array![[-0.2469, 1.3449]].into_dyn(),
                    CrossEntropyTarget::Classes(ndarray::array![1].into_dyn()),
                )
            },
            &params,
        )
        .unwrap();
        expect_within(&call, 0.0);
        assert!(matches!(&call.run_reference().unwrap()["output"], CaseArray::F32(loss) if loss[[]].is_nan()));
    }

    /// Products of a huge probability and a small weight, or the other way round, are no infinities.
    #[test]
    fn huge_probabilities_and_weights_do_not_overflow_on_the_way() {
        let call = Call::new::<CrossEntropy>(
            CrossEntropyInputs {
                weight: Some(ndarray::array![0.05, 3e38, 1.0].into_dyn()),
                ..CrossEntropyInputs::new(
                    ndarray::array![[0.0, 3.0, 1.0], [4.0, 0.5, 2.0]].into_dyn(),
                    CrossEntropyTarget::Probabilities(ndarray::array![[3e38, 0.5, 0.2], [0.1, 0.01, 0.3]].into_dyn()),
                )
            },
            &CrossEntropyParams { reduction: Reduction::None, ..Default::default() },
        )
        .unwrap();
        let CaseArray::F32(losses) = call.run_reference().unwrap().remove("output").unwrap() else { unreachable!() };
        assert!(losses.iter().all(|loss| loss.is_finite() && *loss > 1e36), "{losses}");
        expect_within(&call, 5e31);
    }

    #[test]
    fn nothing_but_ignored_rows_has_no_mean() {
        let input = random(&[3, 4], 1);
        let target = ndarray::array![-100, -100, -100].into_dyn();
        let cpu = reference::cross_entropy(&input, CrossEntropyTarget::Classes(&target), None, &Default::default());
        assert!(cpu.unwrap()[[]].is_nan());
        let target = Tensor::from_array(gpu(), &target.mapv(|class| class as i32)).unwrap();
        let logits = Tensor::from_array(gpu(), &input).unwrap();
        let loss = cross_entropy(&logits, CrossEntropyTarget::Classes(&target), None, &Default::default()).unwrap();
        assert!(loss.read_blocking().unwrap()[[]].is_nan());
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random;
    use crate::properties::{agree, config, reduction, rounding};
    use proptest::prelude::*;
    use wgdnn::cases::Call;
    use wgdnn::{CrossEntropyInputs, CrossEntropyParams};

    prop_compose! {
        fn problem()(
            batch in 0..5_usize, classes in 1..70_usize, rest in prop::collection::vec(1..5_usize, 0..3),
            is_probability: bool, has_weight: bool, reduction in reduction(),
            label_smoothing in prop_oneof![Just(0.0), 0.0..1.0_f64], ignored in prop::option::of(0..70_i64), seed: u64,
        ) -> (CrossEntropyInputs<ArrayD<f32>, ArrayD<i32>>, CrossEntropyParams) {
            let shape = [&[batch, classes][..], &rest].concat();
            let rows = [&[batch][..], &rest].concat();
            let target = if is_probability {
                CrossEntropyTarget::Probabilities(random(&shape, seed ^ 1).mapv(f32::abs))
            } else {
                let last = classes as f32 - 1.0;
                let classes = random(&rows, seed ^ 1).mapv(|x| ((x + 1.0) / 2.0 * last).round() as i32);
                CrossEntropyTarget::Classes(classes)
            };
            let ignore_index = if is_probability { -100 } else { ignored.unwrap_or(-100) };
            let weight = has_weight.then(|| random(&[classes], seed ^ 2).mapv(|x| x + 1.5));
            let input = random(&shape, seed).mapv(|x| x * 8.0);
            let params = CrossEntropyParams { ignore_index, reduction, label_smoothing };
            (CrossEntropyInputs { weight, ..CrossEntropyInputs::new(input, target) }, params)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((inputs, params) in problem()) {
            let rows = inputs.input.len() as f64;
            // A loss is up to 20 times a weight of up to 2.5; probabilities add up to classes.
            agree(Call::new::<CrossEntropy>(inputs.clone(), &params), rounding(50.0 * rows.max(1.0)))?;
            gradients::agrees_with_gradient(inputs, &params)?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::cases::Call;
    use wgdnn::{CrossEntropyInputs, CrossEntropyParams, Reduction};

    let params = CrossEntropyParams { reduction: Reduction::None, ..Default::default() };
    let input = random(&[27, 3, 7], 5);
    let classes = ArrayD::from_shape_fn(vec![27, 7], |at| ((at[0] + at[1]) % 3) as i32);
    let new = CrossEntropyInputs::new(input.clone(), CrossEntropyTarget::Classes(classes));
    let inputs = CrossEntropyInputs { weight: Some(random(&[3], 6).mapv(f32::abs)), ..new };
    expect_cut(&Call::new::<CrossEntropy>(inputs, &params).unwrap(), 1e-6);
    let target = CrossEntropyTarget::Probabilities(input.mapv(|x| x * x));
    expect_cut(&Call::new::<CrossEntropy>(CrossEntropyInputs::new(input, target), &params).unwrap(), 2e-6);
}

mod serde {
    use crate::params_serde::{comes_back, config, number, reduction};
    use proptest::prelude::*;
    use wgdnn::CrossEntropyParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(ignore_index: i64, reduction in reduction(), label_smoothing in number()) {
            comes_back(&CrossEntropyParams { ignore_index, reduction, label_smoothing });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "cross_entropy";
    let classes = |shape: &[usize], class: i64| CaseArray::I64(ArrayD::from_elem(shape, class));
    let with = |params, input: &[usize], target: &CaseArray, weight: &[usize]| {
        call(op, params, &[("input", floats(input)), ("target", target.clone()), ("weight", floats(weight))])
    };
    let (good, three) = (&classes(&[2], 1), &[3][..]);
    expect_refused(
        op,
        &[
            ("input", with(json!({}), &[], good, three)),
            ("input", with(json!({}), &[2, 0], good, &[0])),
            ("target", with(json!({}), &[2, 3], &classes(&[3], 1), three)),
            ("target", with(json!({}), &[2, 3], &classes(&[2, 1], 1), three)),
            ("target", with(json!({}), &[2, 3, 4], &classes(&[2, 3], 1), three)),
            ("target", with(json!({}), &[2, 3], &floats(&[2, 4]), three)),
            ("target", with(json!({}), &[2, 3], &classes(&[2], 3), three)),
            ("target", with(json!({}), &[2, 3], &classes(&[2], -1), three)),
            ("target", with(json!({}), &[2, 3], &classes(&[2], -2), three)),
            ("target", with(json!({"ignore_index": 7}), &[2, 3], &classes(&[2], -100), three)),
            ("weight", with(json!({}), &[2, 3], good, &[2])),
            ("label_smoothing", with(json!({"label_smoothing": 1.5}), &[2, 3], good, three)),
            ("label_smoothing", with(json!({"label_smoothing": -0.1}), &[2, 3], good, three)),
            ("ignore_index", with(json!({"ignore_index": 1}), &[2, 3], &floats(&[2, 3]), three)),
            ("reduction", with(json!({"reduction": "batchmean"}), &[2, 3], good, three)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let new = |input: &[usize], target: &[usize]| {
        CrossEntropy::new(input, CrossEntropyTarget::Classes(target), None, &Default::default())
    };
    for result in [
        new(&[1 << 20, 1 << 20], &[1 << 20]),
        new(&[1, 5_000_000], &[1]),
        new(&[usize::MAX, 2, usize::MAX], &[usize::MAX, usize::MAX]),
        new(&[0, 2, usize::MAX, usize::MAX], &[0, usize::MAX, usize::MAX]),
    ] {
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

planted_faults!(
    "cross_entropy",
    [
        ("cross_entropy", "= merge(mine, other);", "= mine;"),
        ("cross_entropy", "losses[params.rows + row.index] = count;", ""),
        ("cross_entropy", "others *= factor;", ""),
        ("cross_entropy", "class_index == params.ignore_index", "class_index == -1000"),
        ("cross_entropy_in_blocks", "let block = step * LANES + row.lane", "let block = step * LANES"),
        // What makes infinities, NaN and huge numbers come out right.
        (
            "cross_entropy",
            "product(weighted, negative_log(maximum, x, log_sum))",
            "add_pair(product(weighted, subtract(maximum, x)), product(weighted, vec2<f32>(log_sum, 0.0)))"
        ),
    ]
);
