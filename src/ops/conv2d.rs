//! conv2d: two-dimensional convolution (a cross-correlation, as everywhere in the field).

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Definition, arguments};
use crate::ops::epilogue::{Epilogue, with_epilogue};
use crate::shape::{self, ImageShape};
use crate::window::{Padding, Window, expect_positive};

/// Parameters of [`conv2d`](crate::conv2d), as in `torch.nn.functional.conv2d`. Pairs are (rows, columns), in elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv2dParams {
    /// The distance between windows, at least 1. Default: 1.
    pub stride: [usize; 2],
    /// Zeros added around the input. Default: 0.
    pub padding: Padding,
    /// The distance between elements of the kernel, at least 1. Default: 1.
    pub dilation: [usize; 2],
    /// The number of groups that the channels are split into, each convolved on its own. It must divide C and O.
    /// Default: 1.
    pub groups: usize,
}

impl Default for Conv2dParams {
    fn default() -> Self {
        Conv2dParams { stride: [1, 1], padding: Padding::default(), dilation: [1, 1], groups: 1 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(Conv2dParams: default(), stride, padding, dilation, groups);

/// A validated [`conv2d`](crate::conv2d) on arguments of known shapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) groups: usize,
    pub(crate) out_channels: usize,
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) has_bias: bool,
    output: Vec<usize>,
    #[cfg(feature = "gpu-core")]
    algorithm: Conv2dAlgorithm,
    pub(crate) epilogue: Epilogue,
    /// Whether the operator takes a packed weight too.
    #[cfg(feature = "gpu-core")]
    is_packed: bool,
    /// Whether the weight is that of the convolution whose gradient this one computes: with the channels exchanged and
    /// the kernels mirrored.
    #[cfg(feature = "gpu-core")]
    is_mirrored: bool,
}

arguments! {
    /// The inputs of [`conv2d`](crate::conv2d): C input channels, O output channels, a kernel of R rows and S columns.
    #[derive(Copy)]
    pub struct Conv2dInputs<F> {
        /// f32, (N,C,H,W) or (C,H,W).
        input: float,
        /// f32, (O,C/groups,R,S).
        weight: float,
        /// f32, (O): the number added to each output channel. Default: none. Present exactly if the operator was made
        /// with one.
        bias: optional float,
        /// The weight as `Conv2d::pack_weight` packs it. Default: none. For an operator `with_packed_weight`; others
        /// ignore it.
        packed_weight: packed float,
        /// f32, of the output's shape: what is added before the activation. It may be the output's own buffer. Default:
        /// none. Present exactly if the operator is `with_residual`.
        residual: optional float,
        /// f32, (1) or (O): prelu's slopes. Default: none. Present exactly if the operator's activation is prelu.
        activation_weight: optional float,
    }
}

arguments! {
    /// The outputs of [`conv2d`](crate::conv2d).
    #[derive(Copy)]
    pub struct Conv2dOutputs<F> {
        /// f32, (N,O,out_rows,out_cols) or (O,out_rows,out_cols).
        output: float,
    }
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
        let input = ImageShape::new(Self::NAME, input)?;
        let [out_channels, in_channels, kernel_rows, kernel_cols] = shape::weight(Self::NAME, weight)?;
        let groups = params.groups;
        if groups == 0 {
            return Err(Error::invalid(Self::NAME, "groups", "at least 1", "0"));
        }
        if !input.channels.is_multiple_of(groups) {
            return Err(Error::invalid(
                Self::NAME,
                "groups",
                format!("a divisor of the {} channels of input", input.channels),
                format!("{groups}"),
            ));
        }
        if !out_channels.is_multiple_of(groups) {
            return Err(Error::invalid(
                Self::NAME,
                "groups",
                format!("a divisor of the {out_channels} output channels of weight"),
                format!("{groups}"),
            ));
        }
        if in_channels != input.channels / groups {
            return Err(Error::invalid(
                Self::NAME,
                "weight",
                format!(
                    "{} input channels per group (input has {}, groups = {groups})",
                    input.channels / groups,
                    input.channels
                ),
                format!("{in_channels}"),
            ));
        }
        shape::expect_vector(Self::NAME, "bias", out_channels, bias)?;

        let kernel_size = [kernel_rows, kernel_cols];
        // The windows turn `Padding::Same` into numbers.
        let padding = params.padding.amounts().unwrap_or_default();
        expect_positive(Self::NAME, "stride", params.stride)?;
        expect_positive(Self::NAME, "dilation", params.dilation)?;
        let mut windows = Window::pair(Self::NAME, "weight", kernel_size, params.stride, padding, params.dilation)?;
        if params.padding == Padding::Same {
            if params.stride != [1, 1] {
                return Err(Error::invalid(
                    Self::NAME,
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
        let out_rows = windows[0].output_length(Self::NAME, input.rows, false)?;
        let out_cols = windows[1].output_length(Self::NAME, input.cols, false)?;
        let output = input.with_plane(out_channels, out_rows, out_cols);
        shape::element_count(Self::NAME, "output", &output)?;
        Ok(Conv2d {
            input,
            windows,
            groups,
            out_channels,
            out_rows,
            out_cols,
            has_bias: bias.is_some(),
            output,
            #[cfg(feature = "gpu-core")]
            algorithm: Conv2dAlgorithm::Auto,
            epilogue: Epilogue::default(),
            #[cfg(feature = "gpu-core")]
            is_packed: false,
            #[cfg(feature = "gpu-core")]
            is_mirrored: false,
        })
    }

    /// The convolution of an input by these windows that has an output like `output`, without a bias: a gradient. Its
    /// windows need not be those of any parameters.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn of_windows(input: ImageShape, windows: [Window; 2], groups: usize, output: &ImageShape) -> Self {
        Conv2d {
            input,
            windows,
            groups,
            out_channels: output.channels,
            out_rows: output.rows,
            out_cols: output.cols,
            has_bias: false,
            output: output.shape.clone(),
            algorithm: Conv2dAlgorithm::Auto,
            epilogue: Epilogue::default(),
            is_packed: false,
            is_mirrored: false,
        }
    }

    pub(crate) fn weight_shape(&self) -> [usize; 4] {
        let [rows, cols] = &self.windows;
        [self.out_channels, self.input.channels / self.groups, rows.kernel, cols.kernel]
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

with_epilogue!(Conv2d, out_channels);

impl Definition for Conv2d {
    const NAME: &'static str = "conv2d";
    type Params = Conv2dParams;
    type Inputs = Conv2dInputs<()>;
    type Outputs = Conv2dOutputs<()>;

    fn of_shapes(inputs: &Conv2dInputs<Vec<usize>>, params: &Conv2dParams) -> Result<Self> {
        let operator = Conv2d::new(&inputs.input, &inputs.weight, inputs.bias.as_deref(), params)?;
        Ok(if inputs.residual.is_some() { operator.with_residual() } else { operator })
    }

    fn activated(&self, activation: Activation) -> Result<Option<Self>> {
        self.clone().with_activation(activation).map(Some)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }

    #[cfg(feature = "gpu-core")]
    fn on_packed(&self) -> Option<Self> {
        Some(self.clone().with_packed_weight())
    }

    #[cfg(feature = "gpu-core")]
    fn by_every_algorithm(&self) -> Vec<(String, Self)> {
        let each = Conv2dAlgorithm::ALL.iter();
        each.filter_map(|&algorithm| Some((format!("{algorithm:?}"), self.clone().with_algorithm(algorithm).ok()?)))
            .collect()
    }
}

pub use backward::*;
#[cfg(feature = "gpu-core")]
pub use {on_gpu::*, packed::*, plan::*};

mod backward;

#[cfg(feature = "gpu-core")]
mod on_gpu;
#[cfg(feature = "gpu-core")]
mod packed;
#[cfg(feature = "gpu-core")]
mod plan;
#[cfg(feature = "gpu-core")]
mod transforms;
#[cfg(feature = "gpu-core")]
mod winograd;
