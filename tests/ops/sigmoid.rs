//! sigmoid: the logistic function of every element.

use wgdnn::Sigmoid;

use crate::harness::{expect_bad_elementwise_refused, expect_overflow_refused, golden_tests, planted_faults};

golden_tests!("sigmoid", at_least 40);

#[cfg(feature = "gpu-core")]
#[test]
fn every_rest_of_a_block() {
    use crate::harness::{expect_within, random};
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    for count in (0..10).chain([4095, 4096, 4097, 70_001]) {
        expect_within(
            &Call::new::<Sigmoid>(UnaryInputs { input: random(&[count], 1).mapv(|x| x * 30.0) }, &Default::default())
                .unwrap(),
            1.2e-7,
        );
    }
}

#[cfg(feature = "gpu-core")]
mod properties {
    use super::*;
    use crate::harness::random;
    use crate::properties::{agree, config, rounding, shape};
    use proptest::prelude::*;
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn it_is_its_reference(shape in shape(), scale in 0.1..120.0_f32, seed: u64) {
            let input = random(&shape, seed).mapv(|x| x * scale);
            agree(Call::new::<Sigmoid>(UnaryInputs { input }, &Default::default()), rounding(0.5))?;
        }
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn it_is_cut_to_a_devices_bindings() {
    use crate::harness::random;
    use crate::splitting::expect_cut;
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    expect_cut(&Call::new::<Sigmoid>(UnaryInputs { input: random(&[1009], 4) }, &Default::default()).unwrap(), 2e-7);
}

#[test]
fn sizes_that_overflow_are_refused() {
    expect_overflow_refused("sigmoid", Sigmoid::new);
}

#[test]
fn bad_input_is_refused() {
    expect_bad_elementwise_refused("sigmoid");
}

#[test]
fn extremes_are_right() {
    let input = ndarray::array![f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, 1e30, -1e30, 90.0, 1e-30].into_dyn();
    let expected = ndarray::array![1.0, 0.0, 0.5, 0.5, 1.0, 0.0, 1.0, 0.5].into_dyn();
    assert_eq!(wgdnn::reference::sigmoid(&input).unwrap(), expected);
    #[cfg(feature = "gpu-core")]
    {
        use crate::harness::gpu;
        use wgdnn::{Tensor, sigmoid};
        let output = sigmoid(&Tensor::from_array(gpu(), &input).unwrap()).unwrap();
        assert_eq!(output.read_blocking().unwrap(), expected);
        let nan = sigmoid(&Tensor::from_array(gpu(), &ndarray::array![f32::NAN]).unwrap()).unwrap();
        assert!(nan.read_blocking().unwrap()[0].is_nan());
    }
}

#[cfg(feature = "gpu-core")]
#[test]
fn more_workgroups_than_one_dimension_holds() {
    use crate::harness::{expect_within, random};
    use wgdnn::UnaryInputs;
    use wgdnn::cases::Call;

    expect_within(
        &Call::new::<Sigmoid>(UnaryInputs { input: random(&[5_000_000], 5) }, &Default::default()).unwrap(),
        1.2e-7,
    );
}

#[cfg(feature = "gpu-core")]
#[test]
fn as_accurate_as_float32_allows() {
    use crate::harness::gpu;
    use wgdnn::{Tensor, sigmoid};

    // Over its whole range, relative to the result: at most 4 units in the last place, where those are normal numbers.
    let input = ndarray::ArrayD::from_shape_fn(vec![200_001], |i| (i[0] as f32 - 100_000.0) * 1e-3);
    let output = sigmoid(&Tensor::from_array(gpu(), &input).unwrap()).unwrap().read_blocking().unwrap();
    for (x, got) in input.iter().zip(&output) {
        let expected = 1.0 / (1.0 + (-f64::from(*x)).exp());
        let unit = f64::from(f32::EPSILON) * expected.max(f64::from(f32::MIN_POSITIVE));
        assert!((f64::from(*got) - expected).abs() <= 4.0 * unit, "sigmoid({x}) = {got}, not {expected}");
    }
}

planted_faults!(
    "sigmoid",
    [
        ("sigmoid", "bits, is_each_nan(x))", "bits, vec4<bool>())"),
        ("sigmoid", "if (index < params.count)", "if (index + 1u < params.count)"),
        ("sigmoid", "input_blocks[params.base / 4u + block]", "input_blocks[params.base / 4u]"),
        ("sigmoid", "x < vec4<f32>()", "x > vec4<f32>()"),
    ]
);
