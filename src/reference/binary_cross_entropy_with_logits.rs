use ndarray::{ArrayD, Zip};

use super::{AsArray, compute, owned, reduce};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::ops::broadcast::broadcast_to;
use crate::ops::losses::ElementwiseLoss;
use crate::{
    BinaryCrossEntropyWithLogits, BinaryCrossEntropyWithLogitsBackwardInputs, BinaryCrossEntropyWithLogitsInputs,
    BinaryCrossEntropyWithLogitsOutputs, BinaryCrossEntropyWithLogitsParams, LossGradients, Reduction, Result,
};

/// The binary cross entropy between the sigmoid of scores and targets.
///
/// # Errors
/// As [`BinaryCrossEntropyWithLogits::new`].
pub fn binary_cross_entropy_with_logits(
    inputs: &BinaryCrossEntropyWithLogitsInputs<&dyn AsArray<f32>>,
    params: &BinaryCrossEntropyWithLogitsParams,
) -> Result<ArrayD<f32>> {
    let inputs = BinaryCrossEntropyWithLogitsInputs {
        input: owned(inputs.input),
        target: owned(inputs.target),
        weight: inputs.weight.map(owned),
        pos_weight: inputs.pos_weight.map(owned),
    };
    Ok(compute::<BinaryCrossEntropyWithLogits>(&inputs, params)?.outputs.output)
}

/// One element: x = input, t = target, p = pos_weight, if there is one.
#[derive(Clone, Copy)]
struct Element {
    x: f64,
    t: f64,
    p: Option<f64>,
}

/// log(1 + exp(-|x|))
fn log_sum(x: f64) -> f64 {
    (-x.abs()).exp().ln_1p()
}

fn log_sigmoid(x: f64) -> f64 {
    let smaller = if x > 0.0 { 0.0 } else { x };
    smaller - log_sum(x)
}

fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

impl Element {
    /// The factor of log(sigmoid(x)).
    fn share(self) -> f64 {
        self.p.map_or(1.0, |p| (p - 1.0) * self.t + 1.0)
    }

    fn is_finite(self) -> bool {
        [self.x, self.t, self.p.unwrap_or(1.0)].iter().all(|x| x.is_finite())
    }

    /// The loss without its weight.
    fn loss(self) -> f64 {
        let Element { x, t, p } = self;
        if !self.is_finite() {
            // PyTorch's formula decides which infinities cancel.
            return (1.0 - t) * x - log_sigmoid(x) * self.share();
        }
        // The same without terms that cancel.
        let linear = if x < 0.0 { -p.unwrap_or(1.0) * t * x } else { (1.0 - t) * x };
        linear + self.share() * log_sum(x)
    }

    /// Its derivative with respect to x.
    fn of_input(self) -> f64 {
        let Element { x, t, p } = self;
        match p {
            // The same, where no digits cancel.
            _ if x > 0.0 && self.is_finite() => (1.0 - t) - self.share() * sigmoid(-x),
            None => sigmoid(x) - t,
            Some(p) => (p * t + 1.0 - t) * sigmoid(x) - p * t,
        }
    }

    /// Its derivative with respect to t.
    fn of_target(self) -> f64 {
        self.p.map_or(-self.x, |p| log_sigmoid(-self.x) - log_sigmoid(self.x) * p)
    }

    /// The size of what a loss is a sum of.
    #[cfg(feature = "gpu-core")]
    fn size(self) -> f64 {
        let Element { x, t, p } = self;
        let of_target = (p.unwrap_or(1.0) * t).abs();
        (1.0 + t.abs() + of_target) * (x.abs() + log_sum(x))
    }
}

/// A function of each element, times its weight.
fn of_each(
    common: &[usize],
    [input, target]: [&ArrayD<f32>; 2],
    [weight, pos_weight]: [&Option<ArrayD<f32>>; 2],
    of: impl Fn(Element) -> f64,
) -> ArrayD<f64> {
    let pos_weight = pos_weight.as_ref().map(|array| broadcast_to(array, common));
    let mut pos_weights = pos_weight.iter().flatten();
    let mut values = Zip::from(input)
        .and(target)
        .map_collect(|&x, &t| of(Element { x: x.into(), t: t.into(), p: pos_weights.next().copied() }));
    if let Some(weight) = weight {
        values *= &broadcast_to(weight, common);
    }
    values
}

