//! conv2d on the GPU: its arguments, its dispatches, and the eager call.

use super::transforms::TRANSFORMS;
use super::{Conv2d, Conv2dInputs, Conv2dOutputs, Conv2dParams, Conv2dPlan};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel, LoopPart, UniformBytes};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::{largest, magnitudes};
use crate::operator::{AnyOperator, ArraysOf, Bound, Computed, OnCpu, Operator, Packed, Slot, Slots, Tolerance};
use crate::ops::Finished;
use crate::ops::convolution::gemm::{ADD_SPLITS, Gemm, GemmParams, MULTIPLY};
use crate::ops::convolution::patches::{LANES, patches};
use crate::ops::convolution::weights::weights_kernels;
use crate::ops::convolution::{ConvolutionParams, Geometry};
use crate::ops::epilogue::{FINISH_KERNELS, Finisher, finished_kernels};

static DIRECT: [Kernel; 2] =
    finished_kernels!("conv2d", "conv2d", ConvolutionParams, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]);
static PATCHES: [[Kernel; 2]; 2] = weights_kernels!("conv2d_patches", "convolve_patches", ConvolutionParams);
static TILES: [[Kernel; 2]; 2] = weights_kernels!("conv2d_tiles", "convolve_tiles", ConvolutionParams);
static POINTS: [[Kernel; 2]; 2] = weights_kernels!("conv2d_points", "convolve_points", ConvolutionParams);
static WINOGRAD2X2: [Kernel; 2] = finished_kernels!(
    "conv2d_winograd2x2_fused",
    "convolve_winograd2x2",
    ConvolutionParams,
    [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
);

/// The tiles and output channels of one workgroup, where Winograd's algorithm runs in one dispatch.
const WINOGRAD_TILES: usize = 32;
const WINOGRAD_CHANNELS: usize = 32;

impl Operator for Conv2d {
    type Plan = Finished<Conv2dPlan>;
    const KERNELS: &'static [&'static [Kernel]] = &[
        &DIRECT,
        &PATCHES[0],
        &PATCHES[1],
        &TILES[0],
        &TILES[1],
        &POINTS[0],
        &POINTS[1],
        &WINOGRAD2X2,
        &MULTIPLY,
        &ADD_SPLITS,
        &FINISH_KERNELS,
        TRANSFORMS[0],
        TRANSFORMS[1],
        TRANSFORMS[2],
        TRANSFORMS[3],
        TRANSFORMS[4],
        TRANSFORMS[5],
    ];

    fn plan(&self, on: &Capabilities) -> Finished<Conv2dPlan> {
        self.plan_on(on)
    }

    fn declare(&self, plan: &Finished<Conv2dPlan>) -> Slots<Self> {
        let [input, output] = [
            self.input.channels * self.input.rows * self.input.cols,
            self.out_channels * self.out_rows * self.out_cols,
        ];
        let (workspace, packed_weight) = match &plan.main {
            Conv2dPlan::Direct { .. }
            | Conv2dPlan::Patches { .. }
            | Conv2dPlan::Tiles { .. }
            | Conv2dPlan::WinogradFused { .. } => (0, None),
            Conv2dPlan::ImplicitGemm { tiles, .. } => {
                (if tiles.splits > 1 { tiles.splits * self.input.batch * output } else { 0 }, None)
            }
            Conv2dPlan::Winograd { layout, .. } => {
                (layout.workspace_elements(self.is_packed), self.is_packed.then(|| self.packed_slot(layout)))
            }
        };
        let output_slot = Slot::write(&self.output).cut(output);
        let inputs = Conv2dInputs {
            input: Slot::read(&self.input.shape).cut(input),
            weight: Slot::read(&self.weight_shape()),
            bias: self.has_bias.then(|| Slot::read(&[self.out_channels])),
            packed_weight: Some(packed_weight.unwrap_or_else(|| Packed::unused(Slot::unused()))),
            residual: self.epilogue.residual(&output_slot),
            activation_weight: self.epilogue.activation_weight(),
        };
        let outputs = Conv2dOutputs { output: output_slot };
        // The workspace is small, or each part of the call uses it again.
        Slots::new(inputs, outputs).cut(self.input.batch).with_workspace(workspace)
    }

    fn dispatches(&self, plan: &Finished<Conv2dPlan>, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        if part.items == 0 {
            return;
        }
        // Without a bias the weight stands in for it; kernels do not look at it.
        let Conv2dInputs { input, weight, bias, .. } = bound.inputs;
        let arguments = [input, weight, bias.unwrap_or(weight), bound.outputs.output];
        let finisher = self.finisher(plan, bound);
        let output_count = self.output_count(part);
        finisher.before(output_count, add);
        let all_arguments = finisher.arguments(&arguments);
        let of = &self.geometry(bound, &finisher);
        match &plan.main {
            Conv2dPlan::Direct { parts } => self.each(part, of, parts, &mut |params| {
                let dispatch = Dispatch::per_element(finisher.kernel(&DIRECT), params, &all_arguments, output_count);
                add(finisher.activated(dispatch));
            }),
            Conv2dPlan::Patches { parts, by_subgroups, is_pointwise } => {
                let kernels = if *is_pointwise { &POINTS } else { &PATCHES };
                self.each(part, of, parts, &mut |params| {
                    let planes = [part.items * self.groups, self.out_rows * self.out_cols, self.group_out_channels()];
                    let kernel = finisher.kernel(&kernels[usize::from(*by_subgroups)]);
                    let dispatch = patches(kernel, params, &all_arguments, planes);
                    let dispatch = match is_pointwise {
                        true => dispatch.with_constant("IS_MIRRORED", u32::from(self.is_mirrored)),
                        false => dispatch,
                    };
                    add(finisher.activated(dispatch));
                });
            }
            Conv2dPlan::Tiles { parts, by_subgroups } => self.each(part, of, parts, &mut |params| {
                let kernel = finisher.kernel(&TILES[usize::from(*by_subgroups)]);
                let [tile_channels, halves, workgroups] = self.tile_shape();
                let workgroups = part.items * self.groups * workgroups;
                add(finisher.activated(
                    Dispatch::per_workgroup(kernel, params, &all_arguments, workgroups)
                        .with_constant("WORKGROUP_SIZE", LANES as u32)
                        .with_constant("CHANNELS", tile_channels as u32)
                        .with_constant("HALVES", halves as u32)
                        .with_constant("IS_MIRRORED", u32::from(self.is_mirrored)),
                ));
            }),
            Conv2dPlan::WinogradFused { parts } => self.each(part, of, parts, &mut |params| {
                let tiles = part.items * self.out_rows.div_ceil(2) * self.out_cols.div_ceil(2);
                let channels = self.group_out_channels().div_ceil(WINOGRAD_CHANNELS);
                let workgroups = self.groups * tiles.div_ceil(WINOGRAD_TILES) * channels;
                let kernel = finisher.kernel(&WINOGRAD2X2);
                add(finisher.activated(Dispatch::per_workgroup(kernel, params, &all_arguments, workgroups)));
            }),
            Conv2dPlan::Winograd { layout, subgroup_tiles } => {
                self.transformed(layout, *subgroup_tiles, part, bound, &finisher, add);
            }
            Conv2dPlan::ImplicitGemm { tiles, loop_budget } => {
                let gemm = Gemm {
                    kernels: [&MULTIPLY, &ADD_SPLITS],
                    finisher,
                    tiles: *tiles,
                    problems: self.groups,
                    k: self.k(),
                    arguments,
                    workspace: bound.workspace,
                    output_count,
                    loop_budget: *loop_budget,
                };
                let params = GemmParams::new(of, part.items);
                let largest_pixels = (part.items * self.out_rows * self.out_cols) as i32;
                gemm.dispatches(GemmParams { largest_pixels, ..params }, add);
            }
        }
        finisher.after(output_count, self.out_channels, self.out_rows * self.out_cols, add);
    }

    fn rounding<'a>(
        &'a self,
        plan: &'a Finished<Conv2dPlan>,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let sizes = Conv2dInputs {
            bias: inputs.bias.as_ref().map(magnitudes),
            residual: inputs.residual.as_ref().map(magnitudes),
            ..Conv2dInputs::new(magnitudes(&inputs.input), magnitudes(&inputs.weight))
        };
        let plain = Conv2d { epilogue: self.epilogue.without_activation(), ..self.clone() };
        let sums = plain.compute(&sizes)?.outputs.output.into_flat();
        let (slopes, results) = (inputs.activation_weight.as_ref(), &computed.outputs.output);
        Ok(match &plan.main {
            Conv2dPlan::Direct { .. }
            | Conv2dPlan::Patches { .. }
            | Conv2dPlan::Tiles { .. }
            | Conv2dPlan::ImplicitGemm { .. } => {
                self.epilogue.tolerance(self.k(), move |index| sums[index].into(), slopes, results)
            }
            // The transforms also round inputs outside an output's own window, by up to 100 times the products there.
            Conv2dPlan::WinogradFused { .. } | Conv2dPlan::Winograd { .. } => {
                let largest_sum = sums.iter().copied().filter(|sum| sum.is_finite()).fold(0.0, f32::max);
                let beside = 2.0 * f64::from(largest_sum) + 100.0 * largest(&inputs.input) * largest(&inputs.weight);
                self.epilogue.tolerance(self.k(), move |_| beside, slopes, results)
            }
        })
    }

    fn companions(&self, plan: &Finished<Conv2dPlan>) -> Vec<Box<dyn AnyOperator>> {
        let pack = if self.is_packed { self.pack_weight_by(plan) } else { None };
        pack.into_iter().map(|pack| Box::new(pack) as Box<dyn AnyOperator>).collect()
    }
}

