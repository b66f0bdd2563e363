//! Tensors that share one buffer.

use std::ops::Index;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::tensor::Tensor;
use crate::shape::{ELEMENT_BYTES, MAX_TENSOR_BYTES, element_count};

/// The name in errors.
const NAME: &str = "flat_tensors";

/// Tensors of given shapes, one after the other in one buffer, so that one dispatch can go over all of them: the
/// parameters of a network, their gradients, the states of an optimiser.
///
/// Each of them is a [`Tensor`] for any operator, and [`FlatTensors::whole`] is all of them as one tensor of one
/// dimension. They begin at multiples of the device's `min_storage_buffer_offset_alignment`. What lies between them is
/// 0, and an optimiser's step leaves it 0 if the learning rate is finite and adam's `eps` above 0. Zero gradients by the whole,
/// and what a gradient of infinities and NaN left between them is 0 again.
///
/// Where a call fails that should have written one of them, reading any of them is that error, until the whole is written.
///
/// wgpu counts uses by buffer: one call cannot read one of them and write another, though it may write several. So keep
/// parameters, gradients and states in one buffer each.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{FlatTensors, Gpu, Sgd, SgdInputs, Operator, Tensor};
///
/// let gpu = Gpu::new_blocking()?;
/// let shapes = [vec![16, 1, 3, 3], vec![16]];
/// let parameters = FlatTensors::zeros(&gpu, &shapes)?;
/// let gradients = FlatTensors::zeros(&gpu, &shapes)?;
/// parameters[0].write(&[0.1; 144])?;
/// // .. a forward and a backward pass, which write gradients[0] and gradients[1] ..
///
/// // One step of all parameters.
/// let sgd = Sgd::new(parameters.whole().shape(), &Default::default())?;
/// let lr = Tensor::from_slice(&gpu, &[0.01], &[])?;
/// sgd.call(&SgdInputs::new(parameters.whole(), gradients.whole(), &lr))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FlatTensors {
    whole: Tensor,
    parts: Vec<Tensor>,
}

/// Where each tensor begins, in bytes, and the elements of all.
fn layout(gpu: &Gpu, shapes: &[impl AsRef<[usize]>]) -> Result<(Vec<u64>, usize)> {
    // Kernels of blocks begin at blocks.
    let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment).max(16);
    let mut end = 0_u64;
    let mut begins = Vec::new();
    for (index, shape) in shapes.iter().enumerate() {
        let elements = element_count(NAME, "shapes", shape.as_ref()).map_err(|error| error.of_item(index))?;
        begins.push(end);
        // Even an empty tensor has room for one element.
        end += (elements.max(1) as u64 * ELEMENT_BYTES).next_multiple_of(alignment);
        if end > MAX_TENSOR_BYTES {
            let (limit, item) = ("the bytes of a tensor", Some(index));
            return Err(Error::LimitExceeded {
                operator: NAME,
                argument: "shapes",
                item,
                limit,
                maximum: MAX_TENSOR_BYTES,
                actual: end,
            });
        }
    }
    Ok((begins, (end / ELEMENT_BYTES) as usize))
}

impl FlatTensors {
    /// Tensors of zeros.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] for more than a tensor may have, in one or in all; otherwise as [`Tensor::zeros`].
    pub fn zeros(gpu: &Gpu, shapes: &[impl AsRef<[usize]>]) -> Result<Self> {
        let (_, elements) = layout(gpu, shapes)?;
        Self::over(&Tensor::zeros(gpu, &[elements])?, shapes)
    }

    /// The number of elements of [`FlatTensors::whole`] for these shapes on this device.
    ///
    /// # Errors
    /// As [`FlatTensors::zeros`].
    pub fn elements(gpu: &Gpu, shapes: &[impl AsRef<[usize]>]) -> Result<usize> {
        Ok(layout(gpu, shapes)?.1)
    }

    /// Tensors in this one, in a buffer of yours for example: see [`Tensor::from_buffer`]. What lies between them must be 0
    /// if an optimiser goes over the whole.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `whole` has not the shape ([`FlatTensors::elements`]); otherwise as
    /// [`FlatTensors::zeros`].
    pub fn over(whole: &Tensor, shapes: &[impl AsRef<[usize]>]) -> Result<Self> {
        let (begins, elements) = layout(whole.gpu(), shapes)?;
        if *whole.shape() != [elements] {
            let expected = format!("shape {:?}, for all tensors", [elements]);
            return Err(Error::invalid(NAME, "whole", expected, format!("shape {:?}", whole.shape())));
        }
        let parts = begins.into_iter().zip(shapes).map(|(begin, shape)| whole.part(begin, shape.as_ref()));
        Ok(FlatTensors { parts: parts.collect(), whole: whole.clone() })
    }

    /// All of them as one tensor of one dimension, with what lies between them.
    pub fn whole(&self) -> &Tensor {
        &self.whole
    }

    /// Each of them, in the order of their shapes.
    pub fn parts(&self) -> &[Tensor] {
        &self.parts
    }
}

impl Index<usize> for FlatTensors {
    type Output = Tensor;

    /// One of [`FlatTensors::parts`].
    ///
    /// # Panics
    /// Where there is none of this number, as a slice does.
    fn index(&self, index: usize) -> &Tensor {
        &self.parts[index]
    }
}
