//! gelu: the Gaussian error linear unit.

use crate::harness::activation_tests;

activation_tests!(
    Gelu,
    "gelu",
    prop_oneof![Just(wgdnn::Approximate::None), Just(wgdnn::Approximate::Tanh)]
        .prop_map(|approximate| wgdnn::GeluParams { approximate }),
    24.0,
    [
        ("abs(x) < vec4<f32>(1.0)", "abs(x) < vec4<f32>(4.0)"),
        ("select(1.0 - tail, tail, x < vec4<f32>())", "1.0 - tail"),
        ("0.044715 * x * x", "0.04 * x * x"),
    ],
    gradient [
        ("0.39894228", "0.398"),
        ("0.134145", "0.13"),
        ("abs(x) < vec4<f32>(16.0)", "abs(x) < vec4<f32>(1.0)"),
    ]
);
