//! roi_pool: the maxima of the bins that each box is cut into.

use ndarray::{Array2, ArrayD, Ix2};

use crate::error::{Error, Result};
use crate::operator::{
    AnyDifferentiable, ArraySource, ArraysOf, Backward, Definition, Differentiable, InputsOf, arguments,
};
use crate::ops::UnaryGradients;
use crate::shape;
use crate::window::expect_positive;

/// The largest magnitude of a scaled corner, so that 32 bits can count positions.
const MAX_CORNER: f32 = (1 << 29) as f32;

/// Parameters of [`roi_pool`](crate::roi_pool), as in `torchvision.ops.roi_pool`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoiPoolParams {
    /// The number of bins that each box is cut into, (rows, columns), at least 1. PyTorch has no default for it.
    pub output_size: [usize; 2],
    /// The factor from the boxes' coordinates to positions of the input. Default: 1.
    pub spatial_scale: f32,
}

impl RoiPoolParams {
    /// This many bins for boxes that are given in positions of the input.
    pub fn new(output_size: [usize; 2]) -> Self {
        RoiPoolParams { output_size, spatial_scale: 1.0 }
    }
}

#[cfg(feature = "serde")]
crate::params_serde::implement!(RoiPoolParams: new(output_size by strict_pair), spatial_scale);

/// The boxes of [`roi_pool`](crate::roi_pool). They stay on the host, which computes their bins with IEEE division.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Boxes<'a> {
    /// (K,5): for each box the index of its image in the batch, then x1, y1, x2, y2.
    Indexed(&'a ArrayD<f32>),
    /// For each image of the batch an array (L,4) of x1, y1, x2, y2.
    PerImage(&'a [ArrayD<f32>]),
}

/// A validated [`roi_pool`](crate::roi_pool) of given boxes on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoiPool {
    pub(crate) channels: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) output_size: [usize; 2],
    pub(crate) boxes: Vec<BoxBins>,
    pub(crate) input: Vec<usize>,
    output: Vec<usize>,
    pub(crate) with_argmax: bool,
}

arguments! {
    /// The inputs of a [`RoiPool`].
    #[derive(Copy)]
    pub struct RoiPoolInputs<F, I> {
        /// f32, (N,C,H,W).
        input: float,
        /// i32, one dimension: the table that [`RoiPool::bins`] returns.
        bins: integer,
    }
}

arguments! {
    /// The outputs of a [`RoiPool`].
    #[derive(Copy)]
    pub struct RoiPoolOutputs<F, I> {
        /// f32, (K,C,rows,columns): the maxima.
        output: float,
        /// i32, the output's shape: the position of each maximum, as row * width + column in its plane of the input; -1
        /// in an empty bin, and where no value is above the lowest finite number. Present with
        /// [`RoiPool::with_argmax`].
        argmax: optional integer,
    }
}

/// The bins of one box, clipped to the image. A bin is empty if its end is not after its first row or column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxBins {
    pub image: usize,
    /// First and end row of each row of bins.
    pub rows: Vec<(usize, usize)>,
    /// First and end column of each column of bins.
    pub cols: Vec<(usize, usize)>,
}

/// Cuts the positions `start..=end` into bins within `0..length`, in f32 as torchvision does.
fn bins(start: f32, end: f32, count: usize, length: usize) -> Vec<(usize, usize)> {
    let length_of_box = (end as i64 - start as i64 + 1).max(1);
    let size = length_of_box as f32 / count as f32;
    let clip = |edge: f32| (edge as i64 + start as i64).clamp(0, length as i64) as usize;
    (0..count)
        .map(|bin| {
            let first = (bin as f32 * size).floor();
            let end = ((bin + 1) as f32 * size).ceil();
            (clip(first), clip(end))
        })
        .collect()
}

/// The boxes as (K,5).
fn indexed(boxes: &Boxes<'_>, batch: usize) -> Result<Array2<f32>> {
    let shaped = |boxes: &ArrayD<f32>, columns: usize, expected: &str| {
        let actual = format!("shape {:?}", boxes.shape());
        match boxes.clone().into_dimensionality::<Ix2>() {
            Ok(boxes) if boxes.ncols() == columns => Ok(boxes),
            _ => Err(Error::invalid(RoiPool::NAME, "boxes", expected, actual)),
        }
    };
    match boxes {
        Boxes::Indexed(boxes) => shaped(boxes, 5, "shape [K, 5]"),
        Boxes::PerImage([]) => Err(Error::invalid(RoiPool::NAME, "boxes", "at least one array", "none")),
        Boxes::PerImage(images) => {
            if images.len() > batch {
                return Err(Error::invalid(
                    RoiPool::NAME,
                    "boxes",
                    format!("at most one array for each of the {batch} images"),
                    format!("{} arrays", images.len()),
                ));
            }
            let mut rows = Vec::new();
            for (image, boxes) in images.iter().enumerate() {
                for corners in shaped(boxes, 4, "arrays of shape [L, 4]")?.rows() {
                    rows.push(image as f32);
                    rows.extend(corners);
                }
            }
            Ok(Array2::from_shape_vec((rows.len() / 5, 5), rows).expect("every row got 5 values"))
        }
    }
}

