//! conv_transpose2d on the GPU: what is dispatched, recorded, and called eagerly.

use super::{ConvTranspose2d, ConvTranspose2dAlgorithm, ConvTranspose2dParams, NAME};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::Dispatch;
use crate::gpu::operator::{Operator, Part, Sealed, Split};
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::tensor::{Tensor, expect_same_gpu};
use crate::reference;
use crate::validation::{Replay, magnitudes, read, replay, rounding};

/// The buffers of a recorded [`ConvTranspose2d`].
#[derive(Debug, Clone, Copy)]
pub struct ConvTranspose2dBuffers<'a> {
    /// f32, of the input's shape.
    pub input: wgpu::BufferSlice<'a>,
    /// f32, (C, O / groups, R, S).
    pub weight: wgpu::BufferSlice<'a>,
    /// f32, (O); if the operator was made with one.
    pub bias: Option<wgpu::BufferSlice<'a>>,
    /// f32, of the output's shape.
    pub output: wgpu::BufferSlice<'a>,
    /// [`ConvTranspose2d::workspace_size`] bytes, if that is not 0.
    pub workspace: Option<wgpu::BufferSlice<'a>>,
}

impl Sealed for ConvTranspose2d {}

impl Operator for ConvTranspose2d {
    fn name(&self) -> &'static str {
        NAME
    }

    fn split(&self) -> Split {
        let input = self.input.channels * self.input.rows * self.input.cols;
        let output = self.out_channels * self.out_rows * self.out_cols;
        let workspace = self.workspace_elements() / self.input.batch.max(1);
        Split { items: self.input.batch, shares: vec![("input", input), ("output", output), ("workspace", workspace)] }
    }

    fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        if part.items == 0 {
            return Vec::new();
        }
        self.dispatches_by(self.algorithm_on(gpu), gpu, part)
    }
}

impl ConvTranspose2d {
    /// Only products in tiles are ever split.
    fn workspace_elements_on(&self, gpu: &Gpu) -> usize {
        if self.algorithm_on(gpu) == ConvTranspose2dAlgorithm::ImplicitGemm { self.workspace_elements() } else { 0 }
    }

    /// Compiles what recording needs, now rather than then.
    ///
    /// # Errors
    /// As [`Gpu::warm_up`].
    pub fn warm_up(&self, gpu: &Gpu) -> Result<()> {
        gpu.warm_up(&[self])
    }

    /// Records the operator on the caller's buffers.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is missing, too small,
    /// misaligned, without `STORAGE`, or both read and written;
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the device's limits.
    pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &ConvTranspose2dBuffers<'_>) -> Result<()> {
        let [rows, cols] = &self.windows;
        let weight_count = self.input.channels * self.group_out_channels() * rows.kernel * cols.kernel;
        let mut arguments = vec![
            Argument::read("input", buffers.input, self.input.count()),
            Argument::read("weight", buffers.weight, weight_count),
            Argument::write("output", buffers.output, self.output_shape().iter().product()),
        ];
        let bias_count = self.has_bias.then_some(self.out_channels);
        arguments.extend(Argument::optional(NAME, "bias", buffers.bias, bias_count)?);
        let elements = self.workspace_elements_on(recorder.gpu());
        arguments.extend(Argument::workspace(NAME, buffers.workspace, elements)?);
        recorder.run(self, &arguments)
    }
}

/// The transposed convolution of an input (N,C,H,W) or (C,H,W) with a weight (C,O/groups,R,S), as
/// [`torch.nn.functional.conv_transpose2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.conv_transpose2d.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::Array4;
/// use wgdnn::{ConvTranspose2dParams, Gpu, Tensor, conv_transpose2d};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &Array4::<f32>::zeros((1, 8, 16, 16)))?;
/// let weight = Tensor::from_array(&gpu, &Array4::<f32>::zeros((8, 4, 2, 2)))?;
/// let params = ConvTranspose2dParams { stride: [2, 2], ..Default::default() };
/// let upsampled = conv_transpose2d(&input, &weight, None, &params)?;
/// assert_eq!(upsampled.shape(), [1, 4, 32, 32]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`ConvTranspose2d::new`] and [`ConvTranspose2d::record`].
pub fn conv_transpose2d(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: &ConvTranspose2dParams,
) -> Result<Tensor> {
    let gpu = input.gpu();
    let operator = ConvTranspose2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    expect_same_gpu(NAME, gpu, &[("weight", Some(weight.gpu())), ("bias", bias.map(Tensor::gpu))])?;
    let workspace = gpu.workspace(NAME, operator.workspace_elements_on(gpu))?;
    let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
    let mut reads = vec![input.storage(), weight.storage()];
    reads.extend(bias.map(Tensor::storage));
    gpu.eager(&operator, &reads, &[output.storage()], |recorder| {
        operator.record(
            recorder,
            &ConvTranspose2dBuffers {
                input: input.own_slice(),
                weight: weight.own_slice(),
                bias: bias.map(Tensor::own_slice),
                output: output.own_slice(),
                workspace: workspace.as_ref().map(|workspace| workspace.buffer().slice(..)),
            },
        )
    })?;
    replay(gpu, NAME, || {
        let [x, w] = [read(input)?, read(weight)?];
        let b = bias.map(read).transpose()?;
        let expected = reference::conv_transpose2d(&x, &w, b.as_ref().map(|b| b as _), params)?;
        let b = b.as_ref().map(magnitudes);
        let b = b.as_ref().map(|b| b as _);
        let sums = reference::conv_transpose2d(&magnitudes(&x), &magnitudes(&w), b, params)?.into_flat();
        let terms = operator.input.channels / operator.groups * operator.windows[0].kernel * operator.windows[1].kernel;
        let shapes = vec![("input", input.shape().to_vec()), ("weight", weight.shape().to_vec())];
        Replay { operator: NAME, shapes }
            .floats("output", &output, &expected, |index| rounding(terms + 2, sums[index].into()))?;
        Ok(())
    })?;
    Ok(output)
}
