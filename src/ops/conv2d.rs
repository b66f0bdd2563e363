//! conv2d: two-dimensional convolution (a cross-correlation, as everywhere in the field).

use crate::error::{Error, Result};
use crate::gemm_tiles::GemmTiles;
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
    /// Patches of 8 pixels by up to 16 channels in registers: for software adapters.
    Patches,
    /// Tiles of 4 by 4 pixels by up to 8 channels in registers, for kernels of 3 by 3 with stride and dilation 1 alone:
    /// for software adapters.
    Tiles,
    /// A product of matrices in tiles, of which the one of inputs is never made: for GPUs. Small outputs split it, and need
    /// a workspace.
    ImplicitGemm,
    /// Winograd's F(2x2, 3x3), for kernels of 3 by 3 with stride and dilation 1 alone: 2.25 times fewer products. On GPUs it
    /// is one kernel and takes the 16 KiB of workgroup memory that WebGPU gives; on Mesa's software adapters it is four through a
    /// workspace of some 16 MiB and at least twice the weight, which can be packed once instead. Sums that are not finite are
    /// computed again directly, which takes several times as long.
    Winograd2x2,
    /// Winograd's F(4x4, 3x3), for kernels of 3 by 3 with stride and dilation 1 and 64 to 7,900 input channels a group: 4
    /// times fewer products, by four kernels through a workspace of some 16 MiB and at least 4 times the weight, which can be
    /// packed once instead. It rounds more than the others: its error on the tests' cases is up to 8 times that of PyTorch's
    /// float32, where theirs is up to 4 times, and more where a tile holds few outputs or small ones beside large. So
    /// [`Conv2dAlgorithm::Auto`] never takes it.
    Winograd4x4,
}

impl Conv2dAlgorithm {
    /// Every algorithm that can be asked for.
    pub const ALL: &[Self] = &[
        Self::Auto,
        Self::Direct,
        Self::Patches,
        Self::Tiles,
        Self::ImplicitGemm,
        Self::Winograd2x2,
        Self::Winograd4x4,
    ];
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
    algorithm: Conv2dAlgorithm,
    /// Whether the weight is packed too.
    is_packed: bool,
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
    /// `groups` of 0, [`Padding::Same`] with a stride, a kernel larger than the padded input, and an `algorithm` for other
    /// kernels;
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
        let has_bias = bias.is_some();
        let algorithm = params.algorithm;
        let is_packed = false;
        let operator =
            Conv2d { input, windows, groups, out_channels, out_rows, out_cols, has_bias, algorithm, is_packed };
        shape::element_count(NAME, "output", &operator.output_shape())?;
        operator.check_algorithm()?;
        Ok(operator)
    }

    /// Some algorithms are for some kernels.
    fn check_algorithm(&self) -> Result<()> {
        let algorithm = self.algorithm;
        let of_3x3 = [Conv2dAlgorithm::Tiles, Conv2dAlgorithm::Winograd2x2, Conv2dAlgorithm::Winograd4x4];
        if of_3x3.contains(&algorithm) && !self.is_dense_3x3() {
            let [rows, cols] = &self.windows;
            return Err(Error::invalid(
                NAME,
                "algorithm",
                "one for any kernel, or a kernel of 3 by 3 with stride and dilation 1",
                format!(
                    "{algorithm:?} with a kernel of {} by {}, stride {:?} and dilation {:?}",
                    rows.kernel,
                    cols.kernel,
                    [rows.stride, cols.stride],
                    [rows.dilation, cols.dilation]
                ),
            ));
        }
        let [least, most] = [winograd::MIN_CHANNELS_4X4, winograd::MAX_CHANNELS];
        if algorithm == Conv2dAlgorithm::Winograd4x4 && !(least..=most).contains(&self.in_channels()) {
            return Err(Error::invalid(
                NAME,
                "algorithm",
                format!("one for any number of channels, or {least} to {most} input channels a group"),
                format!("{algorithm:?} with {}", self.in_channels()),
            ));
        }
        Ok(())
    }

    /// Whether the kernel is 3 by 3 with stride and dilation 1.
    fn is_dense_3x3(&self) -> bool {
        self.windows.iter().all(|window| window.kernel == 3 && window.stride == 1 && window.dilation == 1)
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        self.input.with_plane(self.out_channels, self.out_rows, self.out_cols)
    }

    /// The algorithm that was asked for. Which one runs depends on the adapter too, if it was
    /// [`Conv2dAlgorithm::Auto`].
    pub fn algorithm(&self) -> Conv2dAlgorithm {
        self.algorithm
    }

    /// How many products an element of the output is the sum of.
    fn k(&self) -> usize {
        self.in_channels() * self.windows[0].kernel * self.windows[1].kernel
    }

    fn gemm_tiles(&self) -> GemmTiles {
        let pixels = self.input.batch * self.out_rows * self.out_cols;
        GemmTiles::new([self.groups, self.group_out_channels(), pixels, self.k()])
    }

    /// Of the sums of a split product, and of all that Winograd's algorithms hold, where they need a workspace.
    fn workspace_elements_by(&self, algorithm: Conv2dAlgorithm) -> usize {
        match algorithm {
            Conv2dAlgorithm::ImplicitGemm => {
                let splits = self.gemm_tiles().splits;
                let output: usize = self.output_shape().iter().product();
                if splits > 1 { splits * output } else { 0 }
            }
            Conv2dAlgorithm::Winograd2x2 if self.in_channels() <= winograd::MAX_CHANNELS => {
                winograd::Layout::new(self, 2).workspace_elements(self.is_packed)
            }
            Conv2dAlgorithm::Winograd4x4 => winograd::Layout::new(self, 4).workspace_elements(self.is_packed),
            _ => 0,
        }
    }

    /// As many as any adapter wants.
    fn workspace_elements(&self) -> usize {
        match self.algorithm {
            Conv2dAlgorithm::Auto => [self.algorithm_of_gpus(), self.algorithm_of_software(true)]
                .map(|algorithm| self.workspace_elements_by(algorithm))
                .into_iter()
                .fold(0, usize::max),
            algorithm => self.workspace_elements_by(algorithm),
        }
    }

    /// Bytes of workspace that recording needs, at most: what some adapter needs, by the shapes.
    pub fn workspace_size(&self) -> u64 {
        self.workspace_elements() as u64 * shape::ELEMENT_BYTES
    }

    #[cfg(feature = "gpu")]
    fn weight_count(&self) -> usize {
        self.out_channels * self.k()
    }

    fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }

    fn in_channels(&self) -> usize {
        self.input.channels / self.groups
    }
}

#[cfg(feature = "gpu")]
pub(crate) use algorithms::{KERNELS, patches, split_channels_innermost};
#[cfg(feature = "gpu")]
pub use on_gpu::*;
#[cfg(feature = "gpu")]
pub(crate) use winograd_on_gpu::KERNELS as WINOGRAD_KERNELS;

#[cfg(feature = "gpu")]
mod algorithms;
mod choice;
#[cfg(feature = "gpu")]
mod on_gpu;
mod winograd;
#[cfg(feature = "gpu")]
mod winograd_on_gpu;