impl RoiPool {
    /// Checks boxes and parameters against an input of shape (N,C,H,W).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` of another rank, `boxes` of another shape, with an image index outside
    /// the batch or a corner that is not finite or too far out to count, an `output_size` of 0, and a `spatial_scale`
    /// that is not finite; [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], boxes: &Boxes<'_>, params: &RoiPoolParams) -> Result<Self> {
        let &[batch, channels, rows, cols] = input else {
            return Err(Error::invalid(Self::NAME, "input", "4 dimensions (N,C,H,W)", format!("shape {input:?}")));
        };
        shape::element_count(Self::NAME, "input", input)?;
        expect_positive(Self::NAME, "output_size", params.output_size)?;
        let scale = params.spatial_scale;
        if !scale.is_finite() {
            return Err(Error::invalid(Self::NAME, "spatial_scale", "a finite number", format!("{scale}")));
        }
        let boxes = indexed(boxes, batch)?;
        let [pooled_rows, pooled_cols] = params.output_size;
        shape::element_count(Self::NAME, "output", &[boxes.nrows(), channels, pooled_rows, pooled_cols])?;
        // The table of bins is a buffer too, so the same limit holds for it.
        let box_words = pooled_rows.saturating_add(pooled_cols).saturating_mul(2).saturating_add(1);
        shape::element_count(Self::NAME, "output_size", &[boxes.nrows(), box_words])?;

