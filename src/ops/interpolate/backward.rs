//! The gradient of interpolate on the GPU: its plan, its dispatches, and the eager call.

use std::fmt;
use std::slice::from_ref;

use super::{Interpolate, InterpolateMode, InterpolateParams};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, LoopParts, kernel, split_loops, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::rounding;
use crate::operator::{ArraysOf, Backward, Bound, Computed, Differentiable, Operator, Slots, Tolerance};
use crate::ops::UnaryBackwardInputs;
use crate::ops::areas::{AreaGradientPlan, area_gradient_kernel};

uniform! {
    struct Params {
        count: u32,
        in_rows: u32,
        in_cols: u32,
        out_rows: u32,
        out_cols: u32,
        align_corners: u32,
        scale_rows: f32,
        scale_cols: f32,
        row_begin: u32,
        row_end: u32,
        col_begin: u32,
        col_end: u32,
        adds: u32,
        output_base: u32,
        input_base: u32,
    }
}

static BACKWARD: Kernel = kernel!("interpolate_backward", "interpolate_backward", Params, [(1, Read), (2, ReadWrite)]);
static AREA_BACKWARD: Kernel = area_gradient_kernel!("interpolate_area_backward");

/// How the gradient of an interpolated image is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InterpolateGradientPlan {
    /// 4 columns an invocation, from the elements of the output that have them, cut into ranges of columns and rows where
    /// loops would be too long.
    #[doc(hidden)]
    Columns(LoopParts),
    /// That of the means of areas.
    #[doc(hidden)]
    Areas(AreaGradientPlan),
}

impl fmt::Display for InterpolateGradientPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterpolateGradientPlan::Columns(parts) => {
                f.write_str("4 columns an invocation")?;
                if parts.len() > 1 { write!(f, ", in {} parts", parts.len()) } else { Ok(()) }
            }
            InterpolateGradientPlan::Areas(plan) => plan.fmt(f),
        }
    }
}

impl Interpolate {
    /// About the most positions of the output that have one of some positions beside each other, along an axis. Roundings may
    /// make it a few more.
    fn most_outputs(&self, axis: usize, positions: usize) -> usize {
        let out = self.areas.out[axis];
        // Between two positions there is one more.
        let positions = if self.mode == InterpolateMode::Bilinear { positions + 1 } else { positions };
        // A scale of 0 gives infinity, which becomes the largest integer.
        ((positions as f64 / self.scales[axis]).ceil() as usize).saturating_add(2).min(out)
    }
}

