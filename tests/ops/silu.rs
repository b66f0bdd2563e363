//! silu: x times its logistic function.

use crate::harness::activation_tests;

activation_tests!(Silu, "silu", Just(Default::default()), 24.0, [("y = x * sigmoid(x)", "y = sigmoid(x)"),]);