impl OnCpu for BinaryCrossEntropyWithLogits {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let ElementwiseLoss { common, reduction, .. } = &self.loss;
        let weights = [&inputs.weight, &inputs.pos_weight];
        let losses = of_each(common, [&inputs.input, &inputs.target], weights, Element::loss);
        let count = losses.len() as f64;
        Ok(Computed::new(BinaryCrossEntropyWithLogitsOutputs { output: reduce(losses, count, *reduction) }))
    }
}

/// The gradients of [`binary_cross_entropy_with_logits`] with respect to input and target: see
/// [`binary_cross_entropy_with_logits_backward`](crate::binary_cross_entropy_with_logits_backward).
///
/// # Errors
/// As [`BinaryCrossEntropyWithLogits::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a
/// `grad_output` that has not the output's shape.
pub fn binary_cross_entropy_with_logits_backward(
    inputs: &BinaryCrossEntropyWithLogitsBackwardInputs<&dyn AsArray<f32>>,
    params: &BinaryCrossEntropyWithLogitsParams,
) -> Result<LossGradients<ArrayD<f32>>> {
    let inputs = BinaryCrossEntropyWithLogitsBackwardInputs {
        grad_output: owned(inputs.grad_output),
        input: owned(inputs.input),
        target: owned(inputs.target),
        weight: inputs.weight.map(owned),
        pos_weight: inputs.pos_weight.map(owned),
        grad_input: inputs.grad_input.map(owned),
        grad_target: inputs.grad_target.map(owned),
    };
    let shapes = BinaryCrossEntropyWithLogitsInputs {
        input: inputs.input.shape(),
        target: inputs.target.shape(),
        weight: inputs.weight.as_ref().map(|array| array.shape()),
        pos_weight: inputs.pos_weight.as_ref().map(|array| array.shape()),
    };
    let backward = BinaryCrossEntropyWithLogits::new(&shapes, params)?.backward_of_all()?;
    Ok(compute::<Backward<BinaryCrossEntropyWithLogits>>(&inputs, &backward)?.outputs)
}

impl Backward<BinaryCrossEntropyWithLogits> {
    /// grad_output times a derivative.
    fn times(&self, inputs: &ArraysOf<Self>, derivative: impl Fn(Element) -> f64) -> ArrayD<f64> {
        let ElementwiseLoss { common, reduction, .. } = &self.forward.loss;
        let weights = [&inputs.weight, &inputs.pos_weight];
        let slopes = of_each(common, [&inputs.input, &inputs.target], weights, derivative);
        let divisor = if *reduction == Reduction::Mean { slopes.len() as f64 } else { 1.0 };
        slopes * broadcast_to(&inputs.grad_output, common) / divisor
    }
}

impl OnCpu for Backward<BinaryCrossEntropyWithLogits> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        self.computed(inputs, |name| match name.field {
            "grad_target" => self.times(inputs, Element::of_target),
            _ => self.times(inputs, Element::of_input),
        })
    }
}

/// Infinity where float32 may overflow on the way.
#[cfg(feature = "gpu-core")]
fn unless_too_large(size: f64) -> f64 {
    if size <= f64::from(f32::MAX) { size } else { f64::INFINITY }
}

#[cfg(feature = "gpu-core")]
impl BinaryCrossEntropyWithLogits {
    /// The sizes of what losses are sums of, times their weights.
    pub(crate) fn sizes_of_losses(&self, inputs: &ArraysOf<Self>) -> ArrayD<f64> {
        let weights = [&inputs.weight, &inputs.pos_weight];
        let size = |element: Element| unless_too_large(element.size());
        of_each(&self.loss.common, [&inputs.input, &inputs.target], weights, size).mapv(f64::abs)
    }
}

#[cfg(feature = "gpu-core")]
impl Backward<BinaryCrossEntropyWithLogits> {
    /// The sizes of what each element of the input's and of the target's gradient is a sum of.
    pub(crate) fn sizes_of_terms(&self, inputs: &ArraysOf<Self>) -> [ArrayD<f64>; 2] {
        let of_target = |Element { t, p, .. }: Element| (p.unwrap_or(1.0) * t).abs();
        let of_input = |element: Element| {
            unless_too_large((1.0 + element.t.abs() + of_target(element)) * sigmoid(element.x) + of_target(element))
        };
        let of_target = |Element { x, p, .. }: Element| {
            unless_too_large(x.abs() + p.map_or(0.0, |p| log_sum(x) + (log_sigmoid(x) * p).abs()))
        };
        [self.times(inputs, of_input).mapv(f64::abs), self.times(inputs, of_target).mapv(f64::abs)]
    }
}
