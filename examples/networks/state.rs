//! PyTorch's state_dict, out of a safetensors file.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use wgdnn::FoldedBatchNorm;
use wgdnn::ndarray::ArrayD;
use wgdnn::reference::{AsArray, fold_batch_norm};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// What no layer has taken yet of a state_dict.
#[derive(Clone, Default)]
pub struct State(BTreeMap<String, ArrayD<f32>>);

impl State {
    /// Reads a file of float32 tensors. Counters of batches are left out.
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::read(path)?;
        let mut state = State::default();
        let tensors =
            SafeTensors::deserialize(&file).map_err(|error| format!("not a whole safetensors file: {error}"))?;
        for (name, tensor) in tensors.iter() {
            match tensor.dtype() {
                Dtype::F32 => {
                    let floats = tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
                    let array = ArrayD::from_shape_vec(tensor.shape(), floats);
                    state.insert(name, array.map_err(|error| format!("{name}: {error}"))?);
                }
                Dtype::I64 if name.ends_with("num_batches_tracked") => {}
                other => return Err(format!("{name} holds {other:?}, expected F32").into()),
            }
        }
        Ok(state)
    }

    pub fn insert(&mut self, name: impl Into<String>, array: ArrayD<f32>) {
        self.0.insert(name.into(), array);
    }

    /// A tensor of any shape.
    pub fn take_any(&mut self, name: &str) -> Result<ArrayD<f32>> {
        Ok(self.0.remove(name).ok_or_else(|| format!("{name} is missing"))?)
    }

    /// A tensor, which must have this shape.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<ArrayD<f32>> {
        let array = self.take_any(name)?;
        match array.shape() == shape {
            true => Ok(array),
            false => Err(format!("{name} has the shape {:?}, expected {shape:?}", array.shape()).into()),
        }
    }

    /// A layer's weight and bias, with the batch norm that follows folded into them, if there is one: its eps is PyTorch's
    /// default. `groups` are those of a transposed convolution.
    pub fn weights(
        &mut self,
        name: &str,
        shape: &[usize],
        has_bias: bool,
        norm: Option<&str>,
        groups: Option<usize>,
    ) -> Result<(ArrayD<f32>, Option<ArrayD<f32>>)> {
        let channels = [groups.map_or(shape[0], |groups| groups * shape[1])];
        let weight = self.take(&format!("{name}.weight"), shape)?;
        let bias = has_bias.then(|| self.take(&format!("{name}.bias"), &channels)).transpose()?;
        let Some(norm) = norm else { return Ok((weight, bias)) };
        let mut part = |part| self.take(&format!("{norm}.{part}"), &channels);
        let (mean, var, scale, shift) = (part("running_mean")?, part("running_var")?, part("weight")?, part("bias")?);
        let norm = FoldedBatchNorm {
            weight: Some(&scale as &dyn AsArray<f32>),
            bias: Some(&shift),
            transposed: groups,
            ..FoldedBatchNorm::new(&mean, &var)
        };
        let (weight, bias) = fold_batch_norm(&weight, bias.as_ref().map(|bias| bias as _), &norm)?;
        Ok((weight, Some(bias)))
    }

    /// Fails if anything is left, since then this is another network's.
    pub fn expect_empty(&self) -> Result<()> {
        match self.0.keys().next() {
            Some(name) => Err(format!("{name} is no tensor of this network").into()),
            None => Ok(()),
        }
    }
}
