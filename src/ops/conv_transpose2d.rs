//! conv_transpose2d: transposed convolution, the gradient of a convolution with respect to its input.

use crate::error::{Error, Result};
use crate::gemm_tiles::GemmTiles;
use crate::ops::conv2d::weight_shape;
use crate::shape::{self, ImageShape};
use crate::window::{Window, expect_positive};

const NAME: &str = "conv_transpose2d";

/// How [`conv_transpose2d`](crate::conv_transpose2d) is computed on the GPU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvTranspose2dAlgorithm {
    /// What fits the shapes and the adapter best; always one that is deterministic.
    #[default]
    Auto,
    /// One sum of products for each output element.
    Gather,
    /// The output's rows and columns taken apart by what of the kernel they use, each part a convolution of patches in
    /// registers: for software adapters.
    Phases,
    /// For each phase a product of matrices in tiles, of which the one of inputs is never made: for GPUs. Small outputs
    /// split it, and need a workspace.
    ImplicitGemm,
    /// Each input element's products are added into the output atomically, in no fixed order: the last bits change
    /// from run to run. Runs natively where the device has wgpu's `SHADER_FLOAT32_ATOMIC`, else by compare-exchange.
    ScatterAdd,
}

impl ConvTranspose2dAlgorithm {
    /// Every algorithm that can be asked for.
    pub const ALL: &[Self] = &[Self::Auto, Self::Gather, Self::Phases, Self::ImplicitGemm, Self::ScatterAdd];
}

/// Parameters of [`conv_transpose2d`](crate::conv_transpose2d), as in `torch.nn.functional.conv_transpose2d`. Pairs are
/// (rows, columns).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvTranspose2dParams {
    /// How far apart the input's elements are spread in the output.
    pub stride: [usize; 2],
    /// How much is cut off every side of the output.
    pub padding: [usize; 2],
    /// How much is added to the end of the output; less than `stride` or `dilation`.
    pub output_padding: [usize; 2],
    /// Into how many groups the channels are split, each on its own.
    pub groups: usize,
    /// How far elements of the kernel are apart.
    pub dilation: [usize; 2],
    /// How it is computed on the GPU.
    pub algorithm: ConvTranspose2dAlgorithm,
}

impl Default for ConvTranspose2dParams {
    fn default() -> Self {
        ConvTranspose2dParams {
            stride: [1, 1],
            padding: [0, 0],
            output_padding: [0, 0],
            groups: 1,
            dilation: [1, 1],
            algorithm: ConvTranspose2dAlgorithm::Auto,
        }
    }
}

/// A validated [`conv_transpose2d`](crate::conv_transpose2d) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvTranspose2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) groups: usize,
    pub(crate) out_channels: usize,
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) has_bias: bool,
    algorithm: ConvTranspose2dAlgorithm,
}

