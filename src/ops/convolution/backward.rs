//! What the backward passes of the convolutions share.

use std::fmt;

use super::weight_gradient::{WeightGradient, WeightGradientPlan};
use crate::gpu::kernel::{Binding, Dispatch};
use crate::ops::epilogue::{Epilogue, Finish, Finished};
use crate::ops::sums::ChannelSums;

/// How the gradients of a convolution are computed on a device, as far as they are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvolutionBackwardPlan<P> {
    pub(crate) input: Option<P>,
    pub(crate) weight: Option<WeightGradientPlan>,
    pub(crate) has_bias: bool,
}

impl<P: fmt::Display> fmt::Display for ConvolutionBackwardPlan<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(plan) = &self.input {
            write!(f, "input: {plan}")?;
            separator = "; ";
        }
        if let Some(plan) = &self.weight {
            write!(f, "{separator}weight: {plan}")?;
            separator = "; ";
        }
        if self.has_bias { write!(f, "{separator}bias: sums of channels") } else { Ok(()) }
    }
}

/// The epilogue and the plan of a convolution that computes a gradient, which is added to what is there.
pub(crate) fn adding<P>(adds: bool, main: P) -> (Epilogue, Finished<P>) {
    // The output's own buffer is the residual, so nothing comes before or after.
    let finish = if adds { Finish::Apart { dispatches: 0 } } else { Finish::None };
    (Epilogue { has_residual: adds, activation: None }, Finished { main, finish })
}

/// The gradients of weight and bias.
pub(crate) struct WeightAndBias<'a> {
    pub weight: WeightGradient<'a>,
    pub bias: ChannelSums,
}

/// What they are computed from, in a part of the call.
pub(crate) struct WeightAndBiasArguments {
    pub image: Option<Binding>,
    pub pixels: Option<Binding>,
    pub grad_output: Binding,
    pub grad_weight: Option<Binding>,
    pub grad_bias: Option<Binding>,
    pub workspace: Binding,
    /// Whether the gradients of weight and bias are added to what is there.
    pub adds: [bool; 2],
}

impl WeightAndBias<'_> {
    pub fn workspace<P>(&self, plan: &ConvolutionBackwardPlan<P>) -> usize {
        let weight = plan.weight.as_ref().map_or(0, |plan| self.weight.workspace(plan));
        weight.max(if plan.has_bias { self.bias.workspace() } else { 0 })
    }

    pub fn dispatches<P>(
        &self,
        plan: &ConvolutionBackwardPlan<P>,
        images: usize,
        of: &WeightAndBiasArguments,
        add: &mut dyn FnMut(Dispatch),
    ) {
        if let (Some(plan), Some(image), Some(pixels), Some(gradient)) =
            (&plan.weight, of.image, of.pixels, of.grad_weight)
        {
            self.weight.dispatches(plan, images, [image, pixels, gradient], of.workspace, of.adds[0], add);
        }
        if let Some(gradient) = of.grad_bias {
            let sums = ChannelSums { outer: images, ..self.bias };
            sums.dispatches(of.grad_output, gradient, of.workspace, 0, of.adds[1], add);
        }
    }
}
