//! interpolate: images of another size.

use crate::error::{Error, Result};
use crate::operator::{AnyDifferentiable, Backward, Definition, Differentiable};
use crate::ops::areas::Areas;
use crate::ops::{UnaryBackwardInputs, UnaryGradients, UnaryInputs, UnaryOutputs};
use crate::shape::{self, ImageShape};

/// How [`interpolate`](crate::interpolate) computes elements. Default: `Nearest`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InterpolateMode {
    /// The element at the position times the scale, rounded down.
    #[default]
    Nearest,
    /// The element whose center is nearest.
    NearestExact,
    /// Between the four elements around the position.
    Bilinear,
    /// The mean of an area, as [`adaptive_avg_pool2d`](crate::adaptive_avg_pool2d).
    Area,
}

#[cfg(feature = "serde")]
crate::params_serde::texts!(
    InterpolateMode: "nearest" => Nearest, "nearest-exact" => NearestExact, "bilinear" => Bilinear or "area" => Area
);

/// Parameters of [`interpolate`](crate::interpolate), as in `torch.nn.functional.interpolate`. Give either `size` or
/// `scale_factor`. Pairs are (rows, columns).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct InterpolateParams {
    /// The output's rows and columns. Default: none.
    pub size: Option<[usize; 2]>,
    /// How often the output has the input's rows and columns, rounded down. Default: none.
    pub scale_factor: Option<[f64; 2]>,
    /// How elements are computed. Default: the nearest.
    pub mode: InterpolateMode,
    /// For bilinear, whether the corners' centers meet; otherwise their outer edges do. Default: none, which is false.
    pub align_corners: Option<bool>,
}

impl InterpolateParams {
    /// This many rows and columns.
    pub fn to_size(size: [usize; 2], mode: InterpolateMode) -> Self {
        InterpolateParams { size: Some(size), mode, ..Default::default() }
    }

    /// This many times the rows and columns.
    pub fn by_factor(scale_factor: [f64; 2], mode: InterpolateMode) -> Self {
        InterpolateParams { scale_factor: Some(scale_factor), mode, ..Default::default() }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(
    InterpolateParams: default(), size by strict_pair_or_none, scale_factor, mode, align_corners
);

/// A validated [`interpolate`](crate::interpolate) on an input of known shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Interpolate {
    pub(crate) areas: Areas,
    pub(crate) mode: InterpolateMode,
    pub(crate) align_corners: bool,
    /// Positions of the input for each of the output, along rows and columns.
    pub(crate) scales: [f64; 2],
    output: Vec<usize>,
}

/// The scale of an axis. Rounded to float32 it is what PyTorch computes in float32.
fn scale(mode: InterpolateMode, align_corners: bool, input: usize, output: usize, factor: Option<f64>) -> f64 {
    match mode {
        InterpolateMode::Bilinear | InterpolateMode::Nearest if input == output => 1.0,
        // PyTorch has a kernel of its own for twice the size, which ignores the factor.
        InterpolateMode::Nearest if output == 2 * input => 0.5,
        InterpolateMode::Bilinear if align_corners => match output {
            1 => 0.0,
            _ => (input - 1) as f64 / (output - 1) as f64,
        },
        _ => factor.map_or(input as f64 / output as f64, |factor| 1.0 / factor),
    }
}

impl Interpolate {
    /// Checks the parameters against an input of shape (N,C,H,W).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` of another rank or with an empty dimension other than N (in the mode area
    /// also C), both or neither of `size` and `scale_factor`, an output without rows or columns in other modes than area,
    /// a `scale_factor` that is not above 0 and finite, and `align_corners` in another mode than bilinear;
    /// [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], params: &InterpolateParams) -> Result<Self> {
        let InterpolateParams { size, scale_factor, mode, align_corners } = *params;
        let refuse =
            |argument, expected: &str, actual: String| Err(Error::invalid(Self::NAME, argument, expected, actual));
        if input.len() != 4 {
            return refuse("input", "4 dimensions (N,C,H,W)", format!("shape {input:?}"));
        }
        let input = match mode {
            InterpolateMode::Area => ImageShape::of_planes(Self::NAME, input)?,
            _ => ImageShape::new(Self::NAME, input)?,
        };
        if let (Some(align_corners), true) = (align_corners, mode != InterpolateMode::Bilinear) {
            return refuse("align_corners", "none in other modes than bilinear", align_corners.to_string());
        }
        let lengths = [input.rows, input.cols];
        let (argument, out) = match (size, scale_factor) {
            (Some(size), None) => ("size", size),
            (None, Some(factors)) => {
                if factors.iter().any(|factor| !(factor.is_finite() && *factor > 0.0)) {
                    return refuse("scale_factor", "finite numbers above 0", format!("{factors:?}"));
                }
                // A float that is too large becomes the largest integer, which cannot be counted.
                ("scale_factor", [0, 1].map(|axis| (lengths[axis] as f64 * factors[axis]).floor() as usize))
            }
            (Some(_), Some(_)) => return refuse("scale_factor", "none beside size", format!("{scale_factor:?}")),
            (None, None) => return refuse("size", "either this or scale_factor", "neither".into()),
        };
        if mode != InterpolateMode::Area && out.contains(&0) {
            return refuse(argument, "at least 1 row and 1 column", format!("{out:?}"));
        }
        let output = input.with_plane(input.channels, out[0], out[1]);
        shape::element_count(Self::NAME, argument, &output)?;
        let align_corners = align_corners.unwrap_or(false);
        let scales = [0, 1].map(|axis| {
            let factor = scale_factor.map(|factors| factors[axis]);
            scale(mode, align_corners, lengths[axis], out[axis], factor)
        });
        Ok(Interpolate { areas: Areas { input, out }, mode, align_corners, scales, output })
    }

    /// The shape of the output.
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }
}

impl Definition for Interpolate {
    const NAME: &'static str = "interpolate";
    type Params = InterpolateParams;
    type Inputs = UnaryInputs<()>;
    type Outputs = UnaryOutputs<()>;

    fn of_shapes(inputs: &UnaryInputs<Vec<usize>>, params: &InterpolateParams) -> Result<Self> {
        Interpolate::new(&inputs.input, params)
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

impl Differentiable for Interpolate {
    const BACKWARD: &'static str = "interpolate_backward";
    type BackwardInputs = UnaryBackwardInputs<()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.areas.input.shape.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> UnaryBackwardInputs<Vec<usize>> {
        let grad_input = backward.added("grad_input", &self.areas.input.shape);
        UnaryBackwardInputs { grad_output: self.output.clone(), input: None, output: None, grad_input }
    }
}

#[cfg(feature = "gpu-core")]
impl InterpolateMode {
    /// MODE of shaders/parts/between.wgsl.
    fn constant(self) -> u32 {
        match self {
            InterpolateMode::Nearest => 0,
            InterpolateMode::NearestExact => 1,
            InterpolateMode::Bilinear | InterpolateMode::Area => 2,
        }
    }
}

#[cfg(feature = "gpu-core")]
mod backward;
#[cfg(feature = "gpu-core")]
mod on_gpu;

#[cfg(feature = "gpu-core")]
pub use {backward::*, on_gpu::*};
