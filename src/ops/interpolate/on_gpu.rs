//! interpolate on the GPU: its plan, its dispatches, and the eager call.

use std::fmt;
use std::slice::from_ref;

use super::{Interpolate, InterpolateMode, InterpolateParams};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, kernel, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{largest, rounding};
use crate::operator::{ArraysOf, Bound, Computed, Operator, Slot, Slots, Tolerance};
use crate::ops::areas::{AreasPlan, area_kernels};
use crate::ops::{UnaryInputs, UnaryOutputs};

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
        input_base: u32,
        output_base: u32,
    }
}

static ELEMENTS: Kernel = kernel!("interpolate", "elements", Params, [(1, Read), (2, ReadWrite)]);
static BLOCKS: Kernel = kernel!("interpolate", "blocks", Params, [(1, Read), (2, ReadWrite)]);
static AREAS: [Kernel; 2] = area_kernels!("interpolate_area");

/// How an image is interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InterpolatePlan {
    /// Element by element.
    Elements,
    /// In blocks of 4 columns.
    Blocks,
    /// The means of areas.
    #[doc(hidden)]
    Areas(AreasPlan),
}

impl fmt::Display for InterpolatePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InterpolatePlan::Elements => f.write_str("element by element"),
            InterpolatePlan::Blocks => f.write_str("blocks of 4 columns"),
            InterpolatePlan::Areas(plan) => plan.fmt(f),
        }
    }
}

impl Operator for Interpolate {
    type Plan = InterpolatePlan;
    const KERNELS: &'static [&'static [Kernel]] = &[from_ref(&ELEMENTS), from_ref(&BLOCKS), &AREAS];

    fn plan(&self, on: &Capabilities) -> InterpolatePlan {
        match self.mode {
            InterpolateMode::Area => InterpolatePlan::Areas(self.areas.plan(on)),
            _ if self.areas.out[1].is_multiple_of(BLOCK as usize) => InterpolatePlan::Blocks,
            _ => InterpolatePlan::Elements,
        }
    }

    fn declare(&self, _: &InterpolatePlan) -> Slots<Self> {
        let Self { areas, output, .. } = self;
        let inputs = UnaryInputs { input: Slot::read(&areas.input.shape).cut(areas.input.rows * areas.input.cols) };
        let output = Slot::write(output).cut(areas.out[0] * areas.out[1]);
        Slots::new(inputs, UnaryOutputs { output }).cut(areas.planes())
    }

    fn dispatches(&self, plan: &InterpolatePlan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let arguments = [bound.inputs.input, bound.outputs.output];
        let [rows, cols] = self.areas.out;
        let (kernel, count) = match plan {
            InterpolatePlan::Areas(plan) => {
                return self.areas.dispatches(&AREAS, plan, part.items, arguments, add);
            }
            InterpolatePlan::Elements => (&ELEMENTS, part.items * rows * cols),
            InterpolatePlan::Blocks => (&BLOCKS, part.items * rows * cols / BLOCK as usize),
        };
        if count == 0 {
            return;
        }
        let params = Params {
            count: count as u32,
            in_rows: self.areas.input.rows as u32,
            in_cols: self.areas.input.cols as u32,
            out_rows: rows as u32,
            out_cols: cols as u32,
            align_corners: u32::from(self.align_corners),
            scale_rows: self.scales[0] as f32,
            scale_cols: self.scales[1] as f32,
            input_base: arguments[0].base,
            output_base: arguments[1].base,
        };
        add(Dispatch::per_element(kernel, params.to_bytes(), &arguments, count)
            .with_constant("MODE", self.mode.constant()));
    }

    fn rounding<'a>(
        &'a self,
        _: &InterpolatePlan,
        inputs: &'a ArraysOf<Self>,
        _: &Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let size = largest(&inputs.input);
        // The rounding of a position shows in the shares.
        let positions = self.areas.input.rows.max(self.areas.input.cols);
        let roundings = match self.mode {
            InterpolateMode::Nearest | InterpolateMode::NearestExact => return Ok(Box::new(|_, _| 0.0)),
            InterpolateMode::Bilinear => 16 + 8 * positions,
            InterpolateMode::Area => 8,
        };
        Ok(Box::new(move |_, _| rounding(roundings, size)))
    }
}

/// Images (N,C,H,W) of another size, as
/// [`torch.nn.functional.interpolate`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.interpolate.html) in
/// the modes nearest, nearest-exact, bilinear and area.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::{Gpu, InterpolateMode, InterpolateParams, Tensor, interpolate};
///
/// let gpu = Gpu::new_blocking()?;
/// let image = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::ones((1, 3, 32, 48)))?;
/// let larger = interpolate(&image, &InterpolateParams::by_factor([2.0; 2], InterpolateMode::Bilinear))?;
/// assert_eq!(larger.shape(), [1, 3, 64, 96]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Interpolate::new`] and [`Operator::call`].
pub fn interpolate(input: &Tensor, params: &InterpolateParams) -> Result<Tensor> {
    Ok(Interpolate::new(input.shape(), params)?.call(&UnaryInputs { input })?.output)
}
