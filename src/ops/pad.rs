//! pad: elements added around an array, or cut off.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable};
use crate::ops::{UnaryBackwardInputs, UnaryGradients, UnaryInputs, UnaryOutputs};
use crate::shape;

/// The most dimensions that may remain after those without padding are merged with neighbours.
const MAX_RANK: usize = 8;

/// The most elements before or after a dimension: a tensor has no more.
const MOST: i128 = 1 << 29;

/// What [`pad`](crate::pad) adds. Default: `Constant`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PadMode {
    /// A number.
    #[default]
    Constant,
    /// The elements that mirror those outside; the element at the edge is not repeated.
    Reflect,
    /// The element at the edge.
    Replicate,
}

#[cfg(feature = "serde")]
crate::params_serde::texts!(PadMode: "constant" => Constant, "reflect" => Reflect or "replicate" => Replicate);

/// Parameters of [`pad`](crate::pad), as in `torch.nn.functional.pad`.
#[derive(Debug, Clone, PartialEq)]
pub struct PadParams {
    /// The elements added before and after the last dimension, before and after the one before it, and so on. Negative
    /// numbers cut off. PyTorch has no default for it.
    pub pad: Vec<isize>,
    /// What is added. Default: a constant.
    pub mode: PadMode,
    /// The constant. Default: none, which is 0.
    pub value: Option<f64>,
}

impl PadParams {
    /// This many zeros.
    pub fn new(pad: Vec<isize>) -> Self {
        PadParams { pad, mode: PadMode::default(), value: None }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(PadParams: new(pad), mode, value);

/// A validated [`pad`](crate::pad) of an input of known shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Pad {
    pub(crate) input: Vec<usize>,
    pub(crate) before: Vec<isize>,
    pub(crate) mode: PadMode,
    pub(crate) value: f32,
    output: Vec<usize>,
    walk: Vec<Step>,
}

/// A dimension, or several that are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Step {
    input: usize,
    output: usize,
    before: isize,
    /// The distance of one step in the input.
    stride: usize,
}

impl Step {
    fn is_padded(&self) -> bool {
        self.before != 0 || self.input != self.output
    }
}

/// The dimensions, innermost first, where those without padding are merged with the next outer one: that may have
/// padding if it is constant.
fn walk(input: &[usize], before: &[isize], output: &[usize], mode: PadMode) -> Vec<Step> {
    let mut walk: Vec<Step> = Vec::new();
    let mut stride = 1;
    for dim in (0..input.len()).rev() {
        let step = Step { input: input[dim], output: output[dim], before: before[dim], stride };
        stride *= input[dim];
        match walk.last_mut() {
            Some(inner) if !inner.is_padded() && (mode == PadMode::Constant || !step.is_padded()) => {
                inner.before = step.before * inner.input as isize;
                inner.output *= step.output;
                inner.input *= step.input;
            }
            _ => walk.push(step),
        }
    }
    walk
}

