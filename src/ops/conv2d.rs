//! conv2d: two-dimensional convolution (a cross-correlation, as everywhere in the field).

use crate::error::{Error, Result};
use crate::shape::{self, ImageShape};
use crate::window::{Window, expect_positive};

const NAME: &str = "conv2d";

/// The zeros around a convolution's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// This many on both sides of rows and columns; PyTorch's `0` is `Explicit([0, 0])`.
    Explicit([usize; 2]),
    /// As many as give an output of the input's size; where that is odd, one more behind than before. Stride 1 only.
    Same,
    /// None.
    Valid,
}

impl Default for Padding {
    fn default() -> Self {
        Padding::Explicit([0, 0])
    }
}

impl From<[usize; 2]> for Padding {
    fn from(padding: [usize; 2]) -> Self {
        Padding::Explicit(padding)
    }
}

/// How [`conv2d`](crate::conv2d) is computed on the GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conv2dAlgorithm {
    /// What fits the shapes and the adapter best.
    #[default]
    Auto,
    /// One sum of products for each output element.
    Direct,
}

impl Conv2dAlgorithm {
    /// Every algorithm that can be asked for.
    pub const ALL: &[Self] = &[Self::Auto, Self::Direct];
}

/// Parameters of [`conv2d`](crate::conv2d), as in `torch.nn.functional.conv2d`. Pairs are (rows, columns).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2dParams {
    /// How far windows are apart.
    pub stride: [usize; 2],
    /// The zeros around the input.
    pub padding: Padding,
    /// How far elements of the kernel are apart.
    pub dilation: [usize; 2],
    /// Into how many groups the channels are split, each convolved on its own.
    pub groups: usize,
    /// How it is computed on the GPU.
    pub algorithm: Conv2dAlgorithm,
}

impl Default for Conv2dParams {
    fn default() -> Self {
        Conv2dParams {
            stride: [1, 1],
            padding: Padding::default(),
            dilation: [1, 1],
            groups: 1,
            algorithm: Conv2dAlgorithm::Auto,
        }
    }
}

/// A validated [`conv2d`](crate::conv2d) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) groups: usize,
    pub(crate) out_channels: usize,
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) has_bias: bool,
}

/// Reads a weight's shape: four dimensions, none of them empty.
pub(super) fn weight_shape(operator: &'static str, weight: &[usize]) -> Result<[usize; 4]> {
    let shape = <[usize; 4]>::try_from(weight)
        .map_err(|_| Error::invalid(operator, "weight", "4 dimensions", format!("shape {weight:?}")))?;
    if shape.contains(&0) {
        return Err(Error::invalid(operator, "weight", "no empty dimension", format!("shape {weight:?}")));
    }
    shape::element_count(operator, "weight", weight)?;
    Ok(shape)
}

impl Conv2d {
    /// Checks the parameters against an input of shape (N,C,H,W) or (C,H,W), a weight (O,C/groups,R,S) and, if there is
    /// one, a bias (O).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` or `weight` of another rank or with an empty dimension other than N,
    /// channels that `groups` do not divide or that do not agree, a `bias` of another shape, a `stride`, `dilation` or
    /// `groups` of 0, [`Padding::Same`] with a stride, and a kernel larger than the padded input;
    /// [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], weight: &[usize], bias: Option<&[usize]>, params: &Conv2dParams) -> Result<Self> {
        let input = ImageShape::new(NAME, input)?;
        let [out_channels, in_channels, kernel_rows, kernel_cols] = weight_shape(NAME, weight)?;
        let groups = params.groups;
        if groups == 0 {
            return Err(Error::invalid(NAME, "groups", "at least 1", "0"));
        }
        if !input.channels.is_multiple_of(groups) {
            return Err(Error::invalid(
                NAME,
                "groups",
                format!("a divisor of the {} channels of input", input.channels),
                format!("{groups}"),
            ));
        }
        if !out_channels.is_multiple_of(groups) {
            return Err(Error::invalid(
                NAME,
                "groups",
                format!("a divisor of the {out_channels} output channels of weight"),
                format!("{groups}"),
            ));
        }
        if in_channels != input.channels / groups {
            return Err(Error::invalid(
                NAME,
                "weight",
                format!(
                    "{} input channels per group (input has {}, groups = {groups})",
                    input.channels / groups,
                    input.channels
                ),
                format!("{in_channels}"),
            ));
        }
        shape::expect_vector(NAME, "bias", out_channels, bias)?;

