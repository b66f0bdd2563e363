//! nll_loss: how unlikely targets are, by log-probabilities.

use ndarray::ArrayD;
use serde_json::json;
use wgdnn::{Error, NllLoss};

use crate::harness::{call, expect_refused, floats, golden_tests, planted_faults};
use wgdnn::cases::CaseArray;

golden_tests!("nll_loss", at_least 200, barriers problems);

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;
    use wgdnn::operator::Gradient;

    let call = on_gpu::of(&[5001, 3], wgdnn::NllLossParams::default());
    let backward = crate::gradients::backward_of(&call, 1, Gradient::Write, None).unwrap();
    vec![Problem { call, files: &["nll_loss"] }, Problem { call: backward, files: &["nll_loss_factor"] }]
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use super::*;
    use crate::gradients::backward_of;
    use crate::harness::{expect_within, golden_of, gpu, random, rmse_beside_pytorch};
    use crate::properties::{agree, config, reduction};
    use crate::splitting::expect_cut;
    use proptest::prelude::*;
    use wgdnn::cases::Call;
    use wgdnn::operator::Gradient;
    use wgdnn::{NllLossInputs, NllLossParams, Reduction, Tensor, nll_loss, nll_loss_backward, reference};

    /// A call with weights and a class for each row, in turn.
    pub fn of(shape: &[usize], params: NllLossParams) -> Call {
        let mut rows = shape.to_vec();
        let classes = rows.remove(1);
        let mut next = 0;
        let target = ArrayD::from_shape_simple_fn(rows, || {
            next += 1;
            (next * 7919 % classes) as i32
        });
        let input = random(shape, 1).mapv(|x| (x - 1.0) * 5.0);
        let weight = Some(random(&[classes], 2).mapv(|x| x + 1.5));
        Call::new::<NllLoss>(NllLossInputs { weight, ..NllLossInputs::new(input, target) }, &params).unwrap()
    }

    #[test]
    fn no_worse_than_pytorchs_float32() {
        let (ours, theirs) = rmse_beside_pytorch(&golden_of("nll_loss"), |call| call.run_eager(gpu()));
        assert!(ours <= theirs, "relative RMSE {ours:e}, PyTorch's float32 has {theirs:e}");
    }

    #[test]
    fn many_rows() {
        let mean = NllLossParams::default();
        for (shape, params, atol) in [
            (&[1_000_000, 3][..], mean, 1e-6),
            (&[2, 3, 700, 800], mean, 1e-6),
            (&[1000, 12], NllLossParams { reduction: Reduction::Sum, ..mean }, 1e-3),
            (&[300, 7, 11], NllLossParams { reduction: Reduction::None, ..mean }, 2e-6),
        ] {
            let call = of(shape, params);
            expect_within(&call, atol);
            for how in [Gradient::Write, Gradient::Accumulate] {
                expect_within(&backward_of(&call, 1, how, None).unwrap(), 2e-6);
            }
        }
    }

    #[test]
    fn it_is_cut_to_a_devices_bindings() {
        for shape in [&[27, 3, 7][..], &[101, 12]] {
            let call = of(shape, NllLossParams { reduction: Reduction::None, ..Default::default() });
            expect_cut(&call, 1e-6);
            expect_cut(&backward_of(&call, 1, Gradient::Write, None).unwrap(), 1e-6);
            expect_cut(&backward_of(&call, 1, Gradient::Accumulate, None).unwrap(), 1e-6);
        }
    }

    #[test]
    fn targets_that_only_the_gpu_knows_give_nan() {
        use wgdnn::{MaxPool2dParams, max_pool2d};
        // The index of the maximum, 3, made on the GPU: with 2 classes it is none.
        let image = Tensor::from_array(gpu(), &ndarray::array![[[0.0, 1.0], [2.0, 3.0]]]).unwrap();
        let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
        let indices = max_pool2d(&image, &params).unwrap().indices.unwrap();
        let indices = wgdnn::flatten(&indices, &Default::default()).unwrap();
        let logs = Tensor::from_array(gpu(), &ndarray::array![[-1.0, -2.0]]).unwrap();
        let params = NllLossParams { reduction: Reduction::Sum, ..Default::default() };
        for params in [NllLossParams::default(), params] {
            let loss = nll_loss(&logs, &indices, None, &params).unwrap();
            assert!(loss.read_blocking().unwrap()[[]].is_nan());
            let grad_output = Tensor::from_slice(gpu(), &[1.0], &[]).unwrap();
            let gradient = nll_loss_backward(&grad_output, &indices, None, &[1, 2], &params).unwrap();
            assert!(gradient.read_blocking().unwrap()[[0, 0]].is_nan());
        }
    }

    /// What PyTorch 2.11 gives where a mean divides by 0.
    #[test]
    fn gradients_of_means_of_nothing() {
        let grad_output = ndarray::arr0(2.0_f32).into_dyn();
        let weight = ndarray::array![0.0_f32, 1.0].into_dyn();
        let weight = Some(&weight as &dyn reference::AsArray<f32>);
        for (target, weight, expected) in [
            ([-100, -100], None, [0.0; 4]),
            ([0, -100], weight, [f32::NAN, 0.0, 0.0, 0.0]),
            ([0, 0], weight, [f32::NAN, 0.0, f32::NAN, 0.0]),
        ] {
            let target = ndarray::arr1(&target).into_dyn();
            let params = NllLossParams::default();
            let cpu = reference::nll_loss_backward(&grad_output, &target, weight, &[2, 2], &params).unwrap();
            let [grad, weight] = [Some(&grad_output as _), weight]
                .map(|array| array.map(|array| Tensor::from_array(gpu(), &array.as_view()).unwrap()));
            let target = Tensor::from_array(gpu(), &target.mapv(|class| class as i32)).unwrap();
            let made = nll_loss_backward(&grad.unwrap(), &target, weight.as_ref(), &[2, 2], &params).unwrap();
            for gradient in [cpu, made.read_blocking().unwrap()] {
                let is_right = |(got, expected): (&f32, f32)| *got == expected || got.is_nan() && expected.is_nan();
                assert!(gradient.iter().zip(expected).all(is_right), "{gradient} is not {expected:?}");
            }
        }
    }

    prop_compose! {
        fn problem()(
            batch in 0..5_usize, classes in 1..70_usize, rest in prop::collection::vec(1..5_usize, 0..3), has_weight: bool,
            reduction in reduction(), ignored in prop::option::of(0..70_i64), seed: u64,
        ) -> (NllLossInputs<ArrayD<f32>, ArrayD<i32>>, NllLossParams) {
            let shape = [&[batch, classes][..], &rest].concat();
            let rows = [&[batch][..], &rest].concat();
            let last = classes as f32 - 1.0;
            let target = random(&rows, seed ^ 1).mapv(|x| ((x + 1.0) / 2.0 * last).round() as i32);
            let weight = has_weight.then(|| random(&[classes], seed ^ 2).mapv(|x| x + 1.5));
            let input = random(&shape, seed).mapv(|x| (x - 1.0) * 8.0);
            let params = NllLossParams { ignore_index: ignored.unwrap_or(-100), reduction };
            (NllLossInputs { weight, ..NllLossInputs::new(input, target) }, params)
        }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference((inputs, params) in problem()) {
            let rows = inputs.input.len() as f64;
            // A loss is up to 16 times a weight of up to 2.5.
            agree(Call::new::<NllLoss>(inputs, &params), crate::properties::rounding(40.0 * rows.max(1.0)))?;
        }
    }
}

