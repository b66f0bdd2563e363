//! log_softmax: the logarithm of shares that add up to 1.

use crate::harness::softmax_tests;

softmax_tests!(
    LogSoftmax,
    "log_softmax",
    [
        ("log_softmax", "log_one_plus(others.y)", "log_one_plus(others.x)"),
        ("log_softmax_backward", "grad - exponential(y) * sum", "grad - y * sum"),
        ("log_softmax_backward", "select(result, y, is_each_nan(y))", "result"),
        ("log_softmax", "merge(visited_at(visited, index), none)", "visited_at(visited, index)"),
    ]
);
