//! The operators that have epilogues, alike.

use ndarray::ArrayD;
use wgdnn::operator::{ArraysOf, OnCpu};
use wgdnn::{Activation, BatchNorm, Conv2d, ConvTranspose2d, Error, Linear, Operator, reference};

/// An operator that has epilogues.
pub trait HasEpilogue: Operator {
    const HAS_RESIDUAL: bool;

    fn channels(&self) -> usize;
    fn activated(self, activation: Activation) -> Result<Self, Error>;
    fn added(self) -> Self;
    fn set(inputs: &mut ArraysOf<Self>, residual: Option<ArrayD<f32>>, weight: Option<ArrayD<f32>>);
    fn output(&self, inputs: &ArraysOf<Self>) -> ArrayD<f32>;
}

macro_rules! has_epilogue {
    ($operator:ident, $channels:expr) => {
        impl HasEpilogue for $operator {
            const HAS_RESIDUAL: bool = true;

            fn channels(&self) -> usize {
                let channels: fn(&[usize]) -> usize = $channels;
                channels(self.output_shape())
            }

            fn activated(self, activation: Activation) -> Result<Self, Error> {
                self.with_activation(activation)
            }

            fn added(self) -> Self {
                self.with_residual()
            }

            fn set(inputs: &mut ArraysOf<Self>, residual: Option<ArrayD<f32>>, weight: Option<ArrayD<f32>>) {
                (inputs.residual, inputs.activation_weight) = (residual, weight);
            }

            fn output(&self, inputs: &ArraysOf<Self>) -> ArrayD<f32> {
                self.compute(inputs).unwrap().outputs.output
            }
        }
    };
}
has_epilogue!(Conv2d, |shape| shape[shape.len() - 3]);
has_epilogue!(ConvTranspose2d, |shape| shape[shape.len() - 3]);
has_epilogue!(Linear, |shape| shape.last().copied().unwrap_or(1));

impl HasEpilogue for BatchNorm {
    const HAS_RESIDUAL: bool = false;

    fn channels(&self) -> usize {
        self.output_shape().get(1).copied().unwrap_or(0)
    }

    fn activated(self, activation: Activation) -> Result<Self, Error> {
        self.with_activation(activation)
    }

    fn added(self) -> Self {
        self
    }

    fn set(inputs: &mut ArraysOf<Self>, _: Option<ArrayD<f32>>, weight: Option<ArrayD<f32>>) {
        inputs.activation_weight = weight;
    }

    fn output(&self, inputs: &ArraysOf<Self>) -> ArrayD<f32> {
        self.compute(inputs).unwrap().outputs.output
    }
}

/// An activation by the operator of its name, in f32.
pub fn activate(activation: Activation, x: &ArrayD<f32>, weight: Option<&ArrayD<f32>>) -> ArrayD<f32> {
    match activation {
        Activation::Relu => reference::relu(x),
        Activation::Relu6 => reference::relu6(x),
        Activation::LeakyRelu { negative_slope } => {
            reference::leaky_relu(x, &wgdnn::LeakyReluParams { negative_slope })
        }
        Activation::Prelu { .. } => reference::prelu(x, weight.unwrap()),
        Activation::Hardswish => reference::hardswish(x),
        Activation::Silu => reference::silu(x),
        Activation::Gelu { approximate } => reference::gelu(x, &wgdnn::GeluParams { approximate }),
        Activation::Tanh => reference::tanh(x),
        Activation::Sigmoid => reference::sigmoid(x),
        other => panic!("{other:?}"),
    }
    .unwrap()
}