mod serde {
    use crate::params_serde::{comes_back, config, reduction};
    use proptest::prelude::*;
    use wgdnn::NllLossParams;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(ignore_index: i64, reduction in reduction()) {
            comes_back(&NllLossParams { ignore_index, reduction });
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "nll_loss";
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
            ("target", with(json!({}), &[3], &classes(&[3], 1), three)),
            ("target", with(json!({}), &[2, 3], &floats(&[2, 3]), three)),
            ("target", with(json!({}), &[2, 3], &classes(&[2], 3), three)),
            ("target", with(json!({}), &[2, 3], &classes(&[2], -1), three)),
            ("target", with(json!({"ignore_index": 7}), &[2, 3], &classes(&[2], -100), three)),
            ("weight", with(json!({}), &[2, 3], good, &[2])),
            ("ignore_index", with(json!({"ignore_index": 1.5}), &[2, 3], good, three)),
            ("reduction", with(json!({"reduction": "batchmean"}), &[2, 3], good, three)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let new = |input: &[usize], target: &[usize]| NllLoss::new(input, target, None, &Default::default());
    for result in [
        new(&[1 << 20, 1 << 20], &[1 << 20]),
        new(&[usize::MAX, 2, usize::MAX], &[usize::MAX, usize::MAX]),
        new(&[0, 2, usize::MAX, usize::MAX], &[0, usize::MAX, usize::MAX]),
    ] {
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

planted_faults!(
    "nll_loss",
    [
        ("nll_loss", "class_index == params.ignore_index", "class_index == -1000"),
        ("nll_loss", "row - item * params.inner", "row"),
        ("nll_loss", "w = weight[class_index];", ""),
        ("nll_loss", "sums[lane] = add_both(sums[lane], sums[lane + width]);", ""),
        ("nll_loss", "count == 0.0 && loss == 0.0", "count == 0.0"),
        ("nll_loss_factor", "class_index == params.ignore_index", "class_index == -1000"),
        ("nll_loss_factor", "return weight[class_index];", "return 1.0;"),
        ("nll_loss_backward", "class_index == params.ignore_index", "class_index == -1000"),
        ("nll_loss_backward", "row - item * params.inner", "row"),
        ("nll_loss_backward", "row * params.factor_stride", "0u"),
        ("nll_loss_backward", "gradient[params.gradient_base + index] = 0.0;", ""),
        ("nll_loss_backward", "gradient_blocks[params.gradient_base / 4u + block] = vec4<f32>();", ""),
    ]
);
