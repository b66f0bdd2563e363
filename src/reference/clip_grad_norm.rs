use ndarray::{ArrayD, arr0};

use super::{AsArray, compute, owned};
use crate::operator::{ArraysOf, Computed, OnCpu};
use crate::{ClipGradNorm, ClipGradNormInputs, ClipGradNormOutputs, ClipGradNormParams, Result};

/// The gradient scaled down to `max_norm`, and the norm that it had: see [`clip_grad_norm_`](crate::clip_grad_norm_).
///
/// # Errors
/// As [`ClipGradNorm::new`].
pub fn clip_grad_norm(grad: &dyn AsArray<f32>, params: &ClipGradNormParams) -> Result<(ArrayD<f32>, f32)> {
    let inputs = ClipGradNormInputs { grad: owned(grad) };
    let mut computed = compute::<ClipGradNorm>(&inputs, params)?;
    let clipped = computed.take_updated("grad").unwrap_or(inputs.grad);
    Ok((clipped, computed.outputs.total_norm[[]]))
}

impl OnCpu for ClipGradNorm {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let norm = inputs.grad.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        let ratio = self.params.max_norm / (norm + 1e-6);
        // NaN stays.
        let coefficient = if ratio > 1.0 { 1.0 } else { ratio };
        let total_norm = arr0(norm as f32).into_dyn();
        let mut computed = Computed::new(ClipGradNormOutputs { total_norm });
        computed.update("grad", inputs.grad.mapv(|x| (f64::from(x) * coefficient) as f32));
        Ok(computed)
    }
}
