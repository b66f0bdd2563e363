//! batch_norm: every channel shifted and scaled to mean 0 and variance 1.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Definition, arguments};
use crate::ops::epilogue::Epilogue;
use crate::shape;

/// Parameters of [`batch_norm`](crate::batch_norm), as in `torch.nn.functional.batch_norm`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormParams {
    /// Whether mean and variance come from the batch, which also updates the running ones if they are given. Otherwise
    /// the running ones are used. Default: false.
    pub training: bool,
    /// The share of the batch's mean and variance in the updated running ones. Default: 0.1.
    pub momentum: f64,
    /// The number added to the variance under the root, above 0. Default: 1e-5.
    pub eps: f64,
}

impl Default for BatchNormParams {
    fn default() -> Self {
        BatchNormParams { training: false, momentum: 0.1, eps: 1e-5 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(BatchNormParams: default(), training, momentum, eps);

arguments! {
    /// The inputs of [`batch_norm`](crate::batch_norm): shapes, arrays, tensors or buffers. Training updates the
    /// running statistics in place.
    #[derive(Copy, Eq)]
    pub struct BatchNormInputs<F> {
        /// f32, (N,C) or (N,C,..).
        input: float,
        /// f32, (C): the running mean, read in inference and updated in training. Default: none. Pass both running
        /// arguments or neither.
        running_mean: optional float,
        /// f32, (C): the running variance. Training updates it with the unbiased variance. Default: none.
        running_var: optional float,
        /// f32, (C): the factor of each normalized channel. Default: 1.
        weight: optional float,
        /// f32, (C): the number then added to each channel. Default: 0.
        bias: optional float,
        /// f32, (1) or (C): prelu's slopes. Default: none. Present exactly if the operator's activation is prelu.
        activation_weight: optional float,
    }
}

arguments! {
    /// The outputs of a [`BatchNorm`].
    #[derive(Copy)]
    pub struct BatchNormOutputs<F> {
        /// f32, of the input's shape.
        output: float,
        /// f32, (C): the batch's mean. Present with [`BatchNorm::with_saved_statistics`].
        saved_mean: optional float,
        /// f32, (C): 1 / sqrt(variance + eps) of the batch. Present with [`BatchNorm::with_saved_statistics`].
        saved_invstd: optional float,
    }
}

/// A validated [`batch_norm`](crate::batch_norm) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    shape: Vec<usize>,
    pub(crate) params: BatchNormParams,
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    /// Elements of a channel in one item of the batch.
    pub(crate) inner: usize,
    has_running: bool,
    has_weight: bool,
    has_bias: bool,
    pub(crate) with_saved: bool,
    pub(crate) epilogue: Epilogue,
}

impl BatchNorm {
    /// Checks the parameters against the inputs' shapes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` of fewer than 2 dimensions, or in training of 1 value per channel; an
    /// argument whose shape is not (C); one of the running arguments without the other, or neither in inference; an
    /// `eps` that is not above 0 and a `momentum` that is not finite. [`Error::LimitExceeded`] for sizes that cannot be
    /// counted.
    pub fn new(inputs: &BatchNormInputs<&[usize]>, params: &BatchNormParams) -> Result<Self> {
        let BatchNormInputs { input, running_mean, running_var, weight, bias, .. } = *inputs;
        let (batch, channels, rest) = match *input {
            [batch, channels, ref rest @ ..] => (batch, channels, rest),
            // PyTorch requires no second dimension where there are no elements.
            [0] => (0, 0, &[][..]),
            _ => {
                return Err(Error::invalid(
                    Self::NAME,
                    "input",
                    "2 dimensions (N,C) or more",
                    format!("shape {input:?}"),
                ));
            }
        };
        shape::element_count(Self::NAME, "input", input)?;
        let inner = rest.iter().product::<usize>();
        for (argument, shape) in
            [("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)]
        {
            shape::expect_vector(Self::NAME, argument, channels, shape)?;
        }
        // They become float32, and must be valid there.
        let (eps, momentum) = (params.eps as f32, params.momentum as f32);
        if !(eps > 0.0 && eps.is_finite()) {
            return Err(Error::invalid(Self::NAME, "eps", "a finite float32 above 0", format!("{}", params.eps)));
        }
        if !momentum.is_finite() {
            return Err(Error::invalid(Self::NAME, "momentum", "a finite float32", format!("{}", params.momentum)));
        }
        let missing =
            |argument, when: &str| Err(Error::invalid(Self::NAME, argument, format!("an array {when}"), "none"));
        match (running_mean, running_var) {
            (None, Some(_)) => return missing("running_mean", "beside running_var"),
            (Some(_), None) => return missing("running_var", "beside running_mean"),
            (None, None) if !params.training => return missing("running_mean", "in inference"),
            _ => {}
        }
        if params.training && batch.checked_mul(inner) == Some(1) {
            return Err(Error::invalid(
                Self::NAME,
                "input",
                "more than 1 value per channel in training",
                format!("shape {input:?}"),
            ));
        }
        Ok(BatchNorm {
            shape: input.to_vec(),
            params: *params,
            batch,
            channels,
            inner,
            has_running: running_mean.is_some(),
            has_weight: weight.is_some(),
            has_bias: bias.is_some(),
            with_saved: false,
            epilogue: Epilogue::default(),
        })
    }

    /// The same operator, which in training also returns the batch's mean and inverse deviation, for a backward pass.
    ///
    /// ```no_run
    /// # #[cfg(feature = "gpu-core")]
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{BatchNorm, BatchNormInputs, BatchNormParams, Gpu, Operator, Tensor};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let params = BatchNormParams { training: true, ..Default::default() };
    /// let norm = BatchNorm::new(&BatchNormInputs::new(&[8, 16, 32, 32]), &params)?.with_saved_statistics()?;
    /// let normalized = norm.call(&BatchNormInputs::new(&Tensor::zeros(&gpu, &[8, 16, 32, 32])?))?;
    /// assert_eq!(normalized.saved_mean.unwrap().shape(), [16]);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "gpu-core"))]
    /// # fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] in inference and for an empty `input`, where there are none.
    pub fn with_saved_statistics(self) -> Result<Self> {
        if !self.params.training {
            return Err(Error::invalid(Self::NAME, "training", "true, for statistics to be saved", "false"));
        }
        if self.shape.contains(&0) {
            let actual = format!("shape {:?}", self.shape);
            return Err(Error::invalid(Self::NAME, "input", "values, for statistics to be saved", actual));
        }
        Ok(BatchNorm { with_saved: true, ..self })
    }

    /// The same operator, which in inference then applies an activation to its output: see
    /// [`Conv2d::with_activation`](crate::Conv2d::with_activation).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] in training, for a number of slopes that is neither 1 nor that of the channels, and for a
    /// slope that is not finite in float32.
    pub fn with_activation(self, activation: Activation) -> Result<Self> {
        if self.params.training {
            return Err(Error::invalid(Self::NAME, "training", "false, for an activation", "true"));
        }
        let epilogue = self.epilogue.with_activation(Self::NAME, activation, self.channels)?;
        Ok(BatchNorm { epilogue, ..self })
    }

    /// The shape of the output: that of the input.
    pub fn output_shape(&self) -> &[usize] {
        &self.shape
    }
}

impl Definition for BatchNorm {
    const NAME: &'static str = "batch_norm";
    type Params = BatchNormParams;
    type Inputs = BatchNormInputs<()>;
    type Outputs = BatchNormOutputs<()>;

    fn of_shapes(inputs: &BatchNormInputs<Vec<usize>>, params: &BatchNormParams) -> Result<Self> {
        let inputs = BatchNormInputs {
            input: &*inputs.input,
            running_mean: inputs.running_mean.as_deref(),
            running_var: inputs.running_var.as_deref(),
            weight: inputs.weight.as_deref(),
            bias: inputs.bias.as_deref(),
            activation_weight: None,
        };
        BatchNorm::new(&inputs, params)
    }

    fn activated(&self, activation: Activation) -> Result<Option<Self>> {
        self.clone().with_activation(activation).map(Some)
    }

    fn with_outputs(self, wanted: &[&str]) -> Result<Self> {
        let is_saved = wanted.iter().any(|name| name.starts_with("saved_"));
        if is_saved { self.with_saved_statistics() } else { Ok(self) }
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

mod backward;

pub use backward::*;

#[cfg(feature = "gpu-core")]
pub use on_gpu::*;

#[cfg(feature = "gpu-core")]
mod on_gpu;
#[cfg(feature = "gpu-core")]
mod walk;
