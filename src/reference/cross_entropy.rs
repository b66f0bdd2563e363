use ndarray::{ArrayD, IxDyn};

use super::{AsArray, compute, elements_of, owned, reduce};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{
    CrossEntropy, CrossEntropyBackwardInputs, CrossEntropyGradients, CrossEntropyInputs, CrossEntropyOutputs,
    CrossEntropyParams, CrossEntropyTarget, Result,
};

/// The cross entropy between the softmax of an input and targets.
///
/// # Errors
/// As [`CrossEntropy::new`] and [`CrossEntropy::check_classes`].
pub fn cross_entropy(
    input: &dyn AsArray<f32>,
    target: CrossEntropyTarget<&dyn AsArray<i64>, &dyn AsArray<f32>>,
    weight: Option<&dyn AsArray<f32>>,
    params: &CrossEntropyParams,
) -> Result<ArrayD<f32>> {
    let (operator, inputs) = CrossEntropy::of_wide_classes(inputs_of(input, target, weight), params)?;
    Ok(operator.compute(&inputs)?.outputs.output)
}

/// The gradients of [`cross_entropy`]: see [`cross_entropy_backward`](crate::cross_entropy_backward).
///
/// # Errors
/// As [`CrossEntropy::new`] and [`CrossEntropy::check_classes`], and
/// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the output's shape.
pub fn cross_entropy_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    target: CrossEntropyTarget<&dyn AsArray<i64>, &dyn AsArray<f32>>,
    weight: Option<&dyn AsArray<f32>>,
    params: &CrossEntropyParams,
) -> Result<CrossEntropyGradients<ArrayD<f32>>> {
    let (operator, inputs) = CrossEntropy::of_wide_classes(inputs_of(input, target, weight), params)?;
    let CrossEntropyInputs { input, target, weight } = inputs;
    let new = CrossEntropyBackwardInputs::new(owned(grad_output), input);
    let inputs = CrossEntropyBackwardInputs { target: Some(target), weight, ..new };
    Ok(compute::<Backward<CrossEntropy>>(&inputs, &operator.backward_of_all()?)?.outputs)
}

fn inputs_of(
    input: &dyn AsArray<f32>,
    target: CrossEntropyTarget<&dyn AsArray<i64>, &dyn AsArray<f32>>,
    weight: Option<&dyn AsArray<f32>>,
) -> CrossEntropyInputs<ArrayD<f32>, ArrayD<i64>> {
    let target = match target {
        CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes.as_view().to_owned()),
        CrossEntropyTarget::Probabilities(probabilities) => CrossEntropyTarget::Probabilities(owned(probabilities)),
    };
    CrossEntropyInputs { input: owned(input), target, weight: weight.map(owned) }
}

impl CrossEntropy {
    /// -log softmax of each class of a row.
    fn negative_logs(&self, logits: &[f64], row: usize) -> Vec<f64> {
        let logits: Vec<_> = (0..self.rows.classes).map(|class| logits[self.rows.position(row, class)]).collect();
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let argmax = logits.iter().position(|&logit| logit == largest);
        let others = logits.iter().enumerate().filter(|(class, _)| Some(*class) != argmax);
        let mut others: f64 = others.map(|(_, logit)| (logit - largest).exp()).sum();
        if !largest.is_finite() {
            // The largest class's own term would be exp(inf - inf).
            others = f64::NAN;
        }
        // The largest class's own term, 1, is added separately, so that a small loss keeps its digits.
        logits.iter().map(|logit| (largest - logit) + others.ln_1p()).collect()
    }

    /// The class of a row, unless it is ignored.
    fn class_of(&self, classes: &[i32], row: usize) -> Option<usize> {
        let class = classes[row];
        (i64::from(class) != self.params.ignore_index).then_some(class as usize)
    }

    /// The smoothed target of a class.
    fn smoothed(&self, probability: f64) -> f64 {
        let smoothing = self.params.label_smoothing;
        (1.0 - smoothing) * probability + smoothing / self.rows.classes as f64
    }

    fn weights(&self, weight: Option<&ArrayD<f32>>) -> Vec<f64> {
        weight.map_or_else(|| vec![1.0; self.rows.classes], elements_of)
    }

