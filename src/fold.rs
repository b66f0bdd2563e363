//! An inference batch norm folded into the weight and bias of what comes before it.

use ndarray::{ArrayD, Axis};

use crate::error::{Error, Result};
use crate::shape;

const OPERATOR: &str = "fold_batch_norm";

/// What of a batch norm is folded: its running statistics, and its own weight and bias.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FoldedBatchNorm<T> {
    /// f32, (C).
    pub running_mean: T,
    /// f32, (C).
    pub running_var: T,
    /// f32, (C): the factor of each normalized channel. Default: 1.
    pub weight: Option<T>,
    /// f32, (C): the number then added. Default: 0.
    pub bias: Option<T>,
    /// The number added to the variance under the root. Default: 1e-5.
    pub eps: f64,
    /// For a transposed convolution its number of groups: there the output channels are the weight's second dimension.
    /// Default: none, where they are its first.
    pub transposed: Option<usize>,
}

impl<T> FoldedBatchNorm<T> {
    /// Statistics alone, with PyTorch's default of `eps`.
    pub fn new(running_mean: T, running_var: T) -> Self {
        FoldedBatchNorm { running_mean, running_var, weight: None, bias: None, eps: 1e-5, transposed: None }
    }

    pub(crate) fn map<U>(&self, of: impl Fn(&T) -> U) -> FoldedBatchNorm<U> {
        FoldedBatchNorm {
            running_mean: of(&self.running_mean),
            running_var: of(&self.running_var),
            weight: self.weight.as_ref().map(&of),
            bias: self.bias.as_ref().map(&of),
            eps: self.eps,
            transposed: self.transposed,
        }
    }
}

/// The folded weight and bias.
pub(crate) fn fold(
    weight: &ArrayD<f32>,
    bias: Option<ArrayD<f32>>,
    norm: &FoldedBatchNorm<ArrayD<f32>>,
) -> Result<(ArrayD<f32>, ArrayD<f32>)> {
    let &[first, second, ..] = weight.shape() else {
        let actual = format!("shape {:?}", weight.shape());
        return Err(Error::invalid(OPERATOR, "weight", "2 dimensions or more", actual));
    };
    let channels = match norm.transposed {
        None => first,
        Some(groups) if groups > 0 && groups <= first.max(1) && first.is_multiple_of(groups) => groups * second,
        Some(groups) => {
            let expected = format!("a divisor of {first} input channels");
            return Err(Error::invalid(OPERATOR, "transposed", expected, groups.to_string()));
        }
    };
    let of = |argument, array: Option<&ArrayD<f32>>, default: f64| {
        shape::expect_vector(OPERATOR, argument, channels, array.map(ArrayD::shape))?;
        let numbers = array.map(|array| array.iter().map(|&x| f64::from(x)).collect());
        Ok::<_, Error>(numbers.unwrap_or_else(|| vec![default; channels]))
    };
    // First what is there in any case: then there are as many channels as memory has room for.
    let mean = of("running_mean", Some(&norm.running_mean), 0.0)?;
    let variance = of("running_var", Some(&norm.running_var), 1.0)?;
    let bias = of("bias", bias.as_ref(), 0.0)?;
    let scale = of("norm.weight", norm.weight.as_ref(), 1.0)?;
    let shift = of("norm.bias", norm.bias.as_ref(), 0.0)?;
    if !(norm.eps >= 0.0 && norm.eps.is_finite()) {
        return Err(Error::invalid(OPERATOR, "eps", "a finite number of 0 or more", norm.eps.to_string()));
    }
    let factors: Vec<_> = (0..channels).map(|c| scale[c] / (variance[c] + norm.eps).sqrt()).collect();
    let mut folded = weight.clone();
    let multiply = |x: &mut f32, channel: usize| *x = (f64::from(*x) * factors[channel]) as f32;
    for (row, mut of_row) in folded.axis_iter_mut(Axis(0)).enumerate() {
        match norm.transposed {
            None => of_row.iter_mut().for_each(|x| multiply(x, row)),
            Some(groups) => {
                let group = row / (first / groups);
                for (channel, mut of_channel) in of_row.axis_iter_mut(Axis(0)).enumerate() {
                    of_channel.iter_mut().for_each(|x| multiply(x, group * second + channel));
                }
            }
        }
    }
    let bias = (0..channels).map(|c| ((bias[c] - mean[c]) * factors[c] + shift[c]) as f32).collect();
    Ok((folded, ndarray::Array1::from_vec(bias).into_dyn()))
}

#[cfg(feature = "gpu-core")]
pub use on_gpu::fold_batch_norm;
#[cfg(all(feature = "gpu-core", not(target_arch = "wasm32")))]
pub use on_gpu::fold_batch_norm_blocking;

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use ndarray::ArrayD;

    use super::{FoldedBatchNorm, fold};
    use crate::error::Result;
    use crate::gpu::tensor::Tensor;

    /// Where the weight is.
    fn uploaded(weight: &Tensor, (folded, bias): (ArrayD<f32>, ArrayD<f32>)) -> Result<(Tensor, Tensor)> {
        Ok((Tensor::from_array(weight.gpu(), &folded)?, Tensor::from_array(weight.gpu(), &bias)?))
    }

    /// [`reference::fold_batch_norm`](crate::reference::fold_batch_norm) of tensors: they are read back, folded on the CPU
    /// in float64, and uploaded. Do it once, when a network is loaded.
    ///
    /// # Errors
    /// As [`reference::fold_batch_norm`](crate::reference::fold_batch_norm) and [`Tensor::read`].
    pub async fn fold_batch_norm(
        weight: &Tensor,
        bias: Option<&Tensor>,
        norm: &FoldedBatchNorm<&Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let read = async |tensor: Option<&Tensor>| match tensor {
            Some(tensor) => tensor.read().await.map(Some),
            None => Ok(None),
        };
        let of_norm = FoldedBatchNorm {
            running_mean: norm.running_mean.read().await?,
            running_var: norm.running_var.read().await?,
            weight: read(norm.weight).await?,
            bias: read(norm.bias).await?,
            eps: norm.eps,
            transposed: norm.transposed,
        };
        uploaded(weight, fold(&weight.read().await?, read(bias).await?, &of_norm)?)
    }

    /// [`fold_batch_norm`], waiting for it.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{FoldedBatchNorm, Gpu, Tensor, fold_batch_norm_blocking};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let kernels = Tensor::zeros(&gpu, &[64, 3, 7, 7])?;
    /// let [mean, var] = [Tensor::zeros(&gpu, &[64])?, Tensor::zeros(&gpu, &[64])?];
    /// let (weight, bias) = fold_batch_norm_blocking(&kernels, None, &FoldedBatchNorm::new(&mean, &var))?;
    /// assert_eq!((weight.shape(), bias.shape()), (kernels.shape(), &[64][..]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fold_batch_norm`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn fold_batch_norm_blocking(
        weight: &Tensor,
        bias: Option<&Tensor>,
        norm: &FoldedBatchNorm<&Tensor>,
    ) -> Result<(Tensor, Tensor)> {
        let read = |tensor: Option<&Tensor>| tensor.map(Tensor::read_blocking).transpose();
        let of_norm = FoldedBatchNorm {
            running_mean: norm.running_mean.read_blocking()?,
            running_var: norm.running_var.read_blocking()?,
            weight: read(norm.weight)?,
            bias: read(norm.bias)?,
            eps: norm.eps,
            transposed: norm.transposed,
        };
        uploaded(weight, fold(&weight.read_blocking()?, read(bias)?, &of_norm)?)
    }
}
