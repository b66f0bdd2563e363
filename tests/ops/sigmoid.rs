//! sigmoid: the logistic function of every element.

use crate::harness::activation_tests;

activation_tests!(
    Sigmoid,
    "sigmoid",
    Just(Default::default()),
    16.0,
    [
        ("bits, is_each_nan(x))", "bits, vec4<bool>())"),
        ("vec4<f32>(1.0), e, x < vec4<f32>()", "vec4<f32>(1.0), e, x > vec4<f32>()"),
    ],
    gradient[("derivative = (1.0 - x) * x", "derivative = 1.0 - x")]
);

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
