//! The dispatches of conv2d by Winograd's algorithms through a workspace.

use super::winograd::Layout;
use super::{Conv2d, Conv2dInputs};
use crate::gpu::kernel::{Binding, Dispatch, Kernel, kernel, uniform};
use crate::gpu::work::Part;
use crate::operator::Bound;
use crate::ops::convolution::patches::LANES;
use crate::ops::epilogue::{Finisher, finished_kernels};

uniform! {
    struct Params {
        epilogue: [u32; 4],
        positions: i32,
        groups: i32,
        in_channels: i32,
        channel_room: i32,
        out_channels: i32,
        in_rows: i32,
        in_cols: i32,
        out_rows: i32,
        out_cols: i32,
        padding_rows: i32,
        padding_cols: i32,
        has_bias: u32,
        continues: u32,
        tile_rows: i32,
        tile_cols: i32,
        tiles: i32,
        tile_begin: i32,
        room: i32,
        input_base: u32,
        output_base: u32,
        products_begin: i32,
        bias_begin: i32,
        kernels_begin: i32,
        inputs_step: i32,
        products_step: i32,
        kernels_step: i32,
        is_mirrored: u32,
    }
}

/// The transforms of kernels and inputs.
macro_rules! transforms {
    ($file:literal) => {
        [
            kernel!($file, "transform_kernels", Params, [(2, Read), (5, ReadWrite)]),
            kernel!($file, "transform_inputs", Params, [(1, Read), (3, Read), (5, ReadWrite)]),
        ]
    };
}
static TRANSFORMS_2X2: [Kernel; 2] = transforms!("conv2d_winograd2x2");
static TRANSFORMS_4X4: [Kernel; 2] = transforms!("conv2d_winograd4x4");
/// The transforms of products, without and with an epilogue.
macro_rules! products {
    ($file:literal) => {
        finished_kernels!($file, "transform_products", Params, [(1, Read), (2, Read), (4, ReadWrite), (5, ReadWrite)])
    };
}
static PRODUCTS_2X2: [Kernel; 2] = products!("conv2d_winograd2x2");
static PRODUCTS_4X4: [Kernel; 2] = products!("conv2d_winograd4x4");
/// With kernels from the workspace, and with packed kernels.
static MULTIPLY: [Kernel; 2] = [
    kernel!("conv2d_winograd_multiply", "multiply", Params, [(5, ReadWrite)]),
    kernel!(
        "conv2d_winograd_multiply" with "kernels_packed" as "conv2d_winograd_multiply_packed",
        "multiply",
        Params,
        [(2, Read), (5, ReadWrite)]
    ),
];
static MULTIPLY_SUBGROUP: [Kernel; 2] = [
    kernel!("conv2d_winograd_subgroup", "multiply", Params, [(5, ReadWrite)]),
    kernel!(
        "conv2d_winograd_subgroup" with "kernels_packed" as "conv2d_winograd_packed_subgroup",
        "multiply",
        Params,
        [(2, Read), (5, ReadWrite)]
    ),
];

pub(super) const TRANSFORMS: [&[Kernel]; 6] =
    [&TRANSFORMS_2X2, &TRANSFORMS_4X4, &MULTIPLY, &MULTIPLY_SUBGROUP, &PRODUCTS_2X2, &PRODUCTS_4X4];

/// The tiles and blocks of channels that a workgroup multiplies on a GPU.
const GPU_TILES: usize = 64;
const GPU_BLOCKS: usize = 16;

impl Conv2d {
    pub(super) fn transformed(
        &self,
        layout: &Layout,
        subgroup_tiles: Option<usize>,
        part: &Part,
        bound: &Bound<Self>,
        finisher: &Finisher,
        add: &mut dyn FnMut(Dispatch),
    ) {
        let Conv2dInputs { input, weight, bias, packed_weight, .. } = bound.inputs;
        let (output, workspace) = (bound.outputs.output, bound.workspace);
        let packed_weight = packed_weight.filter(|_| self.is_packed).map(|packed| packed.data);
        let ([kernels, inputs], products) = transforms_of(layout);
        let params = Params {
            epilogue: finisher.uniform(),
            continues: u32::from(finisher.continues()),
            ..self.winograd_params(layout, part.items, [input, output])
        };
        if packed_weight.is_none() {
            add(self.transform_kernels(kernels, layout, params, [weight, workspace]));
        }
        // An invocation of these kernels also copies a block of the bias.
        let input_count = self.groups * (layout.channel_room * layout.room / 4).max(layout.channel_blocks);
        let product_count = self.groups * layout.channel_blocks * layout.room;
        for tile_begin in (0..params.tiles).step_by(layout.room) {
            let uniform = Params { tile_begin, ..params }.to_bytes();
            let arguments = [input, bias.unwrap_or(weight), workspace];
            add(Dispatch::per_element(inputs, uniform.clone(), &arguments, input_count));
            let (kernels, workgroups) = self.multiply(layout, subgroup_tiles);
            let multiply = match packed_weight {
                None => Dispatch::per_workgroup(&kernels[0], uniform.clone(), &[workspace], workgroups),
                Some(packed) => Dispatch::per_workgroup(&kernels[1], uniform.clone(), &[packed, workspace], workgroups),
            };
            add(match subgroup_tiles {
                None => multiply,
                Some(tiles) => multiply
                    .with_constant("WORKGROUP_SIZE", LANES as u32)
                    .with_constant("TILES", tiles as u32)
                    .with_constant("BLOCKS", subgroup_blocks(layout) as u32),
            });
            let arguments = finisher.arguments(&[input, weight, output, workspace]);
            let dispatch = Dispatch::per_element(finisher.kernel(products), uniform, &arguments, product_count);
            add(finisher.activated(dispatch));
        }
    }

