//! The gradient of roi_pool on the GPU: its plan, its dispatches, and the eager call.

use std::fmt;
use std::slice::from_ref;

use super::{Boxes, RoiPool, RoiPoolBackwardInputs, RoiPoolParams};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, LoopParts, kernel, split_loops, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{
    ArraysOf, Backward, Bound, Computed, Definition, Differentiable, OnCpu, Operator, Slots, Tolerance,
};

uniform! {
    struct Params {
        count: u32,
        channels: i32,
        in_rows: i32,
        in_cols: i32,
        pooled_rows: i32,
        pooled_cols: i32,
        box_begin: i32,
        box_end: i32,
        row_begin: i32,
        row_end: i32,
        col_begin: i32,
        col_end: i32,
        adds: u32,
        bins_base: u32,
        output_base: u32,
        input_base: u32,
    }
}

static ELEMENTS: Kernel =
    kernel!("roi_pool_backward", "elements", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
static PLANES: Kernel =
    kernel!("roi_pool_backward", "planes", Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
static CLEAR: Kernel = kernel!("roi_pool_backward", "clear", Params, [(4, ReadWrite)]);

/// A software adapter runs as many invocations at once, and there may be few planes.
const PLANES_WORKGROUP_SIZE: u32 = 8;

/// How the gradient of a roi_pool is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoiPoolGradientPlan {
    /// Whether an invocation adds the bins of all boxes to a plane; otherwise it adds up 4 columns from all boxes.
    by_planes: bool,
    /// The ranges of boxes, and of rows and columns of their bins, cut where loops would be too long.
    parts: LoopParts,
}

impl fmt::Display for RoiPoolGradientPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.by_planes { "a plane an invocation" } else { "4 columns an invocation, from all boxes" })?;
        if self.parts.len() > 1 { write!(f, ", in {} parts", self.parts.len()) } else { Ok(()) }
    }
}

impl Operator for Backward<RoiPool> {
    type Plan = RoiPoolGradientPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&ELEMENTS), from_ref(&PLANES), from_ref(&CLEAR)];

    fn plan(&self, on: &Capabilities) -> RoiPoolGradientPlan {
        let RoiPool { boxes, output_size: [rows, cols], .. } = &self.forward;
        RoiPoolGradientPlan {
            by_planes: on.is_software(),
            parts: split_loops(on, [boxes.len().max(1), *rows, *cols], 1),
        }
    }

    fn declare(&self, _: &RoiPoolGradientPlan) -> Slots<Self> {
        let forward = &self.forward;
        // Any box may give to any image: parts add in the order of the boxes.
        let share = |name: &str| match name {
            "grad_input" => None,
            "bins" => Some(forward.box_words()),
            _ => Some(forward.output[1..].iter().product()),
        };
        self.slots(share).cut(forward.boxes.len())
    }

    fn dispatches(&self, plan: &RoiPoolGradientPlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let RoiPoolBackwardInputs { grad_output, argmax, bins, grad_input } = bound.inputs;
        let Some(grad_input) = bound.outputs.grad_input.or(grad_input) else { return };
        let forward = &self.forward;
        let elements: usize = forward.input.iter().product();
        if elements == 0 {
            return;
        }
        let planes = forward.input[0] * forward.channels;
        let params = Params {
            channels: forward.channels as i32,
            in_rows: forward.rows as i32,
            in_cols: forward.cols as i32,
            pooled_rows: forward.output_size[0] as i32,
            pooled_cols: forward.output_size[1] as i32,
            bins_base: bins.base,
            output_base: grad_output.base,
            input_base: grad_input.base,
            ..Default::default()
        };
        let mut is_there = self.adds("grad_input") || part.begin() > 0;
        if plan.by_planes && !is_there {
            let params = Params { count: elements as u32, ..params };
            add(Dispatch::per_element(&CLEAR, params.to_bytes(), &[grad_input], elements));
        }
        let arguments = [grad_output, argmax, bins, grad_input];
        for (index, [boxes, rows, cols]) in plan.parts.iter().enumerate() {
            // A part of the call may have fewer boxes than all.
            let box_end = (boxes.end as usize).min(part.items);
            if index > 0 && box_end <= boxes.start as usize {
                break;
            }
            let params = Params {
                box_begin: boxes.start as i32,
                box_end: box_end as i32,
                row_begin: rows.start as i32,
                row_end: rows.end as i32,
                col_begin: cols.start as i32,
                col_end: cols.end as i32,
                adds: u32::from(is_there),
                ..params
            };
            is_there = true;
            add(if plan.by_planes {
                let params = Params { count: planes as u32, ..params };
                let workgroups = planes.div_ceil(PLANES_WORKGROUP_SIZE as usize);
                Dispatch::per_workgroup(&PLANES, params.to_bytes(), &arguments, workgroups)
                    .with_constant("WORKGROUP_SIZE", PLANES_WORKGROUP_SIZE)
            } else {
                let count = planes * forward.rows * forward.cols.div_ceil(4);
                let params = Params { count: count as u32, ..params };
                Dispatch::per_element(&ELEMENTS, params.to_bytes(), &arguments, count)
            });
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &RoiPoolGradientPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        // The gradient of ones counts what is added up.
        let all = self.forward.backward_of_all()?;
        let ones = inputs.grad_output.mapv(|_| 1.0);
        let counts = all.compute(&RoiPoolBackwardInputs::new(ones, inputs.argmax.clone(), inputs.bins.clone()))?;
        let counts = all.results(&counts).swap_remove(0);
        let magnitudes = self.of_magnitudes(inputs, computed)?.swap_remove(0);
        Ok(Box::new(move |_, index| rounding(counts[index] as usize + 1, f64::from(magnitudes[index]))))
    }
}