impl ConvTranspose2d {
    /// Checks the parameters against an input of shape (N,C,H,W) or (C,H,W), a weight (C,O/groups,R,S) and, if there is
    /// one, a bias (O).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` or `weight` of another rank or with an empty dimension other than N,
    /// channels that `groups` do not divide or that do not agree, a `bias` of another shape, a `stride`, `dilation` or
    /// `groups` of 0, an `output_padding` that is neither below `stride` nor below `dilation`, and a `padding` that
    /// leaves no output; [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(
        input: &[usize],
        weight: &[usize],
        bias: Option<&[usize]>,
        params: &ConvTranspose2dParams,
    ) -> Result<Self> {
        let input = ImageShape::new(NAME, input)?;
        let [in_channels, group_out_channels, kernel_rows, kernel_cols] = weight_shape(NAME, weight)?;
        let groups = params.groups;
        if groups == 0 {
            return Err(Error::invalid(NAME, "groups", "at least 1", "0"));
        }
        if in_channels != input.channels {
            return Err(Error::invalid(
                NAME,
                "weight",
                format!("the {} input channels of input", input.channels),
                format!("{in_channels}"),
            ));
        }
        if !in_channels.is_multiple_of(groups) {
            return Err(Error::invalid(
                NAME,
                "groups",
                format!("a divisor of the {in_channels} channels of input"),
                format!("{groups}"),
            ));
        }
        // No more than the weight's own elements, so this cannot overflow.
        let out_channels = group_out_channels * groups;
        shape::expect_vector(NAME, "bias", out_channels, bias)?;

        expect_positive(NAME, "stride", params.stride)?;
        expect_positive(NAME, "dilation", params.dilation)?;
        let windows =
            Window::pair(NAME, "weight", [kernel_rows, kernel_cols], params.stride, params.padding, params.dilation)?;
        for axis in [0, 1] {
            let most = params.stride[axis].max(params.dilation[axis]) - 1;
            if params.output_padding[axis] > most {
                return Err(Error::invalid(
                    NAME,
                    "output_padding",
                    format!(
                        "less than stride or dilation (stride {:?}, dilation {:?})",
                        params.stride, params.dilation
                    ),
                    format!("{:?}", params.output_padding),
                ));
            }
        }
        let [out_rows, out_cols] = [
            windows[0].transposed_output_length(NAME, input.rows, params.output_padding[0])?,
            windows[1].transposed_output_length(NAME, input.cols, params.output_padding[1])?,
        ];
        let operator = ConvTranspose2d {
            input,
            windows,
            groups,
            out_channels,
            out_rows,
            out_cols,
            has_bias: bias.is_some(),
            algorithm: params.algorithm,
        };
        shape::element_count(NAME, "output", &operator.output_shape())?;
        Ok(operator)
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> Vec<usize> {
        self.input.with_plane(self.out_channels, self.out_rows, self.out_cols)
    }

    /// The algorithm that was asked for. Which one runs depends on the adapter too, if it was
    /// [`ConvTranspose2dAlgorithm::Auto`].
    pub fn algorithm(&self) -> ConvTranspose2dAlgorithm {
        self.algorithm
    }

    fn group_out_channels(&self) -> usize {
        self.out_channels / self.groups
    }

    /// The greatest common divisors of stride and dilation.
    fn divisors(&self) -> [usize; 2] {
        [0, 1].map(|axis| common_divisor(self.windows[axis].stride, self.windows[axis].dilation))
    }

    /// How far kernel elements of one output are apart, along rows and columns.
    fn kernel_steps(&self) -> [usize; 2] {
        let divisors = self.divisors();
        [0, 1].map(|axis| self.windows[axis].stride / divisors[axis])
    }

    /// The most kernel elements that an output uses.
    fn taps(&self) -> [usize; 2] {
        let steps = self.kernel_steps();
        [0, 1].map(|axis| self.windows[axis].kernel.div_ceil(steps[axis]))
    }

    /// How many phases have kernel elements.
    fn phases(&self) -> usize {
        let steps = self.kernel_steps();
        [0, 1].map(|axis| self.windows[axis].kernel.min(steps[axis])).iter().product()
    }

    /// Whether every output position is in one of them.
    fn are_phases_all(&self) -> bool {
        let divisors = self.divisors();
        [0, 1].iter().all(|&axis| divisors[axis] == 1 && self.windows[axis].kernel >= self.windows[axis].stride)
    }

    /// The most products that an element of the output is the sum of.
    fn k(&self) -> usize {
        self.input.channels / self.groups * self.taps().iter().product::<usize>()
    }

    /// The pixels of the largest phase.
    fn phase_pixels(&self) -> usize {
        self.out_rows.div_ceil(self.windows[0].stride) * self.out_cols.div_ceil(self.windows[1].stride)
    }

    fn gemm_tiles(&self) -> GemmTiles {
        let pixels = self.input.batch * self.phase_pixels();
        let tiles = GemmTiles::new([self.groups * self.phases(), self.group_out_channels(), pixels, self.k()]);
        // What splits leave to be added has to be there for every output.
        if self.are_phases_all() { tiles } else { GemmTiles { splits: 1, ..tiles } }
    }

    /// Whether there are products enough for tiles.
    fn fills_tiles(&self) -> bool {
        self.group_out_channels() >= 16 && self.k() >= 16
    }

    fn workspace_elements(&self) -> usize {
        let splits = match self.algorithm {
            ConvTranspose2dAlgorithm::ImplicitGemm => self.gemm_tiles().splits,
            ConvTranspose2dAlgorithm::Auto if self.fills_tiles() => self.gemm_tiles().splits,
            _ => 1,
        };
        let output: usize = self.output_shape().iter().product();
        if splits > 1 { splits * output } else { 0 }
    }

    /// Bytes of workspace that recording needs, at most: adapters for which another algorithm is taken need none.
    pub fn workspace_size(&self) -> u64 {
        self.workspace_elements() as u64 * shape::ELEMENT_BYTES
    }
}

#[cfg(feature = "gpu")]
pub(crate) use algorithms::KERNELS;
#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod algorithms;
#[cfg(feature = "gpu")]
mod on_gpu;

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// What `number`, which has no common divisor with `modulus`, is multiplied with to give 1 modulo that, by Euclid's extended
/// algorithm.
#[cfg(feature = "gpu")]
fn inverse(number: usize, modulus: usize) -> usize {
    let (mut rest, mut next_rest) = (modulus as i64, (number % modulus) as i64);
    let (mut factor, mut next_factor) = (0, 1);
    while next_rest != 0 {
        let quotient = rest / next_rest;
        (rest, next_rest) = (next_rest, rest - quotient * next_rest);
        (factor, next_factor) = (next_factor, factor - quotient * next_factor);
    }
    factor.rem_euclid(modulus as i64) as usize
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;

    #[test]
    fn inverses_give_one() {
        for modulus in (1..300).chain([65_536, 65_537, 999_983, (1 << 31) - 1]) {
            for number in (1..100).chain([modulus / 2 + 1, modulus + 1, 65_535]) {
                if common_divisor(number, modulus) == 1 {
                    let inverse = inverse(number, modulus);
                    assert!(inverse < modulus, "{number} modulo {modulus}");
                    assert_eq!(number as u128 * inverse as u128 % modulus as u128, 1 % modulus as u128);
                }
            }
        }
    }
}
