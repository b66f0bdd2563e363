//! batch_norm: every channel shifted and scaled to mean 0 and variance 1.

use crate::error::{Error, Result};
use crate::shape;

const NAME: &str = "batch_norm";

/// f32s that the workspace holds for each channel, and for each chunk of one.
const CHANNEL_WORDS: usize = 7;
const CHUNK_WORDS: usize = 6;

/// Parameters of [`batch_norm`](crate::batch_norm), as in `torch.nn.functional.batch_norm`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNormParams {
    /// Take mean and variance from the batch, and update the running ones if there are any; else take the running ones.
    pub training: bool,
    /// How much of a new mean and variance goes into the running ones.
    pub momentum: f64,
    /// What is added to the variance under the root; above 0.
    pub eps: f64,
}

impl Default for BatchNormParams {
    fn default() -> Self {
        BatchNormParams { training: false, momentum: 0.1, eps: 1e-5 }
    }
}

/// The arguments of [`batch_norm`](crate::batch_norm) beside its input, each (C): their shapes, arrays, tensors or
/// buffers, as the place asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNormArguments<T> {
    /// The running mean: read in inference, updated in training. Both running arguments or neither.
    pub running_mean: Option<T>,
    /// The running variance; the update is by the unbiased one.
    pub running_var: Option<T>,
    /// What the normalized channel is multiplied by; 1 without it.
    pub weight: Option<T>,
    /// What is then added; 0 without it.
    pub bias: Option<T>,
}

impl<T> Default for BatchNormArguments<T> {
    fn default() -> Self {
        BatchNormArguments { running_mean: None, running_var: None, weight: None, bias: None }
    }
}

impl<T> BatchNormArguments<T> {
    /// References to the arguments.
    pub fn as_ref(&self) -> BatchNormArguments<&T> {
        self.map(|argument| argument)
    }

    /// The same arguments as something else.
    pub fn map<'a, U>(&'a self, map: impl Fn(&'a T) -> U) -> BatchNormArguments<U> {
        BatchNormArguments {
            running_mean: self.running_mean.as_ref().map(&map),
            running_var: self.running_var.as_ref().map(&map),
            weight: self.weight.as_ref().map(&map),
            bias: self.bias.as_ref().map(&map),
        }
    }

    /// [`BatchNormArguments::map`] where that can fail.
    #[cfg(feature = "gpu")]
    fn try_map<U>(&self, map: impl Fn(&T) -> Result<U>) -> Result<BatchNormArguments<U>> {
        Ok(BatchNormArguments {
            running_mean: self.running_mean.as_ref().map(&map).transpose()?,
            running_var: self.running_var.as_ref().map(&map).transpose()?,
            weight: self.weight.as_ref().map(&map).transpose()?,
            bias: self.bias.as_ref().map(&map).transpose()?,
        })
    }
}

/// A validated [`batch_norm`](crate::batch_norm) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    shape: Vec<usize>,
    pub(crate) params: BatchNormParams,
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    /// Elements behind the channels.
    pub(crate) inner: usize,
    has_running: bool,
    has_weight: bool,
    has_bias: bool,
}

impl BatchNorm {
    /// Checks the parameters against an input of shape (N,C) or (N,C,..) and the other arguments' shapes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` of fewer than 2 dimensions, or in training of 1 value per channel; an
    /// argument whose shape is not (C); one of the running arguments without the other, or neither in inference; an
    /// `eps` that is not above 0 and a `momentum` that is not finite. [`Error::LimitExceeded`] for sizes that cannot be
    /// counted.
    pub fn new(input: &[usize], arguments: &BatchNormArguments<&[usize]>, params: &BatchNormParams) -> Result<Self> {
        let (batch, channels, rest) = match *input {
            [batch, channels, ref rest @ ..] => (batch, channels, rest),
            // Without elements PyTorch asks for no second dimension.
            [0] => (0, 0, &[][..]),
            _ => {
                return Err(Error::invalid(NAME, "input", "2 dimensions (N,C) or more", format!("shape {input:?}")));
            }
        };
        shape::element_count(NAME, "input", input)?;
        let inner = rest.iter().product::<usize>();
        let BatchNormArguments { running_mean, running_var, weight, bias } = *arguments;
        for (argument, shape) in
            [("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)]
        {
            shape::expect_vector(NAME, argument, channels, shape)?;
        }
        // They become float32, so there they have to be what they are.
        let (eps, momentum) = (params.eps as f32, params.momentum as f32);
        if !(eps > 0.0 && eps.is_finite()) {
            return Err(Error::invalid(NAME, "eps", "a finite float32 above 0", format!("{}", params.eps)));
        }
        if !momentum.is_finite() {
            return Err(Error::invalid(NAME, "momentum", "a finite float32", format!("{}", params.momentum)));
        }
        let missing = |argument, when: &str| Err(Error::invalid(NAME, argument, format!("an array {when}"), "none"));
        match (running_mean, running_var) {
            (None, Some(_)) => return missing("running_mean", "beside running_var"),
            (Some(_), None) => return missing("running_var", "beside running_mean"),
            (None, None) if !params.training => return missing("running_mean", "in inference"),
            _ => {}
        }
        if params.training && batch.checked_mul(inner) == Some(1) {
            return Err(Error::invalid(
                NAME,
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
        })
    }

    /// The shape of the output: that of the input.
    pub fn output_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn chunks(&self) -> usize {
        shape::reduction_parts(self.batch * self.inner)
    }

    /// Of what each channel is normalized by.
    fn terms_elements(&self) -> usize {
        if self.shape.iter().product::<usize>() == 0 { 0 } else { self.channels * CHANNEL_WORDS }
    }

    fn workspace_elements(&self) -> usize {
        match self.terms_elements() {
            0 => 0,
            terms if self.params.training => terms + self.channels * self.chunks() * CHUNK_WORDS,
            _ => 0,
        }
    }

    /// Bytes of workspace that recording needs: none in inference.
    pub fn workspace_size(&self) -> u64 {
        self.workspace_elements() as u64 * shape::ELEMENT_BYTES
    }
}

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu;
