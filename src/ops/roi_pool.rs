//! roi_pool: the maxima of the bins that boxes are cut into.

use ndarray::{Array2, ArrayD, Ix2};

use crate::error::{Error, Result};
use crate::shape;
use crate::window::expect_positive;

const NAME: &str = "roi_pool";

/// The furthest from 0 that a scaled corner may be, so that positions can be counted in 32 bits.
const MAX_CORNER: f32 = (1 << 29) as f32;

/// Parameters of [`roi_pool`](crate::roi_pool), as in `torchvision.ops.roi_pool`.
#[derive(Debug, Clone, PartialEq)]
pub struct RoiPoolParams {
    /// Into how many bins every box is cut: (rows, columns).
    pub output_size: [usize; 2],
    /// What the boxes' corners are multiplied by to become positions of the input.
    pub spatial_scale: f32,
}

impl RoiPoolParams {
    /// Bins of boxes that are given in positions of the input.
    pub fn new(output_size: [usize; 2]) -> Self {
        RoiPoolParams { output_size, spatial_scale: 1.0 }
    }
}

/// The boxes of [`roi_pool`](crate::roi_pool), on the host: their bins are worked out there, with IEEE division.
#[derive(Debug, Clone, Copy)]
pub enum Boxes<'a> {
    /// (K,5): the image's index in the batch, then x1, y1, x2, y2.
    Indexed(&'a ArrayD<f32>),
    /// For each image a (L,4) of x1, y1, x2, y2.
    PerImage(&'a [ArrayD<f32>]),
}

/// A validated [`roi_pool`](crate::roi_pool) of given boxes on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoiPool {
    pub(crate) batch: usize,
    pub(crate) channels: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) output_size: [usize; 2],
    pub(crate) boxes: Vec<BoxBins>,
}

/// Where the bins of one box are, clipped to the image; a bin is empty where its end is not behind its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoxBins {
    pub image: usize,
    /// First and end row of every row of bins.
    pub rows: Vec<(usize, usize)>,
    /// First and end column of every column of bins.
    pub cols: Vec<(usize, usize)>,
}

