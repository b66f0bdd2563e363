//! silu: x times its logistic function.

use crate::harness::activation_tests;

activation_tests!(
    Silu,
    "silu",
    Just(Default::default()),
    24.0,
    [("y = x * sigmoid(x)", "y = sigmoid(x)"),],
    gradient [("1.0 + x * sigmoid(-x)", "1.0 + x * sigmoid(x)"), ("derivative = sigmoid(x) * (1.0", "derivative = (1.0")]
);