        let boxes = boxes
            .rows()
            .into_iter()
            .enumerate()
            .map(|(index, row)| {
                // Truncated, so -0.5 is image 0, as in torchvision.
                let image = row[0].trunc();
                if !(0.0..batch as f32).contains(&image) {
                    return Err(Error::invalid(
                        Self::NAME,
                        "boxes",
                        format!("image indices from 0 to below {batch}"),
                        format!("{} in box {index}", row[0]),
                    ));
                }
                let corners = [1, 2, 3, 4].map(|column| (row[column] * scale).round());
                if let Some(at) = corners.iter().position(|corner| !(-MAX_CORNER..=MAX_CORNER).contains(corner)) {
                    return Err(Error::invalid(
                        Self::NAME,
                        "boxes",
                        format!("finite corners of at most {MAX_CORNER} after scaling"),
                        format!("{} in box {index}", row[1 + at]),
                    ));
                }
                let [x1, y1, x2, y2] = corners;
                Ok(BoxBins {
                    image: image as usize,
                    rows: bins(y1, y2, pooled_rows, rows),
                    cols: bins(x1, x2, pooled_cols, cols),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let output = vec![boxes.len(), channels, pooled_rows, pooled_cols];
        let (input, output_size) = (input.to_vec(), params.output_size);
        Ok(RoiPool { channels, rows, cols, output_size, boxes, input, output, with_argmax: false })
    }

    /// The same operator, which also returns the position of each maximum, for a backward pass.
    ///
    /// ```no_run
    /// # #[cfg(feature = "gpu-core")]
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Boxes, Gpu, Operator, RoiPool, RoiPoolInputs, RoiPoolParams, Tensor};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let boxes = ndarray::array![[0.0, 0.0, 0.0, 20.0, 20.0]].into_dyn();
    /// let pool = RoiPool::new(&[1, 3, 32, 32], &Boxes::Indexed(&boxes), &RoiPoolParams::new([6, 6]))?.with_argmax();
    /// let table = pool.bins(); // The boxes' bins, which the operator reads from a tensor or a buffer.
    /// let bins = Tensor::from_slice(&gpu, &table, &[table.len()])?;
    /// let input = Tensor::zeros(&gpu, &[1, 3, 32, 32])?;
    /// let pooled = pool.call(&RoiPoolInputs { input: &input, bins: &bins })?;
    /// assert_eq!(pooled.argmax.unwrap().shape(), [1, 3, 6, 6]);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "gpu-core"))]
    /// # fn main() {}
    /// ```
    pub fn with_argmax(self) -> Self {
        RoiPool { with_argmax: true, ..self }
    }

    /// The shape of the output: (K, C, rows, columns).
    pub fn output_shape(&self) -> &[usize] {
        &self.output
    }

    /// The length of a box's row in the table of bins.
    fn box_words(&self) -> usize {
        1 + 2 * (self.output_size[0] + self.output_size[1])
    }

    /// The table of bins that a call reads as `bins`. For each box: the image, the first row of
    /// each row of bins, the end row of each, then the same for columns.
    pub fn bins(&self) -> Vec<i32> {
        let mut table = Vec::new();
        for bins in &self.boxes {
            table.push(bins.image as i32);
            for edges in [&bins.rows, &bins.cols] {
                table.extend(edges.iter().map(|edge| edge.0 as i32));
                table.extend(edges.iter().map(|edge| edge.1 as i32));
            }
        }
        table
    }
}

impl Definition for RoiPool {
    const NAME: &'static str = "roi_pool";
    type Params = RoiPoolParams;
    type Inputs = RoiPoolInputs<(), ()>;
    type Outputs = RoiPoolOutputs<(), ()>;

    /// Boxes are not an input on the device.
    fn of_shapes(inputs: &InputsOf<Self, Vec<usize>, Vec<usize>>, params: &RoiPoolParams) -> Result<Self> {
        RoiPool::new(&inputs.input, &Boxes::Indexed(&ArrayD::zeros(vec![0, 5])), params)
    }

    fn of_arrays(from: &mut ArraySource<'_>, params: &RoiPoolParams) -> Result<(Self, ArraysOf<Self>)> {
        let missing = |argument, expected| Error::invalid(Self::NAME, argument, expected, "none");
        let input = from.float("input".into())?.ok_or_else(|| missing("input", "an array"))?;
        let operator = match from.list("boxes")? {
            Some(list) => RoiPool::new(input.shape(), &Boxes::PerImage(&list), params)?,
            None => {
                let boxes = from.float("boxes".into())?;
                let boxes = boxes.ok_or_else(|| missing("boxes", "an array or a list of them"))?;
                RoiPool::new(input.shape(), &Boxes::Indexed(&boxes), params)?
            }
        };
        let bins = ndarray::Array1::from(operator.bins()).into_dyn();
        Ok((operator, RoiPoolInputs { input, bins }))
    }

    fn takes(name: &str) -> bool {
        ["input", "boxes"].contains(&name)
    }

    fn with_outputs(self, wanted: &[&str]) -> Result<Self> {
        Ok(if wanted.contains(&"argmax") { self.with_argmax() } else { self })
    }

    fn gradients(&self) -> Option<&dyn AnyDifferentiable> {
        Some(self)
    }
}

arguments! {
    /// The inputs of the backward pass of a [`RoiPool`].
    #[derive(Copy)]
    pub struct RoiPoolBackwardInputs<F, I> {
        /// f32, of the output's shape: the gradient with respect to the output.
        grad_output: float,
        /// i32, of the output's shape: the positions that the operator returned. One outside its bin gives its gradient to
        /// nothing.
        argmax: integer,
        /// i32, one dimension: the table that [`RoiPool::bins`] returns.
        bins: integer,
        /// f32, of the input's shape: the gradient is added to it. Present exactly if it is planned so.
        grad_input: optional float,
    }
}

impl Differentiable for RoiPool {
    const BACKWARD: &'static str = "roi_pool_backward";
    type BackwardInputs = RoiPoolBackwardInputs<(), ()>;
    type Gradients = UnaryGradients<()>;

    fn gradient_shapes(&self) -> UnaryGradients<Vec<usize>> {
        UnaryGradients { grad_input: Some(self.input.clone()) }
    }

    fn backward_shapes(&self, backward: &Backward<Self>) -> RoiPoolBackwardInputs<Vec<usize>, Vec<usize>> {
        RoiPoolBackwardInputs {
            grad_output: self.output.clone(),
            argmax: self.output.clone(),
            bins: vec![self.boxes.len() * self.box_words()],
            grad_input: backward.added("grad_input", &self.input),
        }
    }

    fn saved_outputs(&self) -> &'static [&'static str] {
        &["argmax"]
    }
}

#[cfg(feature = "gpu-core")]
mod backward;
#[cfg(feature = "gpu-core")]
mod on_gpu;

#[cfg(feature = "gpu-core")]
pub use {backward::*, on_gpu::*};
