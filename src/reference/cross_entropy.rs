use ndarray::{ArrayD, IxDyn};

use super::{AsArray, elements_of, owned, reduce};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{CrossEntropy, CrossEntropyInputs, CrossEntropyOutputs, CrossEntropyParams, CrossEntropyTarget, Result};

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
    let target = match target {
        CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes.as_view().to_owned()),
        CrossEntropyTarget::Probabilities(probabilities) => CrossEntropyTarget::Probabilities(owned(probabilities)),
    };
    let inputs = CrossEntropyInputs { input: owned(input), target, weight: weight.map(owned) };
    let (operator, inputs) = CrossEntropy::of_wide_classes(inputs, params)?;
    Ok(operator.compute(&inputs)?.outputs.output)
}

impl OnCpu for CrossEntropy {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        if let CrossEntropyTarget::Classes(classes) = &inputs.target {
            self.check_classes(classes.iter().map(|&class| class.into()))?;
        }
        let params = &self.params;
        let (classes, inner) = (self.classes, self.inner);
        let logits = elements_of(&inputs.input);
        let weights = inputs.weight.as_ref().map_or_else(|| vec![1.0; classes], elements_of);
        let smoothing = params.label_smoothing;
        // The position of each class of a row in the flat input.
        let position = |row: usize, class: usize| (row / inner * classes + class) * inner + row % inner;

        let mut losses = Vec::with_capacity(self.rows);
        let mut count = 0.0;
        let target = match &inputs.target {
            CrossEntropyTarget::Classes(classes) => {
                CrossEntropyTarget::Classes(classes.iter().copied().collect::<Vec<_>>())
            }
            CrossEntropyTarget::Probabilities(probabilities) => {
                CrossEntropyTarget::Probabilities(elements_of(probabilities))
            }
        };
        for row in 0..self.rows {
            let logit = |class: usize| logits[position(row, class)];
            let largest = (0..classes).map(logit).fold(f64::NEG_INFINITY, f64::max);
            let argmax = (0..classes).find(|&class| logit(class) == largest);
            let mut others: f64 =
                (0..classes).filter(|&class| Some(class) != argmax).map(|class| (logit(class) - largest).exp()).sum();
            if !largest.is_finite() {
                // The largest class's own term would be exp(inf - inf).
                others = f64::NAN;
            }
            // -log softmax. The largest class's own term, 1, is added separately, so that a small loss keeps its
            // digits.
            let negative_log = |class: usize| (largest - logit(class)) + others.ln_1p();
            match &target {
                CrossEntropyTarget::Classes(targets) => {
                    if i64::from(targets[row]) == params.ignore_index {
                        losses.push(0.0);
                        continue;
                    }
                    let class = targets[row] as usize;
                    let mut loss = (1.0 - smoothing) * weights[class] * negative_log(class);
                    if smoothing != 0.0 {
                        let all: f64 = (0..classes).map(|class| weights[class] * negative_log(class)).sum();
                        loss += smoothing / classes as f64 * all;
                    }
                    losses.push(loss);
                    count += weights[class];
                }
                CrossEntropyTarget::Probabilities(probabilities) => {
                    losses.push(
                        (0..classes)
                            .map(|class| {
                                let probability = (1.0 - smoothing) * probabilities[position(row, class)]
                                    + smoothing / classes as f64;
                                weights[class] * probability * negative_log(class)
                            })
                            .sum(),
                    );
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
            _ => vec![self.rows],
        };
        let losses = ArrayD::from_shape_vec(IxDyn(&shape), losses).expect("one loss for each row");
        Ok(Computed::new(CrossEntropyOutputs { output: reduce(losses, count, params.reduction) }))
    }
}
