use ndarray::{Array2, ArrayD, IxDyn};

use super::{AsArray, compute, elements_of, finished, owned};
use crate::operator::{ArraysOf, Backward, Computed, Differentiable, NoParams, OnCpu};
use crate::{Linear, LinearBackwardInputs, LinearGradients, LinearInputs, LinearOutputs, Result};

/// input weight^T + bias.
///
/// # Errors
/// As [`Linear::new`].
pub fn linear(
    input: &dyn AsArray<f32>,
    weight: &dyn AsArray<f32>,
    bias: Option<&dyn AsArray<f32>>,
) -> Result<ArrayD<f32>> {
    let inputs = LinearInputs { bias: bias.map(owned), ..LinearInputs::new(owned(input), owned(weight)) };
    Ok(compute::<Linear>(&inputs, &NoParams {})?.outputs.output)
}

impl OnCpu for Linear {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let matrix = |array: &ArrayD<f32>, rows: usize| {
            Array2::from_shape_vec((rows, self.k), elements_of(array)).expect("rows of k elements")
        };
        let mut sums = matrix(&inputs.input, self.rows).dot(&matrix(&inputs.weight, self.features).t());
        if let Some(bias) = &inputs.bias {
            let (bias, [row_step, feature_step]) = (elements_of(bias), self.bias_steps);
            for ((row, feature), sum) in sums.indexed_iter_mut() {
                *sum += bias[row * row_step + feature * feature_step];
            }
        }
        let sums = sums
            .as_standard_layout()
            .into_owned()
            .into_shape_with_order(IxDyn(self.output_shape()))
            .expect("a row for each of the input's");
        let arguments = [&inputs.residual, &inputs.activation_weight];
        let output = finished(&self.epilogue, sums, arguments, [self.features.max(1), 1]);
        Ok(Computed::new(LinearOutputs { output }))
    }
}

/// The gradients of [`linear`]: see [`linear_backward`](crate::linear_backward).
///
/// # Errors
/// As [`Linear::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `grad_output` that has not the
/// output's shape.
pub fn linear_backward(
    grad_output: &dyn AsArray<f32>,
    input: &dyn AsArray<f32>,
    weight: &dyn AsArray<f32>,
    bias: Option<&[usize]>,
) -> Result<LinearGradients<ArrayD<f32>>> {
    let forward = Linear::new(input.as_view().shape(), weight.as_view().shape(), bias)?;
    let inputs = LinearBackwardInputs {
        input: Some(owned(input)),
        weight: Some(owned(weight)),
        ..LinearBackwardInputs::new(owned(grad_output))
    };
    Ok(compute::<Backward<Linear>>(&inputs, &forward.backward_of_all()?)?.outputs)
}

impl OnCpu for Backward<Linear> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let Linear { rows, features, k, bias_steps: [row_step, feature_step], .. } = self.forward;
        let matrix = |array: &ArrayD<f32>, shape| {
            Array2::from_shape_vec(shape, elements_of(array)).expect("an array of this shape")
        };
        let shaped = |matrix: Array2<f64>, shape: &[usize]| {
            let elements = matrix.iter().copied().collect();
            ArrayD::from_shape_vec(IxDyn(shape), elements).expect("a matrix of this shape")
        };
        let grad_output = matrix(&inputs.grad_output, (rows, features));
        self.computed(inputs, |name| match (name.field, &inputs.weight, &inputs.input, &self.forward.bias) {
            ("grad_input", Some(weight), ..) => {
                shaped(grad_output.dot(&matrix(weight, (features, k))), &self.forward.input)
            }
            ("grad_weight", _, Some(input), _) => {
                shaped(grad_output.t().dot(&matrix(input, (rows, k))), &self.forward.weight)
            }
            (_, _, _, bias) => {
                let mut gradient = ArrayD::zeros(IxDyn(bias.as_deref().unwrap_or_default()));
                let elements = gradient.as_slice_mut().expect("it is new");
                for ((row, feature), grad) in grad_output.indexed_iter() {
                    elements[row * row_step + feature * feature_step] += grad;
                }
                gradient
            }
        })
    }
}