impl Conv2d {
    /// The uniforms of the ranges that the plan cuts its loops into.
    fn each(&self, part: &Part, of: &Geometry<'_>, parts: &[LoopPart], take: &mut dyn FnMut(UniformBytes)) {
        for (index, range) in parts.iter().enumerate() {
            let count = self.output_count(part);
            take(ConvolutionParams::new(of, count, range, index == 0).to_bytes());
        }
    }

    fn finisher(&self, plan: &Finished<Conv2dPlan>, bound: &Bound<Self>) -> Finisher {
        let Conv2dInputs { weight, residual, activation_weight, .. } = bound.inputs;
        let (epilogue, finish, output) = (self.epilogue, plan.finish, bound.outputs.output);
        Finisher { epilogue, finish, output, residual, activation_weight, stand_in: weight }
    }

    fn geometry(&self, bound: &Bound<Self>, finisher: &Finisher) -> Geometry<'_> {
        let Bound { inputs, outputs, workspace } = bound;
        Geometry {
            input: &self.input,
            windows: &self.windows,
            groups: self.groups,
            output: [self.out_channels, self.out_rows, self.out_cols],
            has_bias: self.has_bias,
            continues: finisher.continues(),
            epilogue: finisher.uniform(),
            bases: [inputs.input.base, outputs.output.base, workspace.base],
        }
    }

    fn output_count(&self, part: &Part) -> usize {
        part.items * self.out_channels * self.out_rows * self.out_cols
    }
}

/// The convolution of an input (N,C,H,W) or (C,H,W) with a weight (O,C/groups,R,S), as
/// [`torch.nn.functional.conv2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.conv2d.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::{Array1, Array4};
/// use wgdnn::{Conv2dParams, Gpu, Tensor, conv2d};
///
/// let gpu = Gpu::new_blocking()?;
/// let input = Tensor::from_array(&gpu, &Array4::<f32>::zeros((1, 3, 32, 32)))?;
/// let weight = Tensor::from_array(&gpu, &Array4::<f32>::zeros((6, 3, 5, 5)))?;
/// let bias = Tensor::from_array(&gpu, &Array1::<f32>::zeros(6))?;
/// let params = Conv2dParams { stride: [2, 2], padding: [2, 2].into(), ..Default::default() };
/// let features = conv2d(&input, &weight, Some(&bias), &params)?;
/// assert_eq!(features.shape(), [1, 6, 16, 16]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Conv2d::new`] and [`Operator::call`].
pub fn conv2d(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams) -> Result<Tensor> {
    let operator = Conv2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    Ok(operator.call(&Conv2dInputs { bias, ..Conv2dInputs::new(input, weight) })?.output)
}
