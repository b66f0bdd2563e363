use ndarray::{ArrayD, IxDyn};

use super::{AsArray, compute, elements_of, finished, owned};
use crate::operator::{ArraysOf, Computed, NoParams, OnCpu};
use crate::{Linear, LinearInputs, LinearOutputs, Result};

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
            ndarray::Array2::from_shape_vec((rows, self.k), elements_of(array)).expect("rows of k elements")
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
