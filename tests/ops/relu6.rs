//! relu6: the maximum of every element and 0, at most 6.

use crate::harness::activation_tests;

activation_tests!(
    Relu6,
    "relu6",
    Just(Default::default()),
    0.0,
    [
        ("select(relu(x), vec4<u32>(SIX), is_above_6)", "relu(x)"),
        ("(x > vec4<u32>(SIX)) & (x <= vec4<u32>(INFINITY))", "x > vec4<u32>(SIX)"),
    ],
    gradient[(" | (bits == vec4<u32>(SIX))", "")]
);
