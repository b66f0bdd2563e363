use ndarray::{ArrayD, IxDyn};

use super::{AsArray, elements_of, reduce};
use crate::{CrossEntropy, CrossEntropyParams, CrossEntropyTarget, Result};

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
    let view = match target {
        CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes.as_view()),
        CrossEntropyTarget::Probabilities(probabilities) => CrossEntropyTarget::Probabilities(probabilities.as_view()),
    };
    let shapes = match &view {
        CrossEntropyTarget::Classes(classes) => CrossEntropyTarget::Classes(classes.shape()),
        CrossEntropyTarget::Probabilities(probabilities) => CrossEntropyTarget::Probabilities(probabilities.shape()),
    };
    let weight_view = weight.map(|weight| weight.as_view());
    let weight_shape = weight_view.as_ref().map(|weight| weight.shape());
    let operator = CrossEntropy::new(input.as_view().shape(), shapes, weight_shape, params)?;
    if let CrossEntropyTarget::Classes(classes) = &view {
        operator.check_classes(classes.iter().copied())?;
    }

    let (classes, inner) = (operator.classes, operator.inner);
    let logits = elements_of(input);
    let weights = weight.map_or_else(|| vec![1.0; classes], elements_of);
    let smoothing = params.label_smoothing;
    // Where each class of a row is in the flat input.
    let position = |row: usize, class: usize| (row / inner * classes + class) * inner + row % inner;

    let mut losses = Vec::with_capacity(operator.rows);
    let mut count = 0.0;
    let target = match view {
        CrossEntropyTarget::Classes(view) => CrossEntropyTarget::Classes(view.iter().copied().collect::<Vec<_>>()),
        CrossEntropyTarget::Probabilities(view) => CrossEntropyTarget::Probabilities(elements_of(&view)),
    };
    for row in 0..operator.rows {
        let logit = |class: usize| logits[position(row, class)];
        let largest = (0..classes).map(logit).fold(f64::NEG_INFINITY, f64::max);
        let argmax = (0..classes).find(|&class| logit(class) == largest);
        let mut others: f64 =
            (0..classes).filter(|&class| Some(class) != argmax).map(|class| (logit(class) - largest).exp()).sum();
        if !largest.is_finite() {
            // The largest's own term is exp(inf - inf).
            others = f64::NAN;
        }
        // -log softmax; with the largest term's own 1 apart, so that a small loss keeps its digits.
        let negative_log = |class: usize| (largest - logit(class)) + others.ln_1p();
        match &target {
            CrossEntropyTarget::Classes(targets) => {
                if targets[row] == params.ignore_index {
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
                            let probability =
                                (1.0 - smoothing) * probabilities[position(row, class)] + smoothing / classes as f64;
                            weights[class] * probability * negative_log(class)
                        })
                        .sum(),
                );
                count += 1.0;
            }
        }
    }
    if count == 0.0 && smoothing != 0.0 {
        // PyTorch divides the smoothed and the other part each, and the other is 0 / 0.
        count = f64::NAN;
    }
    // The rows' shape holds for every reduction; a sum does not look at it.
    let shape = match params.reduction {
        crate::Reduction::None => operator.output_shape(),
        _ => vec![operator.rows],
    };
    let losses = ArrayD::from_shape_vec(IxDyn(&shape), losses).expect("one loss for each row");
    Ok(reduce(losses, count, params.reduction))
}
