//! What the backward passes of the convolutions share.

use std::fmt;

use ndarray::ArrayD;

use super::weight_gradient::{WeightGradient, WeightGradientPlan};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Binding, Dispatch};
use crate::operator::replay::{largest, rounding};
use crate::operator::{ArraysOf, Backward, Computed, Definition, Differentiable, OnCpu, Operator, Slots, Tolerance};
use crate::ops::epilogue::{Epilogue, Finish, Finished};
use crate::ops::sums::ChannelSums;
use crate::shape::ImageShape;

/// How the gradients of a convolution are computed on a device, as far as they are wanted.
#[derive(Debug, Clone, PartialEq)]
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

/// A convolution that computes the gradient of an input, and its plan.
#[derive(Debug, Clone, PartialEq)]
pub struct InputGradient<O, P> {
    pub(crate) operator: O,
    pub(crate) plan: Finished<P>,
}

impl<O, P: fmt::Display> fmt::Display for InputGradient<O, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.main.fmt(f)
    }
}

impl<O: Operator<Plan = Finished<P>>, P> InputGradient<O, P> {
    /// The plan of an operator that was made with [`accumulating`].
    pub fn new(operator: O, on: &Capabilities, adds: bool) -> Self {
        // The output's own buffer is the residual, so nothing comes before or after.
        let finish = if adds { Finish::Apart { dispatches: 0 } } else { Finish::None };
        InputGradient { plan: Finished { main: operator.plan(on).main, finish }, operator }
    }

    pub fn workspace(&self) -> usize {
        self.operator.declare(&self.plan).workspace_elements()
    }
}

/// The epilogue of a convolution whose sums are added to what its output holds, or not.
pub(crate) fn accumulating(adds: bool) -> Epilogue {
    Epilogue { has_residual: adds, activation: None }
}

/// The slots of a backward pass from an output to an input, cut along the batch.
pub(crate) fn slots<O: Differentiable>(
    backward: &Backward<O>,
    [input, output]: [&ImageShape; 2],
    workspace: usize,
) -> Slots<Backward<O>> {
    let [input_share, output_share] = [input, output].map(|image| image.channels * image.rows * image.cols);
    let slots = backward.slots(|name| match name {
        "grad_output" => Some(output_share),
        "input" | "grad_input" => Some(input_share),
        _ => None,
    });
    slots.cut(input.batch).with_workspace(workspace)
}

/// How far rounding may bring the gradients: that of the input from sums of so many `products`, and of what a transform
/// rounds `beside` them, and that of the weight from sums of so many `terms`.
pub(crate) fn tolerance<'a, O: Differentiable>(
    backward: &'a Backward<O>,
    inputs: &ArraysOf<Backward<O>>,
    computed: &Computed<Backward<O>>,
    [products, terms]: [usize; 2],
    beside: f64,
) -> Result<Tolerance<'a>>
where
    Backward<O>: OnCpu + Definition<Inputs = O::BackwardInputs, Outputs = O::Gradients>,
{
    let size = backward.largest_by_name([backward.of_magnitudes(inputs, computed)?]);
    Ok(Box::new(move |name, index| match name {
        "grad_input" => rounding(products + 3, 2.0 * size(name, index) + beside),
        "grad_weight" => rounding(terms + 3, size(name, index)),
        _ => rounding(ChannelSums::roundings() + 3, size(name, index)),
    }))
}

/// What a transform of the input rounds beside the products of an output, as for the convolution itself.
pub(crate) fn beside_products(grad_output: &ArrayD<f32>, weight: Option<&ArrayD<f32>>) -> f64 {
    100.0 * largest(grad_output) * weight.map_or(0.0, largest)
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
