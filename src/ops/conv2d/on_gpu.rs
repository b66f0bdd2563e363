//! conv2d on the GPU: what is dispatched, recorded, and called eagerly.

use super::winograd_on_gpu::PackWeight;
use super::{Conv2d, Conv2dAlgorithm, Conv2dParams, NAME};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::kernel::Dispatch;
use crate::gpu::operator::{Operator, Part, Sealed, Split};
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::tensor::{Tensor, expect_same_gpu};
use crate::reference;
use crate::shape::ELEMENT_BYTES;
use crate::validation::{Replay, largest, magnitudes, read, replay, rounding};

/// The buffers of a recorded [`Conv2d`].
#[derive(Debug, Clone, Copy)]
pub struct Conv2dBuffers<'a> {
    /// f32, of the input's shape.
    pub input: wgpu::BufferSlice<'a>,
    /// f32, (O, C / groups, R, S).
    pub weight: wgpu::BufferSlice<'a>,
    /// f32, (O); if the operator was made with one.
    pub bias: Option<wgpu::BufferSlice<'a>>,
    /// f32, of the output's shape.
    pub output: wgpu::BufferSlice<'a>,
    /// [`Conv2d::workspace_size`] bytes, if that is not 0; those of [`Conv2d::workspace_size_on`] will do.
    pub workspace: Option<wgpu::BufferSlice<'a>>,
}

impl Sealed for Conv2d {}

impl Operator for Conv2d {
    fn name(&self) -> &'static str {
        NAME
    }

    fn split(&self) -> Split {
        let input = self.input.channels * self.input.rows * self.input.cols;
        let output = self.out_channels * self.out_rows * self.out_cols;
        // The workspace is small, or used again for every part.
        Split { items: self.input.batch, shares: vec![("input", input), ("output", output)] }
    }

    fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        if part.items == 0 {
            return Vec::new();
        }
        self.dispatches_by(self.algorithm_on(gpu), gpu, part)
    }
}

impl Conv2d {
    fn workspace_elements_on(&self, gpu: &Gpu) -> usize {
        match self.algorithm_on(gpu) {
            Conv2dAlgorithm::Winograd2x2 if self.transformed_tile(gpu).is_none() => 0,
            algorithm => self.workspace_elements_by(algorithm),
        }
    }

    /// Bytes of workspace that recording needs on this device.
    pub fn workspace_size_on(&self, gpu: &Gpu) -> u64 {
        self.workspace_elements_on(gpu) as u64 * ELEMENT_BYTES
    }

    /// Compiles what recording needs, now rather than then.
    ///
    /// # Errors
    /// As [`Gpu::warm_up`].
    pub fn warm_up(&self, gpu: &Gpu) -> Result<()> {
        gpu.warm_up(&[self, &PackWeight(self)])
    }

    /// Records the operator on the caller's buffers.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is missing, too small,
    /// misaligned, without `STORAGE`, or both read and written;
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the device's limits.
    pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &Conv2dBuffers<'_>) -> Result<()> {
        self.record_with(recorder, buffers, None)
    }

    pub(super) fn record_with(
        &self,
        recorder: &mut Recorder<'_>,
        buffers: &Conv2dBuffers<'_>,
        packed_weight: Option<wgpu::BufferSlice<'_>>,
    ) -> Result<()> {
        let mut arguments = vec![
            Argument::read("input", buffers.input, self.input.count()),
            Argument::read("weight", buffers.weight, self.weight_count()),
            Argument::write("output", buffers.output, self.output_shape().iter().product()),
        ];
        let bias_count = self.has_bias.then_some(self.out_channels);
        arguments.extend(Argument::optional(NAME, "bias", buffers.bias, bias_count)?);
        let elements = self.workspace_elements_on(recorder.gpu());
        arguments.extend(Argument::workspace(NAME, buffers.workspace, elements)?);
        let packed = self.packed_elements_on(recorder.gpu());
        let packed_weight = packed_weight.filter(|_| packed > 0);
        arguments.extend(Argument::optional(NAME, "packed_weight", packed_weight, (packed > 0).then_some(packed))?);
        recorder.run(self, &arguments)
    }
}

/// The convolution of an input (N,C,H,W) or (C,H,W) with a weight (O,C/groups,R,S), as
/// [`torch.nn.functional.conv2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.conv2d.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::{Array1, Array4};
/// use wgdnn::{Conv2dParams, Gpu, Tensor, conv2d};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &Array4::<f32>::zeros((1, 3, 32, 32)))?;
/// let weight = Tensor::from_array(&gpu, &Array4::<f32>::zeros((6, 3, 5, 5)))?;
/// let bias = Tensor::from_array(&gpu, &Array1::<f32>::zeros(6))?;
/// let params = Conv2dParams { stride: [2, 2], padding: [2, 2].into(), ..Default::default() };
/// let features = conv2d(&input, &weight, Some(&bias), &params)?;
/// assert_eq!(features.shape(), [1, 6, 16, 16]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Conv2d::new`] and [`Conv2d::record`].
pub fn conv2d(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams) -> Result<Tensor> {
    convolve(input, weight, None, bias, params)
}

/// A weight of [`conv2d_packed`] with what algorithms make of it, made once.
#[derive(Clone)]
pub struct PackedWeight {
    weight: Tensor,
    packed: Option<Packed>,
}

impl std::fmt::Debug for PackedWeight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tile = self.packed.as_ref().map(|packed| packed.tile);
        f.debug_struct("PackedWeight").field("weight", &self.weight).field("tile", &tile).finish_non_exhaustive()
    }
}

/// A packed weight, and what it was packed for.
#[derive(Clone)]
struct Packed {
    tensor: Tensor,
    tile: usize,
    groups: usize,
}

