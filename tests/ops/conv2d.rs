//! conv2d: two-dimensional convolution.

#[cfg(feature = "gpu-core")]
mod exact;
#[cfg(feature = "gpu-core")]
mod faults;
#[cfg(feature = "gpu-core")]
mod packed;
#[cfg(feature = "gpu-core")]
mod properties;
#[cfg(feature = "gpu-core")]
mod splitting;

use serde_json::json;
use wgdnn::{Conv2d, Conv2dParams, Error, Padding};

use crate::harness::{call, expect_refused, floats, golden_tests};

golden_tests!("conv2d", at_least 40, barriers problems);

/// Calls that go several rounds through every loop with a barrier.
#[cfg(feature = "gpu-core")]
fn problems() -> Vec<crate::barriers::Problem> {
    use crate::barriers::Problem;
    use crate::harness::random_integers;
    use wgdnn::{Conv2dAlgorithm, Conv2dInputs, cases::Call};

    let problem = |input: &[usize], weight: &[usize], algorithm, file| {
        let operator = Conv2d::new(input, weight, None, &Conv2dParams::default()).unwrap();
        let mut operator = operator.with_algorithm(algorithm).unwrap();
        let files: &'static [&'static str] = file;
        if files[0].ends_with("_packed") {
            operator = operator.with_packed_weight();
        }
        if files[0].ends_with("_epilogue") {
            operator = operator.with_activation(wgdnn::Activation::Relu).unwrap();
        }
        let inputs = Conv2dInputs::new(random_integers(input, 1), random_integers(weight, 2));
        Problem { call: Call::of_operator(operator, inputs), files }
    };
    // Of the weight, in several slices and splits.
    let gradient = |input: &[usize], weight: &[usize], groups, files| {
        let operator = Conv2d::new(input, weight, None, &Conv2dParams { groups, ..Default::default() }).unwrap();
        let inputs = Conv2dInputs::new(random_integers(input, 1), random_integers(weight, 2));
        let call = Call::of_operator(operator, inputs);
        let how = wgdnn::operator::Gradient::Write;
        let call = crate::gradients::backward_of(&call, 3, how, Some("grad_weight".into())).unwrap();
        Problem { call, files }
    };
    let winograd = |files| problem(&[1, 64, 8, 8], &[24, 64, 3, 3], Conv2dAlgorithm::Winograd4x4, files);
    let gemm = |input: &[usize], weight: &[usize], files| problem(input, weight, Conv2dAlgorithm::ImplicitGemm, files);
    let fused = |files| problem(&[1, 10, 12, 12], &[24, 10, 3, 3], Conv2dAlgorithm::Winograd2x2, files);
    vec![
        gemm(&[1, 4, 9, 9], &[40, 4, 3, 3], &["conv2d_gemm"]),
        gemm(&[1, 40, 64, 64], &[160, 40, 1, 1], &["conv2d_gemm"]),
        gemm(&[1, 4, 9, 9], &[40, 4, 3, 3], &["conv2d_gemm_epilogue"]),
        fused(&["conv2d_winograd2x2_fused"]),
        fused(&["conv2d_winograd2x2_fused_epilogue"]),
        winograd(&["conv2d_winograd_multiply"]),
        winograd(&["conv2d_winograd_multiply_packed"]),
        gradient(&[2, 4, 9, 9], &[40, 4, 3, 3], 1, &["conv2d_backward_weight_gemm"]),
        gradient(&[1, 160, 48, 48], &[160, 160, 1, 1], 1, &["conv2d_backward_weight_gemm"]),
        gradient(&[2, 3, 17, 17], &[3, 1, 3, 3], 3, &["conv2d_backward_weight_depthwise"]),
        gradient(&[2, 3, 18, 18], &[3, 1, 3, 3], 3, &["conv2d_backward_weight_depthwise_blocks"]),
    ]
}

/// Arrays and views of them, of any dimension and in any order.
#[test]
fn references_take_views() {
    use ndarray::{Array1, Array4};
    use wgdnn::reference;

    let pixels = Array4::from_shape_fn((2, 5, 6, 3), |(n, y, x, c)| (n * 7 + y * 5 + x * 3 + c * 11) as f32);
    let weight = Array4::from_shape_fn((4, 3, 2, 2), |(o, c, u, v)| (o + 2 * c + 3 * u + 5 * v) as f32);
    let bias = Array1::from_iter((0..8).map(|x| x as f32));
    // Channels first, and every other element of the bias.
    let image = pixels.view().permuted_axes([0, 3, 1, 2]);
    let bias = bias.slice(ndarray::s![..;2]);
    let params = Conv2dParams::default();
    let output = reference::conv2d(&image, &weight, Some(&bias), &params).unwrap();
    let owned = [image.to_owned().into_dyn(), weight.into_dyn()];
    let bias = bias.to_owned().into_dyn();
    assert_eq!(output, reference::conv2d(&owned[0], &owned[1], Some(&bias), &params).unwrap());
    assert_eq!(output[[1, 2, 0, 1]], {
        let products = (0..3).flat_map(|c| (0..2).flat_map(move |u| (0..2).map(move |v| (c, u, v))));
        products.map(|(c, u, v)| pixels[[1, u, 1 + v, c]] * owned[1][[2, c, u, v]]).sum::<f32>() + 4.0
    });
}