        let kernel_size = [kernel_rows, kernel_cols];
        let explicit = match params.padding {
            Padding::Explicit(padding) => padding,
            Padding::Same | Padding::Valid => [0, 0],
        };
        expect_positive(NAME, "stride", params.stride)?;
        expect_positive(NAME, "dilation", params.dilation)?;
        let mut windows = Window::pair(NAME, "weight", kernel_size, params.stride, explicit, params.dilation)?;
        if params.padding == Padding::Same {
            if params.stride != [1, 1] {
                return Err(Error::invalid(
                    NAME,
                    "stride",
                    "[1, 1] with padding \"same\"",
                    format!("{:?}", params.stride),
                ));
            }
            for window in &mut windows {
                let total = window.dilation.saturating_mul(window.kernel - 1);
                window.padding_before = total / 2;
                window.padding_after = total - total / 2;
            }
        }
        let out_rows = windows[0].output_length(NAME, input.rows, false)?;
        let out_cols = windows[1].output_length(NAME, input.cols, false)?;
        let operator = Conv2d { input, windows, groups, out_channels, out_rows, out_cols, has_bias: bias.is_some() };
        shape::element_count(NAME, "output", &operator.output_shape())?;
        Ok(operator)
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        self.input.with_plane(self.out_channels, self.out_rows, self.out_cols)
    }

    /// The algorithm that runs: never [`Conv2dAlgorithm::Auto`].
    pub fn algorithm(&self) -> Conv2dAlgorithm {
        Conv2dAlgorithm::Direct
    }

    /// Bytes of workspace that recording needs.
    pub fn workspace_size(&self) -> u64 {
        match self.algorithm() {
            Conv2dAlgorithm::Auto | Conv2dAlgorithm::Direct => 0,
        }
    }
}

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::{Conv2d, Conv2dParams, NAME};
    use crate::error::Result;
    use crate::gpu::Gpu;
    use crate::gpu::kernel::{Dispatch, Kernel, kernel, split_loops, uniform};
    use crate::gpu::operator::{Operator, Sealed, Split};
    use crate::gpu::recorder::{Argument, Recorder};
    use crate::gpu::tensor::{Tensor, expect_same_gpu};
    use crate::reference;
    use crate::validation::{Replay, magnitudes, read, rounding};

    uniform! {
        struct Params {
            output_count: u32,
            groups: i32,
            in_channels: i32,
            out_channels: i32,
            in_rows: i32,
            in_cols: i32,
            out_rows: i32,
            out_cols: i32,
            kernel_rows: i32,
            kernel_cols: i32,
            stride_rows: i32,
            stride_cols: i32,
            padding_rows: i32,
            padding_cols: i32,
            dilation_rows: i32,
            dilation_cols: i32,
            channel_begin: i32,
            channel_end: i32,
            kernel_row_begin: i32,
            kernel_row_end: i32,
            kernel_col_begin: i32,
            kernel_col_end: i32,
            is_first: u32,
            has_bias: u32,
        }
    }

    static DIRECT: Kernel = kernel!("conv2d", "conv2d", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
    pub(crate) const KERNELS: &[&Kernel] = &[&DIRECT];

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
        /// [`Conv2d::workspace_size`] bytes, if that is not 0.
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
            Split { items: self.input.batch, shares: vec![("input", input), ("output", output)] }
        }

        fn dispatches(&self, _: &Gpu, images: usize) -> Vec<Dispatch> {
            let output_count = images * self.out_channels * self.out_rows * self.out_cols;
            if output_count == 0 {
                return Vec::new();
            }
            let [rows, cols] = &self.windows;
            let bias = if self.has_bias { "bias" } else { "weight" };
            split_loops([self.in_channels(), rows.kernel, cols.kernel])
                .iter()
                .enumerate()
                .map(|(part, [channels, kernel_rows, kernel_cols])| {
                    let params = Params {
                        output_count: output_count as u32,
                        groups: self.groups as i32,
                        in_channels: self.in_channels() as i32,
                        out_channels: (self.out_channels / self.groups) as i32,
                        in_rows: self.input.rows as i32,
                        in_cols: self.input.cols as i32,
                        out_rows: self.out_rows as i32,
                        out_cols: self.out_cols as i32,
                        kernel_rows: rows.kernel as i32,
                        kernel_cols: cols.kernel as i32,
                        stride_rows: rows.stride as i32,
                        stride_cols: cols.stride as i32,
                        padding_rows: rows.padding_before as i32,
                        padding_cols: cols.padding_before as i32,
                        dilation_rows: rows.dilation as i32,
                        dilation_cols: cols.dilation as i32,
                        channel_begin: channels.start as i32,
                        channel_end: channels.end as i32,
                        kernel_row_begin: kernel_rows.start as i32,
                        kernel_row_end: kernel_rows.end as i32,
                        kernel_col_begin: kernel_cols.start as i32,
                        kernel_col_end: kernel_cols.end as i32,
                        is_first: u32::from(part == 0),
                        has_bias: u32::from(self.has_bias),
                    };
                    Dispatch::per_element(
                        &DIRECT,
                        params.to_bytes(),
                        vec!["input", "weight", bias, "output"],
                        output_count,
                    )
                })
                .collect()
        }
    }

    impl Conv2d {
        fn in_channels(&self) -> usize {
            self.input.channels / self.groups
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
        pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &Conv2dBuffers<'_>) -> Result<()> {
            let [rows, cols] = &self.windows;
            let weight_count = self.out_channels * self.in_channels() * rows.kernel * cols.kernel;
            let mut arguments = vec![
                Argument::read("input", buffers.input, self.input.count()),
                Argument::read("weight", buffers.weight, weight_count),
                Argument::write("output", buffers.output, self.output_shape().iter().product()),
            ];
            let bias_count = self.has_bias.then_some(self.out_channels);
            arguments.extend(Argument::optional(NAME, "bias", buffers.bias, bias_count)?);
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
        let gpu = input.gpu();
        let operator = Conv2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
        expect_same_gpu(NAME, gpu, &[("weight", Some(weight.gpu())), ("bias", bias.map(Tensor::gpu))])?;
        let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
        let mut reads = vec![input.storage(), weight.storage()];
        reads.extend(bias.map(Tensor::storage));
        gpu.eager(NAME, &reads, &[output.storage()], |recorder| {
            operator.record(
                recorder,
                &Conv2dBuffers {
                    input: input.own_slice(),
                    weight: weight.own_slice(),
                    bias: bias.map(Tensor::own_slice),
                    output: output.own_slice(),
                    workspace: None,
                },
            )
        })?;
        if gpu.validates() {
            let [x, w] = [read(input)?, read(weight)?];
            let b = bias.map(read).transpose()?;
            let expected = reference::conv2d(&x, &w, b.as_ref(), params)?;
            let b = b.as_ref().map(magnitudes);
            let sums = reference::conv2d(&magnitudes(&x), &magnitudes(&w), b.as_ref(), params)?.into_flat();
            let terms = operator.in_channels() * operator.windows[0].kernel * operator.windows[1].kernel;
            let shapes = vec![("input", input.shape().to_vec()), ("weight", weight.shape().to_vec())];
            Replay { operator: NAME, shapes }
                .floats("output", &output, &expected, |index| rounding(terms + 2, sums[index].into()))?;
        }
        Ok(output)
    }
}