impl PackedWeight {
    /// Packs a weight (O,C/groups,R,S) for the algorithm that these parameters take on its device, if that can use it: for
    /// [`Conv2dAlgorithm::Auto`] the one that it takes for a large image.
    ///
    /// # Errors
    /// As [`Conv2d::new`] for the weight and the parameters.
    pub fn new(weight: &Tensor, params: &Conv2dParams) -> Result<Self> {
        let gpu = weight.gpu();
        let [_, in_channels, rows, cols] = super::weight_shape(NAME, weight.shape())?;
        let extent = |kernel: usize, dilation: usize| (kernel - 1).saturating_mul(dilation).saturating_add(64);
        let channels = in_channels.saturating_mul(params.groups);
        let input = [1, channels, extent(rows, params.dilation[0]), extent(cols, params.dilation[1])];
        let operator = Conv2d::new(&input, weight.shape(), None, params)?.with_packed_weight();
        let packed = match operator.transformed_tile(gpu) {
            Some(tile) => {
                let tensor = Tensor::uninitialized(gpu, NAME, &[operator.packed_elements_on(gpu)])?;
                gpu.eager(&PackWeight(&operator), &[weight.storage()], &[tensor.storage()], |recorder| {
                    operator.record_pack_weight(recorder, weight.own_slice(), tensor.own_slice())
                })?;
                Some(Packed { tensor, tile, groups: params.groups })
            }
            None => None,
        };
        Ok(PackedWeight { weight: weight.clone(), packed })
    }

    /// The weight as it was.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

/// [`conv2d`] with a weight that was packed once, for those that are used many times. Where parameters or the input lead to
/// another algorithm than it was packed for, the weight itself is used.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::Array4;
/// use wgdnn::{Conv2dAlgorithm, Conv2dParams, Gpu, PackedWeight, Tensor, conv2d_packed};
///
/// let gpu = Gpu::new_blocking()?;
/// let params = Conv2dParams { algorithm: Conv2dAlgorithm::Winograd4x4, ..Default::default() };
/// let weight = Tensor::from_array(&gpu, &Array4::<f32>::zeros((64, 64, 3, 3)))?;
/// let weight = PackedWeight::new(&weight, &params)?;
/// let mut features = Tensor::from_array(&gpu, &Array4::<f32>::zeros((1, 64, 56, 56)))?;
/// for _ in 0..10 {
///     features = conv2d_packed(&features, &weight, None, &params)?;
/// }
/// assert_eq!(features.shape(), [1, 64, 36, 36]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`conv2d`].
pub fn conv2d_packed(
    input: &Tensor,
    weight: &PackedWeight,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
) -> Result<Tensor> {
    convolve(input, &weight.weight, weight.packed.as_ref(), bias, params)
}

fn convolve(
    input: &Tensor,
    weight: &Tensor,
    packed: Option<&Packed>,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
) -> Result<Tensor> {
    let gpu = input.gpu();
    let mut operator = Conv2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    let mut fitting = None;
    if let Some(packed) = packed.filter(|packed| packed.groups == params.groups) {
        let with_packed = operator.clone().with_packed_weight();
        if with_packed.transformed_tile(gpu) == Some(packed.tile) {
            operator = with_packed;
            fitting = Some(&packed.tensor);
        }
    }
    let packed = fitting;
    expect_same_gpu(NAME, gpu, &[("weight", Some(weight.gpu())), ("bias", bias.map(Tensor::gpu))])?;
    let workspace = gpu.workspace(NAME, operator.workspace_elements_on(gpu))?;
    let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
    let mut reads = vec![input.storage(), weight.storage()];
    reads.extend(bias.map(Tensor::storage));
    reads.extend(packed.map(Tensor::storage));
    gpu.eager(&operator, &reads, &[output.storage()], |recorder| {
        let buffers = Conv2dBuffers {
            input: input.own_slice(),
            weight: weight.own_slice(),
            bias: bias.map(Tensor::own_slice),
            output: output.own_slice(),
            workspace: workspace.as_ref().map(|workspace| workspace.buffer().slice(..)),
        };
        operator.record_with(recorder, &buffers, packed.map(Tensor::own_slice))
    })?;
    replay(gpu, NAME, || {
        let [x, w] = [read(input)?, read(weight)?];
        let b = bias.map(read).transpose()?;
        let expected = reference::conv2d(&x, &w, b.as_ref().map(|b| b as _), params)?;
        let b = b.as_ref().map(magnitudes);
        let b = b.as_ref().map(|b| b as _);
        let sums = reference::conv2d(&magnitudes(&x), &magnitudes(&w), b, params)?.into_flat();
        let terms = operator.in_channels() * operator.windows[0].kernel * operator.windows[1].kernel;
        // Winograd's transforms also round what is beside an output's own window, by up to 100 times the products there.
        let is_winograd =
            matches!(operator.algorithm_on(gpu), Conv2dAlgorithm::Winograd2x2 | Conv2dAlgorithm::Winograd4x4);
        let largest_sum = sums.iter().copied().filter(|sum| sum.is_finite()).fold(0.0, f32::max);
        let beside = 2.0 * f64::from(largest_sum) + 100.0 * largest(&x) * largest(&w);
        let sum_at = |index: usize| if is_winograd { beside } else { sums[index].into() };
        let shapes = vec![("input", input.shape().to_vec()), ("weight", weight.shape().to_vec())];
        Replay { operator: NAME, shapes }
            .floats("output", &output, &expected, |index| rounding(terms + 2, sum_at(index)))?;
        Ok(())
    })?;
    Ok(output)
}