mod serde {
    use super::*;
    use crate::params_serde::{comes_back, config, pair};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn parameters_come_back(
            (stride, padding, dilation) in (pair(), pair(), pair()), groups in any::<usize>(),
        ) {
            for padding in [Padding::Explicit(padding), Padding::Same, Padding::Valid] {
                comes_back(&Conv2dParams { stride, padding, dilation, groups });
            }
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let op = "conv2d";
    let with = |params, input: &[usize], weight: &[usize], bias: &[usize]| {
        call(op, params, &[("input", floats(input)), ("weight", floats(weight)), ("bias", floats(bias))])
    };
    let (image, kernel, bias) = (&[1, 4, 6, 6][..], &[2, 4, 3, 3][..], &[2][..]);
    expect_refused(
        op,
        &[
            ("input", with(json!({}), &[6, 6], kernel, bias)),
            ("input", with(json!({}), &[1, 4, 0, 6], kernel, bias)),
            ("input", with(json!({}), &[1, 4, 2, 6], kernel, bias)),
            ("groups", with(json!({"groups": 3}), image, &[3, 1, 3, 3], &[3])),
            ("input", with(json!({"dilation": 3}), image, kernel, bias)),
            ("weight", with(json!({}), image, &[2, 4, 3], bias)),
            ("weight", with(json!({}), image, &[2, 3, 3, 3], bias)),
            ("weight", with(json!({}), image, &[0, 4, 3, 3], &[0])),
            ("weight", with(json!({"groups": 2}), image, kernel, bias)),
            ("groups", with(json!({"groups": 4}), image, &[2, 1, 3, 3], bias)),
            ("bias", with(json!({}), image, kernel, &[3])),
            ("bias", with(json!({}), image, kernel, &[1, 2])),
            ("groups", with(json!({"groups": 0}), image, kernel, bias)),
            ("groups", with(json!({"groups": -1}), image, kernel, bias)),
            ("stride", with(json!({"stride": 0}), image, kernel, bias)),
            ("stride", with(json!({"stride": 2, "padding": "same"}), image, kernel, bias)),
            ("padding", with(json!({"padding": -1}), image, kernel, bias)),
            ("padding", with(json!({"padding": "full"}), image, kernel, bias)),
            ("dilation", with(json!({"dilation": [0, 1]}), image, kernel, bias)),
        ],
    );
}

#[test]
fn sizes_that_overflow_are_refused() {
    let new = |input: &[usize], weight: &[usize], params| Conv2d::new(input, weight, None, &params);
    let default = Conv2dParams::default;
    for result in [
        new(&[1, 1, 8, 8], &[1 << 29, 1, 1, 1], default()),
        new(&[0, 1, 1, 1], &[8, 1, 1, 1], Conv2dParams { padding: [1 << 29, 1 << 29].into(), ..default() }),
        new(&[1 << 20, 1, 8, 8], &[1 << 20, 1, 1, 1], default()),
        new(&[1, 1, 1 << 20, 1 << 20], &[1, 1, 1, 1], default()),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { padding: [1 << 20, 1 << 20].into(), ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { padding: [usize::MAX, 0].into(), ..default() }),
        new(&[1, 1, 8, 8], &[1, 1, 3, 3], Conv2dParams { dilation: [usize::MAX, 1], ..default() }),
        new(
            &[1, 1, 8, 8],
            &[1, 1, 3, 3],
            Conv2dParams { dilation: [usize::MAX, 1], padding: Padding::Same, ..default() },
        ),
    ] {
        assert!(matches!(result, Err(Error::LimitExceeded { .. })), "{result:?}");
    }
}

/// Padding that differs before and after is that of an input padded before, by every algorithm.
#[test]
fn sides_are_padded_each_by_its_own() {
    use crate::harness::{padded, random};
    use wgdnn::{Conv2dParams, Padding, reference};

    for (sides, stride) in [([[0, 1], [2, 0]], [1, 1]), ([[1, 3], [0, 2]], [2, 1]), ([[0, 1], [0, 1]], [2, 2])] {
        let (input, weight) = (random(&[2, 4, 9, 8], 1), random(&[20, 4, 3, 3], 2));
        let [input, weight] = [input, weight].map(|array| array.mapv(|x| (x * 4.0).round()));
        let params = Conv2dParams { stride, padding: Padding::Sides(sides), ..Default::default() };
        let output = reference::conv2d(&input, &weight, None, &params).unwrap();
        let around = padded(&input, sides, 0.0);
        let alone = Conv2dParams { padding: Padding::Valid, ..params.clone() };
        assert_eq!(output, reference::conv2d(&around, &weight, None, &alone).unwrap());
        #[cfg(feature = "gpu-core")]
        {
            use wgdnn::{Conv2d, Conv2dInputs, cases::Call};
            let inputs = Conv2dInputs::new(input, weight);
            crate::harness::expect_exact(&Call::new::<Conv2d>(inputs, &params).unwrap());
        }
    }
}
