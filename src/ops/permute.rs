//! permute: the dimensions of an array in another order.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable};
use crate::ops::{UnaryBackwardInputs, UnaryGradients, UnaryInputs, UnaryOutputs};
use crate::shape;

/// The most dimensions that may remain after neighbours are merged that stay neighbours.
const MAX_RANK: usize = 8;

/// Parameters of [`permute`](crate::permute), as in `torch.permute`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermuteParams {
    /// For each dimension of the output, that of the input. Negative ones count from the end. PyTorch has no default for
    /// it.
    pub dims: Vec<isize>,
}

impl PermuteParams {
    /// The dimensions in this order.
    pub fn new(dims: Vec<isize>) -> Self {
        PermuteParams { dims }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(PermuteParams: new(dims));

/// A validated [`permute`](crate::permute) of an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permute {
    pub(crate) input: Vec<usize>,
    pub(crate) dims: Vec<usize>,
    output: Vec<usize>,
    walk: Vec<Step>,
}

/// A dimension of the output, and the distance of one step along it in input and output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    length: usize,
    input: usize,
    output: usize,
}

/// The output's dimensions of more than one element, innermost first, with neighbours merged.
fn walk(input: &[usize], dims: &[usize]) -> Vec<Step> {
    let mut input_strides = vec![1; input.len()];
    for dim in (1..input.len()).rev() {
        input_strides[dim - 1] = input_strides[dim] * input[dim];
    }
    let mut walk: Vec<Step> = Vec::new();
    let mut output = 1;
    for &dim in dims.iter().rev().filter(|&&dim| input[dim] != 1) {
        let length = input[dim];
        match walk.last_mut() {
            Some(inner) if inner.input * inner.length == input_strides[dim] => inner.length *= length,
            _ => walk.push(Step { length, input: input_strides[dim], output }),
        }
        output *= length;
    }
    walk
}

impl Permute {
    /// Checks the dimensions against an input of any shape.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for `dims` that are not each dimension of the input once; [`Error::LimitExceeded`] for
    /// more elements than can be counted, and for an order of more than 8 dimensions of which no two neighbours stay
    /// neighbours.
    pub fn new(input: &[usize], params: &PermuteParams) -> Result<Self> {
        shape::element_count(Self::NAME, "input", input)?;
        let dims = &params.dims;
        let wrong = || {
            let expected = format!("each dimension of shape {input:?} once");
            Error::invalid(Self::NAME, "dims", expected, format!("{dims:?}"))
        };
        if dims.len() != input.len() {
            return Err(wrong());
        }
        let mut is_taken = vec![false; input.len()];
        let mut resolved = Vec::new();
        for &dim in dims {
            let dim = shape::dimension(Self::NAME, "dims", dim, input)?;
            if std::mem::replace(&mut is_taken[dim], true) {
                return Err(wrong());
            }
            resolved.push(dim);
        }
        let output: Vec<_> = resolved.iter().map(|&dim| input[dim]).collect();
        let walk = if input.contains(&0) { Vec::new() } else { walk(input, &resolved) };
        if walk.len() > MAX_RANK {
            return Err(Error::LimitExceeded {
                operator: Self::NAME,
                argument: "dims",
                item: None,
                limit: "the dimensions of an order",
                maximum: MAX_RANK as u64,
                actual: walk.len() as u64,
            });
        }
        Ok(Permute { input: input.to_vec(), dims: resolved, output, walk })
    }

    /// What brings the output's dimensions back into the input's order.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn inverse(&self) -> Permute {
        let mut dims = vec![0; self.dims.len()];
        for (position, &dim) in self.dims.iter().enumerate() {
            dims[dim] = position;
        }
        let walk = if self.output.contains(&0) { Vec::new() } else { walk(&self.output, &dims) };
        Permute { input: self.output.clone(), dims, output: self.input.clone(), walk }
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for Permute {
    const NAME: &'static str = "permute";
    type Params = PermuteParams;
    type Inputs = UnaryInputs<()>;
    type Outputs = UnaryOutputs<()>;

    fn of_shapes(inputs: &UnaryInputs<Vec<usize>>, params: &PermuteParams) -> Result<Self> {
        Permute::new(&inputs.input, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for Permute {
    const BACKWARD: &'static str = "permute_backward";
    type BackwardInputs = UnaryBackwardInputs<()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.input.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> UnaryBackwardInputs<Vec<usize>> {
        UnaryBackwardInputs {
            grad_input: backward.added("grad_input", &self.input),
            ..UnaryBackwardInputs::new(self.output.clone())
        }
    }
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu;
