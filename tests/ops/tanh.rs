//! tanh: the hyperbolic tangent.

use crate::harness::activation_tests;

activation_tests!(
    Tanh,
    "tanh",
    Just(Default::default()),
    16.0,
    [("select(far, -far, x < vec4<f32>())", "far"), ("1.33314422036e-1", "1.3e-1"),],
    gradient[("derivative = 1.0 - x * x", "derivative = 1.0 - x")]
);
