use ndarray::{ArrayD, IxDyn};

use super::{AsArray, compute, elements_of, owned, reduce};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, OnCpu};
use crate::{NllLoss, NllLossBackwardInputs, NllLossInputs, NllLossOutputs, NllLossParams, Reduction, Result};

/// The negative log-likelihood of target classes by log-probabilities.
///
/// # Errors
/// As [`NllLoss::new`] and [`NllLoss::check_classes`].
pub fn nll_loss(
    input: &dyn AsArray<f32>,
    target: &dyn AsArray<i64>,
    weight: Option<&dyn AsArray<f32>>,
    params: &NllLossParams,
) -> Result<ArrayD<f32>> {
    let inputs = NllLossInputs { input: owned(input), target: target.as_view().to_owned(), weight: weight.map(owned) };
    let (operator, inputs) = NllLoss::of_wide_classes(inputs, params)?;
    Ok(operator.compute(&inputs)?.outputs.output)
}

/// The gradient of [`nll_loss`] with respect to its input, of this shape: see
/// [`nll_loss_backward`](crate::nll_loss_backward).
///
/// # Errors
/// As [`NllLoss::new`] and [`NllLoss::check_classes`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for
/// a `grad_output` that has not the output's shape.
pub fn nll_loss_backward(
    grad_output: &dyn AsArray<f32>,
    target: &dyn AsArray<i64>,
    weight: Option<&dyn AsArray<f32>>,
    input: &[usize],
    params: &NllLossParams,
) -> Result<ArrayD<f32>> {
    let inputs = NllLossInputs {
        input: ArrayD::zeros(IxDyn(input)),
        target: target.as_view().to_owned(),
        weight: weight.map(owned),
    };
    let (operator, NllLossInputs { target, weight, .. }) = NllLoss::of_wide_classes(inputs, params)?;
    let inputs = NllLossBackwardInputs { weight, ..NllLossBackwardInputs::new(owned(grad_output), target) };
    let computed = compute::<Backward<NllLoss>>(&inputs, &operator.backward_of_all()?)?;
    Ok(computed.outputs.grad_input.expect("it is wanted"))
}

impl NllLoss {
    /// The class and its weight, of each row that is not ignored.
    fn classes_of(&self, target: &ArrayD<i32>, weight: Option<&ArrayD<f32>>) -> Result<Vec<Option<(usize, f64)>>> {
        self.check_classes(target.iter().map(|&class| class.into()))?;
        let weight_of = |class: usize| weight.map_or(1.0, |weight| f64::from(weight[class]));
        let is_ignored = |class: i32| i64::from(class) == self.params.ignore_index;
        let each =
            target.iter().map(|&class| (!is_ignored(class)).then(|| (class as usize, weight_of(class as usize))));
        Ok(each.collect())
    }
}

impl OnCpu for NllLoss {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let classes = self.classes_of(&inputs.target, inputs.weight.as_ref())?;
        let scores = elements_of(&inputs.input);
        let losses = classes.iter().enumerate().map(|(row, of_row)| match of_row {
            Some((class, weight)) => -weight * scores[self.rows.position(row, *class)],
            None => 0.0,
        });
        let losses = losses.collect();
        // The rows' shape fits every reduction, since a sum ignores it.
        let losses = ArrayD::from_shape_vec(IxDyn(&self.rows.rows_shape), losses).expect("one loss for each row");
        let count = classes.iter().flatten().map(|(_, weight)| weight).sum();
        Ok(Computed::new(NllLossOutputs { output: reduce(losses, count, self.params.reduction) }))
    }
}

impl OnCpu for Backward<NllLoss> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let NllLoss { rows, params, .. } = &self.forward;
        let classes = self.forward.classes_of(&inputs.target, inputs.weight.as_ref())?;
        let grads = elements_of(&inputs.grad_output);
        let divisor = match params.reduction {
            Reduction::Mean => classes.iter().flatten().map(|(_, weight)| weight).sum(),
            Reduction::None | Reduction::Sum => 1.0,
        };
        let mut gradient = vec![0.0; rows.shape.iter().product()];
        for (row, of_row) in classes.iter().enumerate() {
            if let Some((class, weight)) = of_row {
                let grad = grads[if params.reduction == Reduction::None { row } else { 0 }];
                gradient[rows.position(row, *class)] = -weight * (grad / divisor);
            }
        }
        let gradient = ArrayD::from_shape_vec(IxDyn(&rows.shape), gradient).expect("the shape of the scores");
        self.computed(inputs, |_| gradient.clone())
    }
}
