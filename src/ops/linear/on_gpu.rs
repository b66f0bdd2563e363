//! linear on the GPU: its plan, its dispatches, and the eager call.

use std::fmt;

use super::{Linear, LinearInputs, LinearOutputs};
use crate::error::Result;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{BLOCK, Dispatch, Kernel, WORKGROUP_SIZE, uniform};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::replay::magnitudes;
use crate::operator::{ArraysOf, Bound, Computed, OnCpu, Operator, Slot, Slots, Tolerance};
use crate::ops::convolution::Geometry;
use crate::ops::convolution::gemm::{ADD_SPLITS, Gemm, GemmParams, MULTIPLY, stores_once};
use crate::ops::convolution::gemm_tiles::GemmTiles;
use crate::ops::convolution::patches::LANES;
use crate::ops::epilogue::{FINISH_KERNELS, Finished, Finisher, finished_kernels};
use crate::shape::{ELEMENT_BYTES, ImageShape};
use crate::window::Window;

uniform! {
    struct Params {
        epilogue: [u32; 4],
        rows: u32,
        features: u32,
        all_features: u32,
        k: u32,
        block_begin: u32,
        block_end: u32,
        feature_begin: u32,
        has_bias: u32,
        bias_row: u32,
        bias_feature: u32,
        continues: u32,
        input_base: u32,
        weight_base: u32,
        output_base: u32,
    }
}

/// Kernels on blocks and on elements, each without and with an epilogue.
macro_rules! linear_kernels {
    ($file:literal, $entry_point:literal) => {
        [
            finished_kernels!($file, $entry_point, Params, [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]),
            finished_kernels!(
                $file with "linear_elements" as concat!($file, "_elements"),
                $entry_point,
                Params,
                [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
            ),
        ]
    };
}
static FEATURES: [[Kernel; 2]; 2] = linear_kernels!("linear", "features");
static VECTORS: [[Kernel; 2]; 2] = linear_kernels!("linear_vectors", "vectors");

/// The most rows that are multiplied as vectors, which is the room of the kernel.
const MOST_VECTORS: usize = 8;

/// How a product is computed on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinearPlan {
    /// An invocation for some rows of a feature, with at most this many blocks of k in a dispatch.
    #[doc(hidden)]
    Features { rows: usize, most_blocks: usize, workgroup_size: usize, in_blocks: bool, cuts_features: bool },
    /// A workgroup for a feature of few rows.
    #[doc(hidden)]
    Vectors { in_blocks: bool, cuts_features: bool },
    /// A product of matrices in tiles.
    #[doc(hidden)]
    Gemm { tiles: GemmTiles, loop_budget: u32 },
}

impl fmt::Display for LinearPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_blocks = |in_blocks: bool| if in_blocks { ", in blocks of 4" } else { "" };
        match self {
            LinearPlan::Features { rows, in_blocks: blocks, .. } => {
                write!(f, "{rows} rows of a feature an invocation{}", in_blocks(*blocks))
            }
            LinearPlan::Vectors { in_blocks: blocks, .. } => {
                write!(f, "a feature of all rows a workgroup{}", in_blocks(*blocks))
            }
            LinearPlan::Gemm { tiles, .. } => write!(f, "GEMM, {tiles}"),
        }
    }
}

impl LinearPlan {
    /// Whether a call is cut along features, not along rows.
    fn cuts_features(&self) -> bool {
        match self {
            LinearPlan::Features { cuts_features, .. } | LinearPlan::Vectors { cuts_features, .. } => *cuts_features,
            LinearPlan::Gemm { .. } => false,
        }
    }
}

