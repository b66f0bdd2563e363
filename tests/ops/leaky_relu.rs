//! leaky_relu: a slope for numbers below 0.

use crate::harness::activation_tests;

activation_tests!(
    LeakyRelu,
    "leaky_relu",
    (-2.0..2.0).prop_map(|negative_slope| wgdnn::LeakyReluParams { negative_slope }),
    4.0,
    [("x, x > vec4<f32>()", "x, x < vec4<f32>()"), ("select(slopes * x", "select(x"),],
    gradient [
        ("& !is_each_nan(x)", ""),
        ("vec4<f32>(params.slope), derivative, is_above_0", "derivative, vec4<f32>(params.slope), is_above_0"),
    ]
);
