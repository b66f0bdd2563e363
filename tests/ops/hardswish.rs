//! hardswish: a piecewise swish.

use crate::harness::activation_tests;

activation_tests!(
    Hardswish,
    "hardswish",
    Just(Default::default()),
    8.0,
    [("(x + 3.0, vec4<f32>()", "(x + 3.0, vec4<f32>(-1.0)"),],
    gradient [
        ("x <= vec4<f32>(-3.0)", "x <= vec4<f32>(-4.0)"),
        ("x >= vec4<f32>(3.0)", "x >= vec4<f32>(4.0)"),
        ("grad, is_each_nan(x)", "grad, vec4<bool>()"),
    ]
);
