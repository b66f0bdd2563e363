//! log_softmax: the logarithm of shares that add up to 1.

use crate::harness::softmax_tests;

softmax_tests!(
    LogSoftmax,
    "log_softmax",
    [
        ("log_softmax", "log_one_plus(others.y)", "log_one_plus(others.x)"),
        ("log_softmax", "merge(visited_at(visited, index), none)", "visited_at(visited, index)"),
    ]
);