impl Operator for Backward<Interpolate> {
    type Plan = InterpolateGradientPlan;
    const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&BACKWARD), from_ref(&AREA_BACKWARD)];

    fn plan(&self, on: &Capabilities) -> InterpolateGradientPlan {
        let forward = &self.forward;
        match forward.mode {
            InterpolateMode::Area => InterpolateGradientPlan::Areas(forward.areas.plan_gradient(on)),
            _ => {
                let lengths = [1, forward.most_outputs(1, 4), forward.most_outputs(0, 1)];
                InterpolateGradientPlan::Columns(split_loops(on, lengths, 1))
            }
        }
    }

    fn declare(&self, _: &InterpolateGradientPlan) -> Slots<Self> {
        let areas = &self.forward.areas;
        let share = |name: &str| match name {
            "grad_input" => areas.input.rows * areas.input.cols,
            _ => areas.out[0] * areas.out[1],
        };
        self.slots(|name| Some(share(name))).cut(areas.planes())
    }

    fn dispatches(
        &self,
        plan: &InterpolateGradientPlan,
        part: &Part,
        bound: &Bound<Self>,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let UnaryBackwardInputs { grad_output, grad_input, .. } = bound.inputs;
        let Some(grad_input) = bound.outputs.grad_input.or(grad_input) else { return };
        let (forward, adds, arguments) = (&self.forward, self.adds("grad_input"), [grad_output, grad_input]);
        let areas = &forward.areas;
        let parts = match plan {
            InterpolateGradientPlan::Areas(plan) => {
                return areas.gradient_dispatches(&AREA_BACKWARD, plan, part.items, adds, arguments, add);
            }
            InterpolateGradientPlan::Columns(parts) => parts,
        };
        let count = part.items * areas.input.rows * areas.input.cols.div_ceil(4);
        if count == 0 {
            return;
        }
        let [most_cols, most_rows] = [forward.most_outputs(1, 4), forward.most_outputs(0, 1)].map(|most| most as u32);
        // The last range has what roundings add.
        let open = |end: u32, most: u32| if end == most { u32::MAX } else { end };
        for (index, [_, cols, rows]) in parts.iter().enumerate() {
            let params = Params {
                count: count as u32,
                in_rows: areas.input.rows as u32,
                in_cols: areas.input.cols as u32,
                out_rows: areas.out[0] as u32,
                out_cols: areas.out[1] as u32,
                align_corners: u32::from(forward.align_corners),
                scale_rows: forward.scales[0] as f32,
                scale_cols: forward.scales[1] as f32,
                row_begin: rows.start,
                row_end: open(rows.end, most_rows),
                col_begin: cols.start,
                col_end: open(cols.end, most_cols),
                adds: u32::from(adds || index > 0),
                output_base: grad_output.base,
                input_base: grad_input.base,
            };
            add(Dispatch::per_element(&BACKWARD, params.to_bytes(), &arguments, count)
                .with_constant("MODE", forward.mode.constant()));
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &InterpolateGradientPlan,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let forward = &self.forward;
        let magnitudes = self.of_magnitudes(inputs, computed)?.swap_remove(0);
        let terms = forward.most_outputs(0, 1) + forward.most_outputs(1, 1) + 2;
        if forward.mode == InterpolateMode::Area {
            let terms = forward.areas.terms() + 4;
            return Ok(Box::new(move |_, index| rounding(terms, f64::from(magnitudes[index]))));
        }
        if forward.mode != InterpolateMode::Bilinear {
            return Ok(Box::new(move |_, index| rounding(terms, f64::from(magnitudes[index]))));
        }
        // The rounding of a position shows in the shares, and may give one to a neighbour.
        let positions = forward.areas.input.rows.max(forward.areas.input.cols);
        let largest = magnitudes.iter().fold(0.0, |largest: f32, &x| largest.max(x));
        Ok(Box::new(move |_, _| rounding(16 + 8 * positions + terms, 4.0 * f64::from(largest))))
    }
}

/// The gradient of [`interpolate`](crate::interpolate) with respect to its input, of this shape: each element of `grad_output`
/// goes to the elements that it was computed from, as much as they gave to it, and adds up there. As PyTorch's autograd of
/// [`torch.nn.functional.interpolate`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.interpolate.html) in the
/// modes nearest, nearest-exact, bilinear and area.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, InterpolateMode, InterpolateParams, Tensor, interpolate_backward};
///
/// let gpu = Gpu::new_blocking()?;
/// let grad_output = Tensor::zeros(&gpu, &[1, 3, 64, 96])?;
/// let params = InterpolateParams::by_factor([2.0; 2], InterpolateMode::Bilinear);
/// let grad_input = interpolate_backward(&grad_output, &[1, 3, 32, 48], &params)?;
/// assert_eq!(grad_input.shape(), [1, 3, 32, 48]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Interpolate::new`] and [`Operator::call`].
pub fn interpolate_backward(grad_output: &Tensor, input: &[usize], params: &InterpolateParams) -> Result<Tensor> {
    let backward = Interpolate::new(input, params)?.backward_of_all()?;
    let gradients = backward.call(&UnaryBackwardInputs::new(grad_output))?;
    Ok(gradients.grad_input.expect("it is wanted"))
}
