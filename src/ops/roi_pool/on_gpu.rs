//! roi_pool on the GPU: its plan, its dispatches, and the eager call.

use std::fmt;
use std::slice::from_ref;

use super::{Boxes, RoiPool, RoiPoolInputs, RoiPoolOutputs, RoiPoolParams};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, LoopParts, kernel, split_loops, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::{Bound, Definition, Operator, Slot, Slots};

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

static VALUES: Kernel = kernel!("roi_pool", "roi_pool", Params, [(1, Read), (2, Read), (3, ReadWrite)]);
static VALUES_OF_CHANNELS: Kernel =
    kernel!("roi_pool", "roi_pool_channels", Params, [(1, Read), (2, Read), (3, ReadWrite)]);
static ARGMAX: Kernel =
    kernel!("roi_pool", "roi_pool_argmax", Params, [(1, Read), (2, Read), (3, ReadWrite), (4, ReadWrite)]);
static ARGMAX_OF_CHANNELS: Kernel =
    kernel!("roi_pool", "roi_pool_argmax_channels", Params, [(1, Read), (2, Read), (3, ReadWrite), (4, ReadWrite)]);

/// What an invocation computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoiPoolPlan {
    /// One bin of 4 channels, or of one channel.
    by_channels: bool,
    /// The ranges of rows and columns of bins, cut where loops would be too long.
    parts: LoopParts,
}

impl fmt::Display for RoiPoolPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.by_channels { "a bin of 4 channels" } else { "a bin of a channel" })?;
        if self.parts.len() > 1 { write!(f, ", in {} parts", self.parts.len()) } else { Ok(()) }
    }
}

impl Operator for RoiPool {
    type Plan = RoiPoolPlan;
    const KERNELS: &'static [&'static [Kernel]] =
        &[from_ref(&VALUES), from_ref(&VALUES_OF_CHANNELS), from_ref(&ARGMAX), from_ref(&ARGMAX_OF_CHANNELS)];

    fn plan(&self, on: &Capabilities) -> RoiPoolPlan {
        let [rows, cols] = self.longest_bins();
        RoiPoolPlan { by_channels: on.is_software(), parts: split_loops(on, [1, rows, cols], 1) }
    }

    fn declare(&self, _: &RoiPoolPlan) -> Slots<Self> {
        let output = self.output[1..].iter().product();
        let bins = Slot::read(&[self.boxes.len() * self.box_words()]).of_integers().cut(self.box_words());
        let argmax = || Slot::write(&self.output).of_integers().cut(output);
        let inputs = RoiPoolInputs { input: Slot::read(&self.input), bins };
        let outputs =
            RoiPoolOutputs { output: Slot::write(&self.output).cut(output), argmax: self.with_argmax.then(argmax) };
        Slots::new(inputs, outputs).cut(self.boxes.len())
    }

    fn dispatches(&self, plan: &RoiPoolPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let Bound { inputs, outputs, .. } = bound;
        let output_count = part.items * self.channels * self.output_size[0] * self.output_size[1];
        if output_count == 0 {
            return;
        }
        let [values, argmaxes] =
            if plan.by_channels { [&VALUES_OF_CHANNELS, &ARGMAX_OF_CHANNELS] } else { [&VALUES, &ARGMAX] };
        let invocations =
            if plan.by_channels { output_count / self.channels * self.channels.div_ceil(4) } else { output_count };
        for (index, [_, row_range, col_range]) in plan.parts.iter().enumerate() {
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
                bins_base: inputs.bins.base,
                output_base: outputs.output.base,
            }
            .to_bytes();
            add(match outputs.argmax {
                None => {
                    let arguments = [inputs.input, inputs.bins, outputs.output];
                    Dispatch::per_element(values, params, &arguments, invocations)
                }
                Some(argmax) => {
                    let arguments = [inputs.input, inputs.bins, outputs.output, argmax];
                    Dispatch::per_element(argmaxes, params, &arguments, invocations)
                }
            });
        }
    }
}

impl RoiPool {
    /// The most rows and the most columns of any bin.
    fn longest_bins(&self) -> [usize; 2] {
        let longest =
            |edges: &[(usize, usize)]| edges.iter().map(|(first, end)| end.saturating_sub(*first)).max().unwrap_or(0);
        self.boxes
            .iter()
            .fold([1, 1], |[rows, cols], bins| [rows.max(longest(&bins.rows)), cols.max(longest(&bins.cols))])
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
/// As [`RoiPool::new`] and [`Operator::call`].
pub fn roi_pool(input: &Tensor, boxes: &Boxes<'_>, params: &RoiPoolParams) -> Result<Tensor> {
    let operator = RoiPool::new(input.shape(), boxes, params)?;
    let table = operator.bins();
    input.gpu().check_size(RoiPool::NAME, "bins", table.len())?;
    let bins = Tensor::from_slice(input.gpu(), &table, &[table.len()])?;
    Ok(operator.call(&RoiPoolInputs { input, bins: &bins })?.output)
}
