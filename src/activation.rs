//! The activations: what an operator of that name computes of each element, and what others apply to their output.

use crate::error::{Error, Result};

/// How [`gelu`](crate::gelu) is computed. Default: `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Approximate {
    /// By the error function: x (1 + erf(x / sqrt(2))) / 2.
    #[default]
    None,
    /// By the hyperbolic tangent: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
    Tanh,
}

/// A function of each element, which some operators apply to their output: see
/// [`Conv2d::with_activation`](crate::Conv2d::with_activation). Each is the operator of that name.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// As [`relu`](crate::relu).
    Relu,
    /// As [`relu6`](crate::relu6).
    Relu6,
    /// As [`leaky_relu`](crate::leaky_relu).
    LeakyRelu {
        /// The slope below 0.
        negative_slope: f64,
    },
    /// As [`prelu`](crate::prelu), with an argument `activation_weight`.
    Prelu {
        /// The number of slopes: 1, or the output's channels.
        num_parameters: usize,
    },
    /// As [`hardswish`](crate::hardswish).
    Hardswish,
    /// As [`silu`](crate::silu).
    Silu,
    /// As [`gelu`](crate::gelu).
    Gelu {
        /// Its form.
        approximate: Approximate,
    },
    /// As [`tanh`](crate::tanh).
    Tanh,
    /// As [`sigmoid`](crate::sigmoid).
    Sigmoid,
}

impl Activation {
    /// An activation without an argument, by PyTorch's name.
    #[cfg(feature = "cli")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "relu" => Activation::Relu,
            "relu6" => Activation::Relu6,
            "leaky_relu" => Activation::LeakyRelu { negative_slope: 0.01 },
            "hardswish" => Activation::Hardswish,
            "silu" => Activation::Silu,
            "gelu" => Activation::Gelu { approximate: Approximate::None },
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            _ => return None,
        })
    }

    /// Fails for a slope that is no number in float32.
    pub(crate) fn check(self, operator: &'static str) -> Result<()> {
        match self {
            Activation::LeakyRelu { negative_slope } if !(negative_slope as f32).is_finite() => {
                Err(Error::invalid(operator, "negative_slope", "a finite float32", negative_slope.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// ACTIVATION of shaders/parts/activations.wgsl.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn constant(self) -> u32 {
        match self {
            Activation::Relu => 1,
            Activation::Relu6 => 2,
            Activation::LeakyRelu { .. } | Activation::Prelu { .. } => 3,
            Activation::Hardswish => 4,
            Activation::Silu => 5,
            Activation::Gelu { approximate: Approximate::None } => 6,
            Activation::Gelu { approximate: Approximate::Tanh } => 7,
            Activation::Tanh => 8,
            Activation::Sigmoid => 9,
        }
    }

    /// The slope below 0, where it is no argument.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn slope(self) -> f32 {
        if let Activation::LeakyRelu { negative_slope } = self { negative_slope as f32 } else { 0.0 }
    }

    /// How many roundings the GPU's result may be from the definition's, for a number that is known exactly.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn roundings(self) -> usize {
        match self {
            Activation::Relu | Activation::Relu6 => 0,
            // The slope is rounded too.
            Activation::LeakyRelu { .. } | Activation::Prelu { .. } => 3,
            Activation::Hardswish => 4,
            Activation::Silu | Activation::Tanh | Activation::Sigmoid => 16,
            // Far below 0 the exponent is large, and so is its rounding.
            Activation::Gelu { .. } => 128,
        }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::texts!(Approximate: "none" => None or "tanh" => Tanh);