    /// The gradients with respect to input and target. Without the target, which is one of probabilities then, only the
    /// latter means something.
    fn gradients_of(
        &self,
        input: &ArrayD<f32>,
        target: Option<&CrossEntropyTarget<ArrayD<i32>, ArrayD<f32>>>,
        weight: Option<&ArrayD<f32>>,
        grad_output: &ArrayD<f32>,
    ) -> Result<[Vec<f64>; 2]> {
        if let Some(CrossEntropyTarget::Classes(classes)) = target {
            self.check_classes(classes.iter().map(|&class| class.into()))?;
        }
        let (classes, smoothing) = (self.rows.classes, self.params.label_smoothing);
        let (logits, weights) = (elements_of(input), self.weights(weight));
        let unknown = || CrossEntropyTarget::Probabilities(vec![0.0; logits.len()]);
        let (grads, target) = (elements_of(grad_output), target.map_or_else(unknown, flat));
        let divisor = match (&target, self.params.reduction) {
            (_, crate::Reduction::None | crate::Reduction::Sum) => 1.0,
            (CrossEntropyTarget::Probabilities(_), _) => self.rows.rows as f64,
            (CrossEntropyTarget::Classes(targets), _) => {
                let each = (0..self.rows.rows).filter_map(|row| self.class_of(targets, row));
                each.map(|class| weights[class]).sum()
            }
        };
        let mut gradients = [(); 2].map(|()| vec![0.0; logits.len()]);
        for row in 0..self.rows.rows {
            let factor = grads[if grads.len() == 1 { 0 } else { row }] / divisor;
            let logs: Vec<_> = self.negative_logs(&logits, row).iter().map(|x| -x).collect();
            // The gradient with respect to each class's logarithm.
            let mut of_logs = vec![0.0; classes];
            match &target {
                CrossEntropyTarget::Classes(targets) => {
                    let class = self.class_of(targets, row);
                    if smoothing != 0.0 {
                        let share = class.map_or(0.0, |_| smoothing / classes as f64 * factor);
                        of_logs = weights.iter().map(|weight| -share * weight).collect();
                    }
                    if let Some(class) = class {
                        of_logs[class] -= (1.0 - smoothing) * weights[class] * factor;
                    }
                }
                CrossEntropyTarget::Probabilities(probabilities) => {
                    for class in 0..classes {
                        let at = self.rows.position(row, class);
                        of_logs[class] = -factor * weights[class] * self.smoothed(probabilities[at]);
                        gradients[1][at] = -factor * weights[class] * logs[class] * (1.0 - smoothing);
                    }
                }
            }
            let sum: f64 = of_logs.iter().sum();
            for class in 0..classes {
                gradients[0][self.rows.position(row, class)] = of_logs[class] - logs[class].exp() * sum;
            }
        }
        Ok(gradients)
    }
}

/// Targets as they lie in memory.
fn flat(target: &CrossEntropyTarget<ArrayD<i32>, ArrayD<f32>>) -> CrossEntropyTarget<Vec<i32>, Vec<f64>> {
    match target {
        CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes.iter().copied().collect()),
        CrossEntropyTarget::Probabilities(array) => CrossEntropyTarget::Probabilities(elements_of(array)),
    }
}

impl OnCpu for Backward<CrossEntropy> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let (forward, weight) = (&self.forward, inputs.weight.as_ref());
        let [of_input, of_target] =
            forward.gradients_of(&inputs.input, inputs.target.as_ref(), weight, &inputs.grad_output)?;
        let shape = IxDyn(&forward.rows.shape);
        self.computed(inputs, |name| {
            let gradient = if name == "grad_input".into() { &of_input } else { &of_target };
            ArrayD::from_shape_vec(shape.clone(), gradient.clone()).expect("the shape of the scores")
        })
    }
}

impl OnCpu for CrossEntropy {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        if let CrossEntropyTarget::Classes(classes) = &inputs.target {
            self.check_classes(classes.iter().map(|&class| class.into()))?;
        }
        let (params, classes) = (&self.params, self.rows.classes);
        let (logits, weights) = (elements_of(&inputs.input), self.weights(inputs.weight.as_ref()));
        let smoothing = params.label_smoothing;
        let target = flat(&inputs.target);
        let mut losses = Vec::with_capacity(self.rows.rows);
        let mut count = 0.0;
        for row in 0..self.rows.rows {
            let negative_logs = self.negative_logs(&logits, row);
            match &target {
                CrossEntropyTarget::Classes(targets) => {
                    let Some(class) = self.class_of(targets, row) else {
                        losses.push(0.0);
                        continue;
                    };
                    let mut loss = (1.0 - smoothing) * weights[class] * negative_logs[class];
                    if smoothing != 0.0 {
                        let all: f64 = weights.iter().zip(&negative_logs).map(|(weight, x)| weight * x).sum();
                        loss += smoothing / classes as f64 * all;
                    }
                    losses.push(loss);
                    count += weights[class];
                }
                CrossEntropyTarget::Probabilities(probabilities) => {
                    let each = negative_logs.iter().enumerate().map(|(class, x)| {
                        weights[class] * self.smoothed(probabilities[self.rows.position(row, class)]) * x
                    });
                    losses.push(each.sum());
                    count += 1.0;
                }
            }
        }
        if count == 0.0 && smoothing != 0.0 {
            // PyTorch divides the smoothed and the other term each, and the other is 0 / 0.
            count = f64::NAN;
        }
        // The rows' shape fits every reduction, since a sum ignores it.
        let shape = match params.reduction {
            crate::Reduction::None => self.output_shape().to_vec(),
            _ => vec![self.rows.rows],
        };
        let losses = ArrayD::from_shape_vec(IxDyn(&shape), losses).expect("one loss for each row");
        let output = reduce(losses, count, params.reduction);
        let mut grad_input = None;
        if self.with_gradient {
            let one = ndarray::arr0(1.0).into_dyn();
            let [of_input, _] = self.gradients_of(&inputs.input, Some(&inputs.target), inputs.weight.as_ref(), &one)?;
            let of_input = of_input.into_iter().map(|x| x as f32).collect();
            let shape = IxDyn(&self.rows.shape);
            grad_input = Some(ArrayD::from_shape_vec(shape, of_input).expect("the shape of the scores"));
        }
        Ok(Computed::new(CrossEntropyOutputs { output, grad_input }))
    }
}
