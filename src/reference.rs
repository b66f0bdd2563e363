//! The same operators on the CPU: plain definitions, written to be read. They validate the GPU and know none.
//!
//! Arrays are f32, as on the GPU; sums are f64, so that a result is the nearest f32 to the exact one, or next to it.
//! Where a sum of float32 overflows, on the GPU and in PyTorch, theirs may not. Each takes what the operator's own
//! description takes, and refuses what it refuses. Arguments are arrays or views of any dimension: see [`AsArray`].
//!
//! ```
//! # fn main() -> Result<(), wgdnn::Error> {
//! use ndarray::Array;
//! use wgdnn::{Conv2dParams, reference};
//!
//! let input = Array::from_iter((0..9).map(|i| i as f32)).into_shape_with_order((1, 3, 3)).unwrap();
//! let weight = Array::from_iter((0..4).map(|i| i as f32)).into_shape_with_order((1, 1, 2, 2)).unwrap();
//! let output = reference::conv2d(&input, &weight, None, &Conv2dParams::default())?;
//! assert_eq!(output, ndarray::array![[[19.0, 25.0], [37.0, 43.0]]].into_dyn());
//! # Ok(())
//! # }
//! ```

mod avg_pool2d;
mod batch_norm;
mod conv2d;
mod conv_transpose2d;
mod cross_entropy;
mod flatten;
mod max_pool2d;
mod mse_loss;
mod roi_pool;
mod sigmoid;

pub use avg_pool2d::*;
pub use batch_norm::*;
pub use conv_transpose2d::*;
pub use conv2d::*;
pub use cross_entropy::*;
pub use flatten::*;
pub use max_pool2d::*;
pub use mse_loss::*;
pub use roi_pool::*;
pub use sigmoid::*;

use std::ops::Range;

use ndarray::{Array2, ArrayBase, ArrayD, ArrayView, ArrayView4, ArrayViewD, Data, Dimension, Ix4};

use crate::ops::Reduction;
use crate::shape::ImageShape;

/// An array of `T`: an [`ndarray::Array`] or a view of one, of any dimension.
pub trait AsArray<T> {
    /// A view of it.
    fn as_view(&self) -> ArrayViewD<'_, T>;
}

impl<T, S: Data<Elem = T>, D: Dimension> AsArray<T> for ArrayBase<S, D> {
    fn as_view(&self) -> ArrayViewD<'_, T> {
        self.view().into_dyn()
    }
}

/// An array's elements.
fn elements_of(array: &dyn AsArray<f32>) -> Vec<f64> {
    array.as_view().iter().map(|&x| f64::from(x)).collect()
}

/// A weight of four dimensions.
fn weight_of(weight: &dyn AsArray<f32>) -> ArrayView4<'_, f32> {
    weight.as_view().into_dimensionality::<Ix4>().expect("a weight has 4 dimensions")
}

/// An array's elements as a matrix of so many rows.
fn matrix_of<D: Dimension>(array: ArrayView<'_, f32, D>, rows: usize) -> Array2<f64> {
    let columns = array.len() / rows;
    let elements = array.iter().map(|&x| f64::from(x)).collect();
    Array2::from_shape_vec((rows, columns), elements).expect("rows of one length")
}

/// Pixels in blocks, such that a matrix of so many rows and a column for each pixel of one has at most 64 MiB.
fn pixel_blocks(pixels: usize, rows: usize) -> impl Iterator<Item = Range<usize>> {
    const MOST_ELEMENTS: usize = (64 << 20) / size_of::<f64>();
    let block = (MOST_ELEMENTS / rows).clamp(1, pixels.max(1));
    (0..pixels).step_by(block).map(move |begin| begin..(begin + block).min(pixels))
}

/// An array (C,H,W) or (N,C,H,W), which `image` describes, as the latter.
fn batch_of<'a>(view: ArrayViewD<'a, f32>, image: &ImageShape) -> ArrayView4<'a, f32> {
    let view = if image.batched { view } else { view.insert_axis(ndarray::Axis(0)) };
    view.into_dimensionality().expect("an image has 3 dimensions, or 4 with the batch")
}

/// Losses of the rows as they are, or as one number: their sum, for the mean divided by `count`.
fn reduce(losses: ArrayD<f64>, count: f64, reduction: Reduction) -> ArrayD<f32> {
    let scalar = |value: f64| ndarray::arr0(value as f32).into_dyn();
    match reduction {
        Reduction::None => losses.mapv(|loss| loss as f32),
        Reduction::Sum => scalar(losses.sum()),
        Reduction::Mean => scalar(losses.sum() / count),
    }
}
