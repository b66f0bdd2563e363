//! The gradients of batch_norm.

use super::{BatchNorm, BatchNormInputs, BatchNormParams};
use crate::error::Result;
use crate::operator::{Backward, Differentiable, arguments};

arguments! {
    /// The inputs of the backward pass of [`batch_norm`](crate::batch_norm).
    #[derive(Copy)]
    pub struct BatchNormBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32: the operator's input. Present exactly if `grad_weight` is wanted, or `grad_input` in training.
        input: optional float,
        /// f32, (C): what training saved. Present beside `input` in training, unless that is empty.
        saved_mean: optional float,
        /// f32, (C): what training saved. Present beside `saved_mean`.
        saved_invstd: optional float,
        /// f32, (C): the running mean. Present in inference if `grad_weight` is wanted.
        running_mean: optional float,
        /// f32, (C): the running variance. Present in inference if `grad_input` or `grad_weight` is wanted.
        running_var: optional float,
        /// f32, (C): the weight. Present if the operator has one and `grad_input` is wanted.
        weight: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, (C): the gradient is added to it. Present exactly if it is planned so.
        grad_weight: optional float,
        /// f32, (C): the gradient is added to it. Present exactly if it is planned so.
        grad_bias: optional float,
    }
}

arguments! {
    /// The gradients of [`batch_norm`](crate::batch_norm).
    #[derive(Copy, Eq)]
    pub struct BatchNormGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
        /// f32, (C). There is one if the operator has a weight.
        grad_weight: optional float,
        /// f32, (C). There is one if the operator has a bias.
        grad_bias: optional float,
    }
}

impl Differentiable for BatchNorm {
    const BACKWARD: &'static str = "batch_norm_backward";
    type BackwardInputs = BatchNormBackwardInputs<()>;
    type Gradients = BatchNormGradients<()>;

    fn gradient_shapes(&self) -> BatchNormGradients<Vec<usize>> {
        let of_channels = |is_there: bool| is_there.then(|| vec![self.channels]);
        BatchNormGradients {
            grad_input: Some(self.shape.clone()),
            grad_weight: of_channels(self.has_weight),
            grad_bias: of_channels(self.has_bias),
        }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> BatchNormBackwardInputs<Vec<usize>> {
        let channels = [self.channels];
        let is_training = self.params.training;
        let needed =
            |is_used: bool, by: &[&'static str], shape: &[usize]| backward.needed(by, shape).filter(|_| is_used);
        // Without elements there are no statistics.
        let has_saved = is_training && !self.is_empty();
        let [both, of_input, of_weight] = [&["grad_input", "grad_weight"][..], &["grad_input"], &["grad_weight"]];
        BatchNormBackwardInputs {
            input: needed(true, if is_training { both } else { of_weight }, &self.shape),
            saved_mean: needed(has_saved, both, &channels),
            saved_invstd: needed(has_saved, both, &channels),
            running_mean: needed(!is_training, of_weight, &channels),
            running_var: needed(!is_training, both, &channels),
            weight: needed(self.has_weight, of_input, &channels),
            grad_input: backward.added("grad_input", &self.shape),
            grad_weight: backward.added("grad_weight", &channels),
            grad_bias: backward.added("grad_bias", &channels),
            ..BatchNormBackwardInputs::new(self.shape.clone())
        }
    }

    fn saved_outputs(&self) -> &'static [&'static str] {
        if self.params.training && !self.is_empty() { &["saved_mean", "saved_invstd"] } else { &[] }
    }

    fn check_differentiable(&self) -> Result<()> {
        self.epilogue.expect_none(Self::BACKWARD)
    }
}

impl BatchNorm {
    pub(crate) fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The backward pass for all gradients, of an operator with a bias.
    pub(crate) fn all_gradients(shape: &[usize], has_weight: bool, params: &BatchNormParams) -> Result<Backward<Self>> {
        let channels = Some(&shape[1.min(shape.len())..2.min(shape.len())]);
        let running = channels.filter(|_| !params.training);
        let inputs = BatchNormInputs {
            running_mean: running,
            running_var: running,
            weight: channels.filter(|_| has_weight),
            bias: channels,
            ..BatchNormInputs::new(shape)
        };
        BatchNorm::new(&inputs, params)?.backward_of_all()
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu;
