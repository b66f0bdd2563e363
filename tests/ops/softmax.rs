//! softmax: shares that add up to 1.

use crate::harness::softmax_tests;

softmax_tests!(
    Softmax,
    "softmax",
    [
        ("softmax", "is_spoilt(visited.largest) | ", ""),
        ("softmax", "exponential(below) / (1.0 + others)", "exponential(below) / others"),
        ("softmax", "merge(visited_at(visited, index), none)", "visited_at(visited, index)"),
    ]
);