    /// The multiplying kernels, for kernels from the workspace and for packed ones, and their number of workgroups.
    fn multiply(&self, layout: &Layout, subgroup_tiles: Option<usize>) -> (&'static [Kernel; 2], usize) {
        let problems = layout.positions * self.groups;
        match subgroup_tiles {
            Some(tiles) => {
                let channels = layout.channel_blocks.div_ceil(LANES * subgroup_blocks(layout));
                (&MULTIPLY_SUBGROUP, problems * (layout.room / tiles) * channels)
            }
            None => {
                let channels = layout.channel_blocks.div_ceil(GPU_BLOCKS);
                (&MULTIPLY, problems * layout.room.div_ceil(GPU_TILES) * channels)
            }
        }
    }

    /// Transforms the weight into the workspace.
    fn transform_kernels(
        &self,
        kernel: &'static Kernel,
        layout: &Layout,
        params: Params,
        arguments: [Binding; 2],
    ) -> Dispatch {
        let invocations = self.groups * layout.channel_blocks * layout.channel_room;
        Dispatch::per_element(kernel, params.to_bytes(), &arguments, invocations)
    }

    /// Transforms the weight into a packed weight.
    pub(super) fn pack(&self, layout: &Layout, [weight, packed_weight]: [Binding; 2]) -> Dispatch {
        let ([kernels, _], _) = transforms_of(layout);
        let params = self.winograd_params(layout, self.input.batch, [weight, packed_weight]);
        self.transform_kernels(kernels, layout, Params { kernels_begin: 0, ..params }, [weight, packed_weight])
    }

    fn winograd_params(&self, layout: &Layout, images: usize, bases: [Binding; 2]) -> Params {
        let [rows, cols] = &self.windows;
        Params {
            epilogue: [0; 4],
            continues: 0,
            positions: layout.positions as i32,
            groups: self.groups as i32,
            in_channels: self.in_channels() as i32,
            channel_room: layout.channel_room as i32,
            out_channels: self.group_out_channels() as i32,
            in_rows: self.input.rows as i32,
            in_cols: self.input.cols as i32,
            out_rows: self.out_rows as i32,
            out_cols: self.out_cols as i32,
            padding_rows: rows.padding_before as i32,
            padding_cols: cols.padding_before as i32,
            has_bias: u32::from(self.has_bias),
            tile_rows: layout.tile_rows as i32,
            tile_cols: layout.tile_cols as i32,
            tiles: (images * layout.tile_rows * layout.tile_cols) as i32,
            tile_begin: 0,
            room: layout.room as i32,
            input_base: bases[0].base,
            output_base: bases[1].base,
            products_begin: layout.products_begin as i32,
            bias_begin: layout.bias_begin as i32,
            kernels_begin: layout.kernels_begin as i32,
            inputs_step: layout.inputs_step as i32,
            products_step: layout.products_step as i32,
            kernels_step: layout.kernels_step as i32,
            is_mirrored: u32::from(self.is_mirrored),
        }
    }
}

/// The transforms of kernels and inputs, and those of products.
fn transforms_of(layout: &Layout) -> (&'static [Kernel; 2], &'static [Kernel; 2]) {
    if layout.tile == 2 { (&TRANSFORMS_2X2, &PRODUCTS_2X2) } else { (&TRANSFORMS_4X4, &PRODUCTS_4X4) }
}

/// The blocks of channels that an invocation of a subgroup multiplies.
fn subgroup_blocks(layout: &Layout) -> usize {
    if layout.channel_blocks > LANES { 2 } else { 1 }
}
