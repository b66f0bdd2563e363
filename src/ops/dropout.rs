//! dropout: elements set to 0 at random.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, arguments};
use crate::ops::UnaryGradients;
use crate::shape;

/// Parameters of [`dropout`](crate::dropout), as in `torch.nn.functional.dropout`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DropoutParams {
    /// The probability that an element is dropped. Default: 0.5.
    pub p: f64,
    /// Whether anything is dropped. Default: true.
    pub training: bool,
}

impl Default for DropoutParams {
    fn default() -> Self {
        DropoutParams { p: 0.5, training: true }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(DropoutParams: default(), p, training);

arguments! {
    /// The inputs of [`dropout`](crate::dropout). `generator` is updated in place.
    #[derive(Copy, Eq)]
    pub struct DropoutInputs<F, I> {
        /// f32, any shape.
        input: float,
        /// i32, (4): the bits of the seed and of the offset, 64 of each, lower words first. A call adds to the offset as many
        /// blocks of 4 elements as it drew bits for.
        generator: integer,
    }
}

arguments! {
    /// The outputs of [`dropout`](crate::dropout).
    #[derive(Copy)]
    pub struct DropoutOutputs<F, I> {
        /// f32, of the input's shape.
        output: float,
        /// i32, (4): the generator before the call, from which the backward pass draws the same bits.
        saved_generator: integer,
    }
}

arguments! {
    /// The inputs of [`dropout_backward`](crate::dropout_backward).
    #[derive(Copy)]
    pub struct DropoutBackwardInputs<F, I> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// i32, (4): the generator before the forward call.
        saved_generator: integer,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
    }
}

/// A validated [`dropout`](crate::dropout) of an input of known shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropout {
    pub(crate) shape: Vec<usize>,
    params: DropoutParams,
}

impl Dropout {
    /// Checks the probability, for an input of any shape.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a `p` that is not from 0 to 1; [`Error::LimitExceeded`] for more elements than can be
    /// counted.
    pub fn new(input: &[usize], params: &DropoutParams) -> Result<Self> {
        shape::element_count(Self::NAME, "input", input)?;
        if !(0.0..=1.0).contains(&params.p) {
            return Err(Error::invalid(Self::NAME, "p", "a number from 0 to 1", params.p.to_string()));
        }
        Ok(Dropout { shape: input.to_vec(), params: *params })
    }

    /// The probability, 0 outside of training.
    pub(crate) fn p(&self) -> f64 {
        if self.params.training { self.params.p } else { 0.0 }
    }

    /// How many blocks of 4 elements need bits.
    pub(crate) fn blocks(&self) -> usize {
        if self.p() == 0.0 { 0 } else { self.shape.iter().product::<usize>().div_ceil(4) }
    }
}

/// The generator of a [`dropout`](crate::dropout) with this seed, from this offset on.
pub fn generator_state(seed: u64, offset: u64) -> [i32; 4] {
    [seed, seed >> 32, offset, offset >> 32].map(|word| word as u32 as i32)
}

/// The length of a generator.
const WORDS: [usize; 1] = [4];

impl Definition for Dropout {
    const NAME: &'static str = "dropout";
    type Params = DropoutParams;
    type Inputs = DropoutInputs<(), ()>;
    type Outputs = DropoutOutputs<(), ()>;

    fn of_shapes(inputs: &DropoutInputs<Vec<usize>, Vec<usize>>, params: &DropoutParams) -> Result<Self> {
        let dropout = Dropout::new(&inputs.input, params)?;
        if inputs.generator != WORDS {
            let actual = format!("shape {:?}", inputs.generator);
            return Err(Error::invalid(Self::NAME, "generator", format!("shape {WORDS:?}"), actual));
        }
        Ok(dropout)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for Dropout {
    const BACKWARD: &'static str = "dropout_backward";
    type BackwardInputs = DropoutBackwardInputs<(), ()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.shape.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> DropoutBackwardInputs<Vec<usize>, Vec<usize>> {
        DropoutBackwardInputs {
            grad_input: backward.added("grad_input", &self.shape),
            ..DropoutBackwardInputs::new(self.shape.clone(), WORDS.to_vec())
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu;