impl Operator for Linear {
    type Plan = Finished<LinearPlan>;
    const KERNELS: &'static [&'static [Kernel]] =
        &[&FEATURES[0], &FEATURES[1], &VECTORS[0], &VECTORS[1], &MULTIPLY, &ADD_SPLITS, &FINISH_KERNELS];

    fn plan(&self, on: &Capabilities) -> Finished<LinearPlan> {
        let weight_bytes = (self.features * self.k) as u64 * ELEMENT_BYTES;
        let cuts_features = weight_bytes > on.limits.max_storage_buffer_binding_size;
        // The GEMM has a number for each feature as its bias, and all features at once.
        let is_gemm = !on.is_software()
            && self.rows > MOST_VECTORS
            && self.features >= 16
            && self.k >= 16
            && !cuts_features
            && (self.bias.is_none() || self.bias_steps == [0, 1]);
        let in_blocks = self.k > 0 && self.k.is_multiple_of(BLOCK as usize);
        let main = if is_gemm {
            let tiles = GemmTiles::new([1, self.features, self.rows, self.k]);
            LinearPlan::Gemm { tiles, loop_budget: on.loop_budget }
        } else if !on.is_software() && self.rows <= MOST_VECTORS {
            LinearPlan::Vectors { in_blocks, cuts_features }
        } else {
            let rows = [1, 2, 4, 8].into_iter().find(|&rows| self.rows <= rows).unwrap_or(16);
            let workgroup_size = if on.is_software() { LANES } else { WORKGROUP_SIZE as usize };
            let most_blocks = on.loop_budget as usize;
            LinearPlan::Features { rows, most_blocks, workgroup_size, in_blocks, cuts_features }
        };
        let is_once = match &main {
            LinearPlan::Features { most_blocks, .. } => self.blocks() <= *most_blocks,
            LinearPlan::Vectors { .. } => true,
            LinearPlan::Gemm { tiles, loop_budget } => stores_once(tiles, self.k, *loop_budget),
        };
        Finished { main, finish: self.epilogue.plan(on, 4, is_once) }
    }

    fn declare(&self, plan: &Finished<LinearPlan>) -> Slots<Self> {
        let mut input = Slot::read(&self.input);
        let mut weight = Slot::read(&self.weight);
        let mut output = Slot::write(&self.output);
        let varies_by_row = self.bias_steps[0] > 0;
        let items = if plan.main.cuts_features() {
            weight = weight.cut(self.k);
            self.features
        } else if varies_by_row {
            1
        } else {
            input = input.cut(self.k);
            output = output.cut(self.features);
            self.rows
        };
        let inputs = LinearInputs {
            bias: self.bias.as_ref().map(|shape| Slot::read(shape)),
            residual: self.epilogue.residual(&output),
            activation_weight: self.epilogue.activation_weight(),
            ..LinearInputs::new(input, weight)
        };
        let workspace = match &plan.main {
            LinearPlan::Gemm { tiles, .. } if tiles.splits > 1 => tiles.splits * self.rows * self.features,
            _ => 0,
        };
        // Each part of a call uses the workspace again.
        Slots::new(inputs, LinearOutputs { output }).cut(items).with_workspace(workspace)
    }

    fn dispatches(&self, plan: &Finished<LinearPlan>, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        let LinearInputs { input, weight, bias, residual, activation_weight } = bound.inputs;
        let output = bound.outputs.output;
        let cuts_features = plan.main.cuts_features();
        let rows = if cuts_features || self.bias_steps[0] > 0 { self.rows } else { part.items };
        let features = if cuts_features { part.items } else { self.features };
        if rows * features == 0 {
            return;
        }
        let (epilogue, finish) = (self.epilogue, plan.finish);
        let finisher = Finisher { epilogue, finish, output, residual, activation_weight, stand_in: weight };
        let arguments = [input, weight, bias.unwrap_or(weight), output];
        let all_arguments = finisher.arguments(&arguments);
        let output_count = rows * self.features;
        // The output is not cut along features: what is done apart, is done once.
        let feature_begin = if cuts_features { part.begin() } else { 0 };
        if feature_begin == 0 {
            finisher.before(output_count, add);
        }
        let params = Params {
            epilogue: finisher.uniform(),
            rows: rows as u32,
            features: features as u32,
            all_features: self.features as u32,
            k: self.k as u32,
            block_begin: 0,
            block_end: self.blocks() as u32,
            feature_begin: feature_begin as u32,
            has_bias: u32::from(self.bias.is_some()),
            bias_row: self.bias_steps[0] as u32,
            bias_feature: self.bias_steps[1] as u32,
            continues: u32::from(finisher.continues()),
            input_base: input.base,
            weight_base: weight.base,
            output_base: output.base,
        };
        // A part may begin beside a block only where rows are not made of blocks.
        match plan.main {
            LinearPlan::Features { rows: rows_at_once, most_blocks, workgroup_size, in_blocks, .. } => {
                let kernel = finisher.kernel(&FEATURES[usize::from(!in_blocks)]);
                let workgroups = rows.div_ceil(rows_at_once) * features.div_ceil(workgroup_size);
                // Without products too there is a dispatch.
                for begin in (0..self.blocks().max(1)).step_by(most_blocks) {
                    let params = Params {
                        block_begin: begin as u32,
                        block_end: (begin + most_blocks).min(self.blocks()) as u32,
                        has_bias: params.has_bias * u32::from(begin == 0),
                        continues: params.continues.max(u32::from(begin > 0)),
                        ..params
                    };
                    let dispatch = Dispatch::per_workgroup(kernel, params.to_bytes(), &all_arguments, workgroups)
                        .with_constant("WORKGROUP_SIZE", workgroup_size as u32)
                        .with_constant("ROWS", rows_at_once as u32);
                    add(finisher.activated(dispatch));
                }
            }
            LinearPlan::Vectors { in_blocks, .. } => {
                let kernel = finisher.kernel(&VECTORS[usize::from(!in_blocks)]);
                add(finisher.activated(Dispatch::per_workgroup(kernel, params.to_bytes(), &all_arguments, features)));
            }
            LinearPlan::Gemm { tiles, loop_budget } => {
                // It is a convolution of images of one pixel.
                let image =
                    ImageShape { shape: Vec::new(), batched: true, batch: rows, channels: self.k, rows: 1, cols: 1 };
                let windows = [Window::POINT; 2];
                let of = Geometry {
                    input: &image,
                    windows: &windows,
                    groups: 1,
                    output: [self.features, 1, 1],
                    has_bias: self.bias.is_some(),
                    continues: finisher.continues(),
                    epilogue: finisher.uniform(),
                    bases: [input.base, output.base, bound.workspace.base],
                };
                let gemm = Gemm {
                    kernels: [&MULTIPLY, &ADD_SPLITS],
                    finisher,
                    tiles,
                    problems: 1,
                    k: self.k,
                    arguments,
                    workspace: bound.workspace,
                    output_count,
                    loop_budget,
                };
                gemm.dispatches(GemmParams { largest_pixels: rows as i32, ..GemmParams::new(&of, rows) }, add);
            }
        }
        if feature_begin + features == self.features {
            finisher.after(output_count, self.features, 1, add);
        }
    }

    fn rounding<'a>(
        &'a self,
        _: &Finished<LinearPlan>,
        inputs: &'a ArraysOf<Self>,
        computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        let sizes = LinearInputs {
            bias: inputs.bias.as_ref().map(magnitudes),
            residual: inputs.residual.as_ref().map(magnitudes),
            ..LinearInputs::new(magnitudes(&inputs.input), magnitudes(&inputs.weight))
        };
        let plain = Linear { epilogue: self.epilogue.without_activation(), ..self.clone() };
        let sums = plain.compute(&sizes)?.outputs.output.into_flat();
        let (slopes, results) = (inputs.activation_weight.as_ref(), &computed.outputs.output);
        Ok(self.epilogue.tolerance(self.k, move |index| sums[index].into(), slopes, results))
    }
}

impl Linear {
    /// The blocks of 4 elements of a row.
    fn blocks(&self) -> usize {
        self.k.div_ceil(BLOCK as usize)
    }
}

/// input weight^T + bias, of an input (..,K), a weight (N,K) and a bias (N), as
/// [`torch.nn.functional.linear`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.linear.html).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::{Array1, Array2};
/// use wgdnn::{Gpu, Tensor, linear};
///
/// let gpu = Gpu::new_blocking()?;
/// let features = Tensor::from_array(&gpu, &Array2::<f32>::zeros((8, 512)))?;
/// let weight = Tensor::from_array(&gpu, &Array2::<f32>::zeros((10, 512)))?;
/// let bias = Tensor::from_array(&gpu, &Array1::<f32>::zeros(10))?;
/// assert_eq!(linear(&features, &weight, Some(&bias))?.shape(), [8, 10]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`Linear::new`] and [`Operator::call`].
pub fn linear(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let operator = Linear::new(input.shape(), weight.shape(), bias.map(Tensor::shape))?;
    Ok(operator.call(&LinearInputs { bias, ..LinearInputs::new(input, weight) })?.output)
}
