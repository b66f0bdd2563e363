//! conv_transpose2d: transposed convolution, the gradient of a convolution with respect to its input.

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Definition, arguments};
use crate::ops::epilogue::{Epilogue, with_epilogue};
use crate::shape::{self, ImageShape};
use crate::window::{Padding, Window, expect_positive};

/// Parameters of [`conv_transpose2d`](crate::conv_transpose2d), as in `torch.nn.functional.conv_transpose2d`. Pairs are
/// (rows, columns), in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvTranspose2dParams {
    /// The distance in the output between the windows of neighbouring input elements, at least 1. Default: 1.
    pub stride: [usize; 2],
    /// The number of rows and columns cut off on each side of the output. Default: 0.
    pub padding: Padding,
    /// The number of rows and columns added at the end of the output; less than `stride` or less than `dilation`.
    /// Default: 0.
    pub output_padding: [usize; 2],
    /// The number of groups that the channels are split into, each convolved on its own. It must divide C and O.
    /// Default: 1.
    pub groups: usize,
    /// The distance between elements of the kernel, at least 1. Default: 1.
    pub dilation: [usize; 2],
}

impl Default for ConvTranspose2dParams {
    fn default() -> Self {
        ConvTranspose2dParams {
            stride: [1, 1],
            padding: Padding::default(),
            output_padding: [0, 0],
            groups: 1,
            dilation: [1, 1],
        }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(
    ConvTranspose2dParams: default(), stride, padding by amounts, output_padding, groups, dilation
);

/// A validated [`conv_transpose2d`](crate::conv_transpose2d) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvTranspose2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) groups: usize,
    pub(crate) out_channels: usize,
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) has_bias: bool,
    output: Vec<usize>,
    pub(crate) epilogue: Epilogue,
    #[cfg(feature = "gpu-core")]
    algorithm: ConvTranspose2dAlgorithm,
}

arguments! {
    /// The inputs of [`conv_transpose2d`](crate::conv_transpose2d): C input channels, O output channels, a kernel of R
    /// rows and S columns.
    #[derive(Copy)]
    pub struct ConvTranspose2dInputs<F> {
        /// f32, (N,C,H,W) or (C,H,W).
        input: float,
        /// f32, (C,O/groups,R,S).
        weight: float,
        /// f32, (O): the number added to each output channel. Default: none. Present exactly if the operator was made
        /// with one.
        bias: optional float,
        /// f32, of the output's shape: what is added before the activation. It may be the output's own buffer. Default:
        /// none. Present exactly if the operator is `with_residual`.
        residual: optional float,
        /// f32, (1) or (O): prelu's slopes. Default: none. Present exactly if the operator's activation is prelu.
        activation_weight: optional float,
    }
}

arguments! {
    /// The outputs of [`conv_transpose2d`](crate::conv_transpose2d).
    #[derive(Copy)]
    pub struct ConvTranspose2dOutputs<F> {
        /// f32, (N,O,out_rows,out_cols) or (O,out_rows,out_cols).
        output: float,
    }
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
        let input = ImageShape::new(Self::NAME, input)?;
        let [in_channels, group_out_channels, kernel_rows, kernel_cols] = shape::weight(Self::NAME, weight)?;
        let groups = params.groups;
        if groups == 0 {
            return Err(Error::invalid(Self::NAME, "groups", "at least 1", "0"));
        }
        if in_channels != input.channels {
            return Err(Error::invalid(
                Self::NAME,
                "weight",
                format!("the {} input channels of input", input.channels),
                format!("{in_channels}"),
            ));
        }
        if !in_channels.is_multiple_of(groups) {
            return Err(Error::invalid(
                Self::NAME,
                "groups",
                format!("a divisor of the {in_channels} channels of input"),
                format!("{groups}"),
            ));
        }
        // At most the number of the weight's elements, so this cannot overflow.
        let out_channels = group_out_channels * groups;
        shape::expect_vector(Self::NAME, "bias", out_channels, bias)?;

        expect_positive(Self::NAME, "stride", params.stride)?;
        expect_positive(Self::NAME, "dilation", params.dilation)?;
        let Some(padding) = params.padding.amounts() else {
            return Err(Error::invalid(Self::NAME, "padding", "numbers of positions", "\"same\""));
        };
        let windows =
            Window::pair(Self::NAME, "weight", [kernel_rows, kernel_cols], params.stride, padding, params.dilation)?;
        for axis in [0, 1] {
            let most = params.stride[axis].max(params.dilation[axis]) - 1;
            if params.output_padding[axis] > most {
                return Err(Error::invalid(
                    Self::NAME,
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
            windows[0].transposed_output_length(Self::NAME, input.rows, params.output_padding[0])?,
            windows[1].transposed_output_length(Self::NAME, input.cols, params.output_padding[1])?,
        ];
        let output = input.with_plane(out_channels, out_rows, out_cols);
        shape::element_count(Self::NAME, "output", &output)?;
        Ok(ConvTranspose2d {
            input,
            windows,
            groups,
            out_channels,
            out_rows,
            out_cols,
            has_bias: bias.is_some(),
            output,
            epilogue: Epilogue::default(),
            #[cfg(feature = "gpu-core")]
            algorithm: ConvTranspose2dAlgorithm::Auto,
        })
    }

    /// The transposed convolution of an input by these windows that has an output like `output`, without a bias: a
    /// gradient. Its windows need not be those of any parameters.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn of_windows(input: ImageShape, windows: [Window; 2], groups: usize, output: &ImageShape) -> Self {
        ConvTranspose2d {
            input,
            windows,
            groups,
            out_channels: output.channels,
            out_rows: output.rows,
            out_cols: output.cols,
            has_bias: false,
            output: output.shape.clone(),
            epilogue: Epilogue::default(),
            algorithm: ConvTranspose2dAlgorithm::Auto,
        }
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

with_epilogue!(ConvTranspose2d, out_channels);

impl Definition for ConvTranspose2d {
    const NAME: &'static str = "conv_transpose2d";
    type Params = ConvTranspose2dParams;
    type Inputs = ConvTranspose2dInputs<()>;
    type Outputs = ConvTranspose2dOutputs<()>;

    fn of_shapes(inputs: &ConvTranspose2dInputs<Vec<usize>>, params: &ConvTranspose2dParams) -> Result<Self> {
        let operator = ConvTranspose2d::new(&inputs.input, &inputs.weight, inputs.bias.as_deref(), params)?;
        Ok(if inputs.residual.is_some() { operator.with_residual() } else { operator })
    }

    fn activated(&self, activation: Activation) -> Result<Option<Self>> {
        self.clone().with_activation(activation).map(Some)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }

    #[cfg(feature = "gpu-core")]
    fn by_every_algorithm(&self) -> Vec<(String, Self)> {
        let each = ConvTranspose2dAlgorithm::ALL.iter();
        each.map(|&algorithm| (format!("{algorithm:?}"), self.clone().with_algorithm(algorithm))).collect()
    }
}

#[cfg(feature = "gpu-core")]
pub use backward::*;
#[cfg(feature = "gpu-core")]
pub use {on_gpu::*, plan::*};

mod backward;

#[cfg(feature = "gpu-core")]
mod on_gpu;
#[cfg(feature = "gpu-core")]
mod plan;
