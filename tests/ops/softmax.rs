//! softmax: shares that add up to 1.

use crate::harness::softmax_tests;

softmax_tests!(
    Softmax,
    "softmax",
    [
        ("softmax", "is_spoilt(visited.largest) | ", ""),
        ("softmax", "exponential(below) / (1.0 + others)", "exponential(below) / others"),
        ("softmax_backward", "(grad - sum) * y", "grad * y - sum"),
        ("softmax_backward", "return grad * y;", "return grad;"),
        ("softmax_backward", "number - outer * step", "number"),
        ("softmax_backward_in_blocks", "given[row.begin / 4u + select(0u, block, is_inside)]", "given[row.begin / 4u]"),
        ("softmax_backward", "select(vec4<f32>(), terms, classes_of", "select(terms, terms, classes_of"),
        ("softmax", "merge(visited_at(visited, index), none)", "visited_at(visited, index)"),
    ]
);