/// Cuts the positions `start..=end` into bins inside `0..length`. In f32, as torchvision does it.
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
            _ => Err(Error::invalid(NAME, "boxes", expected, actual)),
        }
    };
    match boxes {
        Boxes::Indexed(boxes) => shaped(boxes, 5, "shape [K, 5]"),
        Boxes::PerImage([]) => Err(Error::invalid(NAME, "boxes", "at least one array", "none")),
        Boxes::PerImage(images) => {
            if images.len() > batch {
                return Err(Error::invalid(
                    NAME,
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
            return Err(Error::invalid(NAME, "input", "4 dimensions (N,C,H,W)", format!("shape {input:?}")));
        };
        shape::element_count(NAME, "input", input)?;
        expect_positive(NAME, "output_size", params.output_size)?;
        let scale = params.spatial_scale;
        if !scale.is_finite() {
            return Err(Error::invalid(NAME, "spatial_scale", "a finite number", format!("{scale}")));
        }
        let boxes = indexed(boxes, batch)?;
        let [pooled_rows, pooled_cols] = params.output_size;
        shape::element_count(NAME, "output", &[boxes.nrows(), channels, pooled_rows, pooled_cols])?;
        // The table of bins goes to the device too, so it has the same limit.
        let box_words = pooled_rows.saturating_add(pooled_cols).saturating_mul(2).saturating_add(1);
        shape::element_count(NAME, "output_size", &[boxes.nrows(), box_words])?;

        let boxes = boxes
            .rows()
            .into_iter()
            .enumerate()
            .map(|(index, row)| {
                // Truncated, so -0.5 is image 0, as in torchvision.
                let image = row[0].trunc();
                if !(0.0..batch as f32).contains(&image) {
                    return Err(Error::invalid(
                        NAME,
                        "boxes",
                        format!("image indices from 0 to below {batch}"),
                        format!("{} in box {index}", row[0]),
                    ));
                }
                let corners = [1, 2, 3, 4].map(|column| (row[column] * scale).round());
                if let Some(at) = corners.iter().position(|corner| !(-MAX_CORNER..=MAX_CORNER).contains(corner)) {
                    return Err(Error::invalid(
                        NAME,
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
            .collect::<Result<_>>()?;
        Ok(RoiPool { batch, channels, rows, cols, output_size: params.output_size, boxes })
    }

    /// The shape of the output: (K, C, rows, columns).
    pub fn output_shape(&self) -> Vec<usize> {
        let [rows, cols] = self.output_size;
        vec![self.boxes.len(), self.channels, rows, cols]
    }

    /// Bytes of workspace that recording needs: none.
    pub fn workspace_size(&self) -> u64 {
        0
    }

    /// The table of bins that a recorded call reads from its buffer `bins`: for each box the image, then for every
    /// row of bins its first row, for every row of bins its end row, and the same for columns.
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

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::{Boxes, NAME, RoiPool, RoiPoolParams};
    use crate::error::Result;
    use crate::gpu::Gpu;
    use crate::gpu::kernel::{Dispatch, Kernel, kernel, split_loops, uniform};
    use crate::gpu::operator::{Operator, Part, Sealed, Split};
    use crate::gpu::recorder::{Argument, Recorder};
    use crate::gpu::tensor::Tensor;
    use crate::reference;
    use crate::validation::{Replay, read, replay};

    uniform! {
            struct Params {
                output_count: u32,
                channels: i32,
                in_rows: i32,
                in_cols: i32,
                pooled_rows: i32,
                pooled_cols: i32,
                row_begin: i32,
                row_end: i32,
                col_begin: i32,
                col_end: i32,
                is_first: u32,
    bins_base: u32,
    output_base: u32,
            }
        }

    static ROI_POOL: Kernel = kernel!("roi_pool", "roi_pool", Params, [(1, Read), (2, Read), (3, ReadWrite)]);
    static ROI_POOL_CHANNELS: Kernel =
        kernel!("roi_pool", "roi_pool_channels", Params, [(1, Read), (2, Read), (3, ReadWrite)]);
    pub(crate) const KERNELS: &[&Kernel] = &[&ROI_POOL, &ROI_POOL_CHANNELS];

    /// The buffers of a recorded [`RoiPool`].
    #[derive(Debug, Clone, Copy)]
    pub struct RoiPoolBuffers<'a> {
        /// f32, (N,C,H,W).
        pub input: wgpu::BufferSlice<'a>,
        /// i32, holding [`RoiPool::bins`].
        pub bins: wgpu::BufferSlice<'a>,
        /// f32, of the output's shape.
        pub output: wgpu::BufferSlice<'a>,
    }

    impl Sealed for RoiPool {}

    impl Operator for RoiPool {
        fn name(&self) -> &'static str {
            NAME
        }

        fn split(&self) -> Split {
            let output = self.channels * self.output_size[0] * self.output_size[1];
            Split { items: self.boxes.len(), shares: vec![("bins", self.box_words()), ("output", output)] }
        }

        fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
            let boxes = part.items;
            let output_count = boxes * self.channels * self.output_size[0] * self.output_size[1];
            if output_count == 0 {
                return Vec::new();
            }
            let (kernel, invocations) = if gpu.is_software() {
                (&ROI_POOL_CHANNELS, output_count / self.channels * self.channels.div_ceil(4))
            } else {
                (&ROI_POOL, output_count)
            };
            let [rows, cols] = self.longest_bins();
            split_loops(gpu, [1, rows, cols], 1)
                .iter()
                .enumerate()
                .map(|(index, [_, row_range, col_range])| {
                    let params = Params {
                        output_count: output_count as u32,
                        channels: self.channels as i32,
                        in_rows: self.rows as i32,
                        in_cols: self.cols as i32,
                        pooled_rows: self.output_size[0] as i32,
                        pooled_cols: self.output_size[1] as i32,
                        row_begin: row_range.start as i32,
                        row_end: row_range.end as i32,
                        col_begin: col_range.start as i32,
                        col_end: col_range.end as i32,
                        is_first: u32::from(index == 0),
                        bins_base: part.base("bins"),
                        output_base: part.base("output"),
                    };
                    Dispatch::per_element(kernel, params.to_bytes(), vec!["input", "bins", "output"], invocations)
                })
                .collect()
        }
    }

    impl RoiPool {
        /// How long a box's row of the table of bins is.
        fn box_words(&self) -> usize {
            1 + 2 * (self.output_size[0] + self.output_size[1])
        }

        /// The most rows and the most columns that a bin has.
        fn longest_bins(&self) -> [usize; 2] {
            let longest = |edges: &[(usize, usize)]| {
                edges.iter().map(|(first, end)| end.saturating_sub(*first)).max().unwrap_or(0)
            };
            self.boxes
                .iter()
                .fold([1, 1], |[rows, cols], bins| [rows.max(longest(&bins.rows)), cols.max(longest(&bins.cols))])
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
        /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is too small, misaligned,
        /// without `STORAGE`, or both read and written; [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the
        /// device's limits.
        pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &RoiPoolBuffers<'_>) -> Result<()> {
            let input_count = self.batch * self.channels * self.rows * self.cols;
            let arguments = [
                Argument::read("input", buffers.input, input_count),
                Argument::read("bins", buffers.bins, self.boxes.len() * self.box_words()),
                Argument::write("output", buffers.output, self.output_shape().iter().product::<usize>()),
            ];
            recorder.run(self, &arguments)
        }
    }

    /// The maxima of the bins that each box of an input (N,C,H,W) is cut into, as
    /// [`torchvision.ops.roi_pool`](https://pytorch.org/vision/0.26/generated/torchvision.ops.roi_pool.html).
    ///
    /// An empty bin gives 0, and a NaN is never a maximum.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Boxes, Gpu, RoiPoolParams, Tensor, roi_pool};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((1, 3, 32, 32)))?;
    /// let boxes = ndarray::array![[0.0, 0.0, 0.0, 20.0, 20.0]].into_dyn();
    /// let pooled = roi_pool(&input, &Boxes::Indexed(&boxes), &RoiPoolParams::new([6, 6]))?;
    /// assert_eq!(pooled.shape(), [1, 3, 6, 6]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`RoiPool::new`] and [`RoiPool::record`].
    pub fn roi_pool(input: &Tensor, boxes: &Boxes<'_>, params: &RoiPoolParams) -> Result<Tensor> {
        let gpu = input.gpu();
        let operator = RoiPool::new(input.shape(), boxes, params)?;
        let table = operator.bins();
        gpu.check_size(NAME, "bins", table.len())?;
        let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
        let bins = Tensor::from_slice(gpu, &table, &[table.len()])?;
        gpu.eager(&operator, &[input.storage()], &[output.storage()], |recorder| {
            operator.record(
                recorder,
                &RoiPoolBuffers { input: input.own_slice(), bins: bins.own_slice(), output: output.own_slice() },
            )
        })?;
        replay(gpu, NAME, || {
            let expected = reference::roi_pool(&read(input)?, boxes, params)?;
            Replay { operator: NAME, shapes: vec![("input", input.shape().to_vec())] }.floats(
                "output",
                &output,
                &expected,
                |_| 0.0,
            )?;
            Ok(())
        })?;
        Ok(output)
    }
}