/// The gradient of [`roi_pool`](crate::roi_pool) with respect to its input, of this shape: each element of `grad_output` goes to
/// the position that `argmax` tells, and an empty bin's nowhere. As PyTorch's autograd of
/// [`torchvision.ops.roi_pool`](https://pytorch.org/vision/0.26/generated/torchvision.ops.roi_pool.html). Where boxes overlap,
/// their gradients add up in the order of the boxes.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Boxes, Gpu, Operator, RoiPool, RoiPoolInputs, RoiPoolParams, Tensor, roi_pool_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let boxes = ndarray::array![[0.0, 0.0, 0.0, 20.0, 20.0]].into_dyn();
/// let (boxes, params) = (Boxes::Indexed(&boxes), RoiPoolParams::new([6, 6]));
/// let input = Tensor::zeros(&gpu, &[1, 3, 32, 32])?;
/// let pool = RoiPool::new(input.shape(), &boxes, &params)?.with_argmax();
/// let table = pool.bins();
/// let bins = Tensor::from_slice(&gpu, &table, &[table.len()])?;
/// let argmax = pool.call(&RoiPoolInputs { input: &input, bins: &bins })?.argmax.unwrap();
/// let grad_output = Tensor::zeros(&gpu, &[1, 3, 6, 6])?;
/// let grad_input = roi_pool_backward(&grad_output, &argmax, input.shape(), &boxes, &params)?;
/// assert_eq!(grad_input.shape(), [1, 3, 32, 32]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`RoiPool::new`] and [`Operator::call`].
pub fn roi_pool_backward(
    grad_output: &Tensor,
    argmax: &Tensor<i32>,
    input: &[usize],
    boxes: &Boxes<'_>,
    params: &RoiPoolParams,
) -> Result<Tensor> {
    let backward = RoiPool::new(input, boxes, params)?.backward_of_all()?;
    let table = backward.forward.bins();
    grad_output.gpu().check_size(RoiPool::NAME, "bins", table.len())?;
    let bins = Tensor::from_slice(grad_output.gpu(), &table, &[table.len()])?;
    let gradients = backward.call(&RoiPoolBackwardInputs::new(grad_output, argmax, &bins))?;
    Ok(gradients.grad_input.expect("it is wanted"))
}
