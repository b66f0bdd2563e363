//! linear: the product of rows with a weight.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable, NoParams, arguments};
use crate::ops::epilogue::{Epilogue, with_epilogue};
use crate::shape;

/// A validated [`linear`](crate::linear) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    pub(crate) input: Vec<usize>,
    pub(crate) weight: Vec<usize>,
    pub(crate) bias: Option<Vec<usize>>,
    output: Vec<usize>,
    /// All dimensions of the input but the last, as one.
    pub(crate) rows: usize,
    pub(crate) features: usize,
    /// The elements of a row.
    pub(crate) k: usize,
    /// The distance in the bias of one step along rows and along features.
    pub(crate) bias_steps: [usize; 2],
    pub(crate) epilogue: Epilogue,
}

arguments! {
    /// The inputs of [`linear`](crate::linear): K input features, N output features.
    #[derive(Copy)]
    pub struct LinearInputs<F> {
        /// f32, (..,K).
        input: float,
        /// f32, (N,K), or (K) for an output without its last dimension.
        weight: float,
        /// f32, (N) or the output's shape, also with dimensions of 1: the number added to each feature. Default: none.
        /// Present exactly if the operator was made with one.
        bias: optional float,
        /// f32, of the output's shape: what is added before the activation. It may be the output's own buffer. Default:
        /// none. Present exactly if the operator is `with_residual`.
        residual: optional float,
        /// f32, (1) or (N): prelu's slopes. Default: none. Present exactly if the operator's activation is prelu.
        activation_weight: optional float,
    }
}

arguments! {
    /// The outputs of [`linear`](crate::linear).
    #[derive(Copy)]
    pub struct LinearOutputs<F> {
        /// f32, (..,N), or without the last dimension for a weight (K).
        output: float,
    }
}

impl Linear {
    /// Checks an input (..,K), a weight (N,K) or (K) and, if there is one, a bias: of the output's shape or (N), or with all
    /// dimensions before the last, or the last, of 1.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a scalar `input`, a `weight` of another rank or other K, and a `bias` that does not
    /// broadcast to the output, or varies along some but not all of its dimensions before the last; for a weight (K), a
    /// bias that is no scalar. [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], weight: &[usize], bias: Option<&[usize]>) -> Result<Self> {
        let refuse = |argument, expected: String, shape: &[usize]| {
            Err(Error::invalid(Self::NAME, argument, expected, format!("shape {shape:?}")))
        };
        let Some((&k, before)) = input.split_last() else {
            return refuse("input", "1 dimension (K) or more".into(), input);
        };
        let (features, is_vector) = match *weight {
            [features, of] if of == k => (features, false),
            [of] if of == k => (1, true),
            _ => return refuse("weight", format!("(N,{k}) or ({k})"), weight),
        };
        for (argument, shape) in [("input", input), ("weight", weight)] {
            shape::element_count(Self::NAME, argument, shape)?;
        }
        let mut output = before.to_vec();
        output.extend((!is_vector).then_some(features));
        shape::element_count(Self::NAME, "output", &output)?;
        let rows = before.iter().product();
        let bias_steps = match bias {
            None => [0, 0],
            Some([]) => [0, 0],
            Some(shape) => {
                let fits = shape.iter().rev().zip(output.iter().rev()).all(|(&a, &b)| a == b || a == 1);
                let (last, lead) = (shape[shape.len() - 1], shape[..shape.len() - 1].iter().product::<usize>());
                if is_vector || shape.len() > output.len() || !fits || (lead != 1 && lead != rows) {
                    let expected = match is_vector {
                        true => "a scalar".into(),
                        false => format!("shape [{features}] or {output:?}, or one of them with dimensions of 1"),
                    };
                    return refuse("bias", expected, shape);
                }
                [if lead == 1 { 0 } else { last }, usize::from(last != 1)]
            }
        };
        Ok(Linear {
            input: input.to_vec(),
            weight: weight.to_vec(),
            bias: bias.map(<[_]>::to_vec),
            output,
            rows,
            features,
            k,
            bias_steps,
            epilogue: Epilogue::default(),
        })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

with_epilogue!(Linear, features);

impl Definition for Linear {
    const NAME: &'static str = "linear";
    type Params = NoParams;
    type Inputs = LinearInputs<()>;
    type Outputs = LinearOutputs<()>;

    fn of_shapes(inputs: &LinearInputs<Vec<usize>>, _: &NoParams) -> Result<Self> {
        let operator = Linear::new(&inputs.input, &inputs.weight, inputs.bias.as_deref())?;
        Ok(if inputs.residual.is_some() { operator.with_residual() } else { operator })
    }

    fn activated(&self, activation: Activation) -> Result<Option<Self>> {
        self.clone().with_activation(activation).map(Some)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

arguments! {
    /// The inputs of [`linear_backward`](crate::linear_backward): K input features, N output features.
    #[derive(Copy)]
    pub struct LinearBackwardInputs<F> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// f32: the operator's input. Present exactly if the gradient of the weight is wanted.
        input: optional float,
        /// f32: the operator's weight. Present exactly if the gradient of the input is wanted.
        weight: optional float,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
        /// f32, of the weight's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_weight: optional float,
        /// f32, of the bias's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_bias: optional float,
    }
}

arguments! {
    /// The gradients of [`linear`](crate::linear).
    #[derive(Copy, Eq)]
    pub struct LinearGradients<F> {
        /// f32, of the input's shape.
        grad_input: optional float,
        /// f32, of the weight's shape.
        grad_weight: optional float,
        /// f32, of the bias's shape. There is one exactly if there is a bias.
        grad_bias: optional float,
    }
}

impl Differentiable for Linear {
    const BACKWARD: &'static str = "linear_backward";
    type BackwardInputs = LinearBackwardInputs<()>;
    type Gradients = LinearGradients<()>;

    fn gradient_shapes(&self) -> LinearGradients<Vec<usize>> {
        LinearGradients {
            grad_input: Some(self.input.clone()),
            grad_weight: Some(self.weight.clone()),
            grad_bias: self.bias.clone(),
        }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> LinearBackwardInputs<Vec<usize>> {
        LinearBackwardInputs {
            grad_output: self.output.clone(),
            input: backward.needed(&["grad_weight"], &self.input),
            weight: backward.needed(&["grad_input"], &self.weight),
            grad_input: backward.added("grad_input", &self.input),
            grad_weight: backward.added("grad_weight", &self.weight),
            grad_bias: self.bias.as_ref().and_then(|shape| backward.added("grad_bias", shape)),
        }
    }

    fn check_differentiable(&self) -> Result<()> {
        self.epilogue.expect_none(Self::BACKWARD)
    }
}

#[cfg(feature = "gpu-core")]
pub use backward::{LinearBackwardPlan, linear_backward};
#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod backward;

#[cfg(feature = "gpu-core")]
mod on_gpu;

#[cfg(feature = "gpu-core")]
mod products;