impl Pad {
    /// Checks the padding against an input of any shape for a constant, and otherwise for the padding's dimensions after
    /// (C) or (N,C).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a `pad` of an odd length or for more dimensions than the input has, one that leaves
    /// less than nothing, a finite `value` that is not so in float32, or one that is not of the mode constant, and in the
    /// other modes for an `input` of another rank than the padding's dimensions after (C) or (N,C), an empty dimension but
    /// N, an output with nothing along all padded dimensions, and a reflected padding that is not smaller than its
    /// dimension; [`Error::LimitExceeded`] for more elements than can be counted and for more than 8 dimensions.
    pub fn new(input: &[usize], params: &PadParams) -> Result<Self> {
        let PadParams { pad, mode, value } = params;
        let refuse =
            |argument, expected: String, actual: String| Err(Error::invalid(Self::NAME, argument, expected, actual));
        shape::element_count(Self::NAME, "input", input)?;
        let (rank, padded) = (input.len(), pad.len() / 2);
        if !pad.len().is_multiple_of(2) || padded > rank {
            return refuse("pad", format!("two numbers for each of up to {rank} dimensions"), format!("{pad:?}"));
        }
        if *mode != PadMode::Constant {
            if !(1..=3).contains(&padded) {
                return refuse(
                    "pad",
                    "two numbers for each of 1 to 3 dimensions in this mode".into(),
                    format!("{pad:?}"),
                );
            }
            let may_be_empty = |dim: usize| rank == padded + 2 && dim == 0;
            let has_empty = (0..rank).any(|dim| input[dim] == 0 && !may_be_empty(dim));
            if !(padded + 1..=padded + 2).contains(&rank) || has_empty {
                let expected = format!("{padded} dimensions after (C) or (N,C), none empty but N");
                return refuse("input", expected, format!("shape {input:?}"));
            }
            if value.is_some_and(|value| value != 0.0) {
                return refuse("value", "none in this mode".into(), format!("{value:?}"));
            }
        }
        let given = value.unwrap_or(0.0);
        let value = given as f32;
        if given.is_finite() && !value.is_finite() {
            return refuse("value", "a float32, which may be infinite or NaN".into(), given.to_string());
        }
        let (mut before, mut output) = (vec![0; rank], input.to_vec());
        for (index, pair) in pad.chunks_exact(2).enumerate() {
            let dim = rank - 1 - index;
            let length = input[dim] as i128;
            let [first, last] = [pair[0] as i128, pair[1] as i128];
            if first.abs().max(last.abs()) > MOST {
                return refuse("pad", format!("numbers of at most {MOST}"), format!("{pair:?}"));
            }
            let cut = if *mode == PadMode::Constant { first.min(0) + last.min(0) } else { 0 };
            if length + cut < 0 || length + first + last < 0 {
                let expected = format!("a padding that leaves 0 or more of the {length} of dimension {dim}");
                return refuse("pad", expected, format!("{pair:?}"));
            }
            if *mode == PadMode::Reflect && first.max(last) >= length {
                return refuse("pad", format!("less than the {length} of dimension {dim}"), format!("{pair:?}"));
            }
            before[dim] = pair[0];
            output[dim] = usize::try_from(length + first + last).unwrap_or(usize::MAX);
        }
        if *mode != PadMode::Constant && output[rank - padded..].iter().all(|&length| length == 0) {
            return refuse("pad", "a padding that leaves something in this mode".into(), format!("{pad:?}"));
        }
        shape::element_count(Self::NAME, "output", &output)?;
        let walk = walk(input, &before, &output, *mode);
        if walk.len() > MAX_RANK {
            return Err(Error::LimitExceeded {
                operator: Self::NAME,
                argument: "input",
                item: None,
                limit: "the dimensions of a padding",
                maximum: MAX_RANK as u64,
                actual: walk.len() as u64,
            });
        }
        Ok(Pad { input: input.to_vec(), before, mode: *mode, value, output, walk })
    }

    /// What cuts off the padding.
    #[cfg(feature = "gpu-core")]
    fn inverse(&self) -> Pad {
        let before: Vec<_> = self.before.iter().map(|before| -before).collect();
        let walk = walk(&self.output, &before, &self.input, PadMode::Constant);
        let (input, output) = (self.output.clone(), self.input.clone());
        Pad { input, before, mode: PadMode::Constant, value: 0.0, output, walk }
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for Pad {
    const NAME: &'static str = "pad";
    type Params = PadParams;
    type Inputs = UnaryInputs<()>;
    type Outputs = UnaryOutputs<()>;

    fn of_shapes(inputs: &UnaryInputs<Vec<usize>>, params: &PadParams) -> Result<Self> {
        Pad::new(&inputs.input, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for Pad {
    const BACKWARD: &'static str = "pad_backward";
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
pub use backward::{PadBackwardPlan, pad_backward};
#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod backward;

#[cfg(feature = "gpu-core")]
mod on_gpu;
