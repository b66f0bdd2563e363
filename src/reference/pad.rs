use ndarray::{ArrayD, Dimension, IxDyn};

use super::{AsArray, compute, gradient_of, owned};
use crate::operator::{ArraysOf, Backward, Computed, OnCpu};
use crate::{Pad, PadMode, PadParams, Result, UnaryBackwardInputs, UnaryInputs, UnaryOutputs};

/// The input with elements added around it, or cut off.
///
/// # Errors
/// As [`Pad::new`].
pub fn pad(input: &dyn AsArray<f32>, params: &PadParams) -> Result<ArrayD<f32>> {
    Ok(compute::<Pad>(&UnaryInputs { input: owned(input) }, params)?.outputs.output)
}

/// The position along a dimension of this length; none where a constant stands.
fn source(position: isize, length: isize, mode: PadMode) -> Option<usize> {
    let inside = match mode {
        PadMode::Constant => position,
        PadMode::Replicate => position.clamp(0, length - 1),
        PadMode::Reflect if position < 0 => -position,
        PadMode::Reflect if position >= length => 2 * (length - 1) - position,
        PadMode::Reflect => position,
    };
    (0..length).contains(&inside).then_some(inside as usize)
}

impl OnCpu for Pad {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let input = &inputs.input;
        let output = ArrayD::from_shape_fn(IxDyn(self.output_shape()), |at| {
            let each = at.slice().iter().zip(input.shape()).zip(&self.before);
            let place: Option<Vec<_>> =
                each.map(|((&at, &length), before)| source(at as isize - before, length as isize, self.mode)).collect();
            place.map_or(self.value, |place| input[IxDyn(&place)])
        });
        Ok(Computed::new(UnaryOutputs { output }))
    }
}

/// The gradient of [`pad`] with respect to its input, of this shape: see [`pad_backward`](crate::pad_backward).
///
/// # Errors
/// As [`Pad::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn pad_backward(grad_output: &dyn AsArray<f32>, input: &[usize], params: &PadParams) -> Result<ArrayD<f32>> {
    gradient_of(&Pad::new(input, params)?, &UnaryBackwardInputs::new(owned(grad_output)))
}

impl OnCpu for Backward<Pad> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let Pad { input, before, mode, .. } = &self.forward;
        self.computed(inputs, |_| {
            let mut gradient = ArrayD::zeros(IxDyn(input));
            for (at, &grad) in inputs.grad_output.indexed_iter() {
                let each = at.slice().iter().zip(input).zip(before);
                let place: Option<Vec<_>> =
                    each.map(|((&at, &length), before)| source(at as isize - before, length as isize, *mode)).collect();
                if let Some(place) = place {
                    gradient[IxDyn(&place)] += f64::from(grad);
                }
            }
            gradient
        })
    }
}
