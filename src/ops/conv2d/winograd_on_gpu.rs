//! The dispatches of conv2d by Winograd's algorithms, and weights that are transformed once.

use super::winograd::{Layout, MAX_CHANNELS, TILES};
use super::{Conv2d, Conv2dAlgorithm, Conv2dBuffers, NAME};
use crate::error::{Error, Result};
use crate::gpu::kernel::{Dispatch, Kernel, kernel, uniform};
use crate::gpu::operator::{Operator, Part, Sealed, Split};
use crate::gpu::recorder::{Argument, Recorder};
use crate::gpu::{AdapterClass, Gpu};
use crate::shape::ELEMENT_BYTES;

uniform! {
    struct Params {
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
    }
}

/// The transforms of kernels, inputs and products.
macro_rules! transforms {
    ($file:literal) => {
        [
            kernel!(
                $file = ["winograd", "winograd_tiles"] $file,
                "transform_kernels",
                Params,
                [(2, Read), (5, ReadWrite)]
            ),
            kernel!(
                $file = ["winograd", "winograd_tiles"] $file,
                "transform_inputs",
                Params,
                [(1, Read), (3, Read), (5, ReadWrite)]
            ),
            kernel!(
                $file = ["winograd", "winograd_tiles"] $file,
                "transform_products",
                Params,
                [(1, Read), (2, Read), (4, ReadWrite), (5, ReadWrite)]
            ),
        ]
    };
}
static TRANSFORMS_2X2: [Kernel; 3] = transforms!("conv2d_winograd2x2");
static TRANSFORMS_4X4: [Kernel; 3] = transforms!("conv2d_winograd4x4");
/// With kernels in the workspace, and packed.
static MULTIPLY: [Kernel; 2] = [
    kernel!(
        "conv2d_winograd_multiply" = ["winograd", "kernels"] "conv2d_winograd_multiply",
        "multiply",
        Params,
        [(5, ReadWrite)]
    ),
    kernel!(
        "conv2d_winograd_multiply_packed" = ["winograd", "kernels_packed"] "conv2d_winograd_multiply",
        "multiply",
        Params,
        [(2, Read), (5, ReadWrite)]
    ),
];
static MULTIPLY_SUBGROUP: [Kernel; 2] = [
    kernel!(
        "conv2d_winograd_subgroup" = ["winograd", "kernels"] "conv2d_winograd_subgroup",
        "multiply",
        Params,
        [(5, ReadWrite)]
    ),
    kernel!(
        "conv2d_winograd_packed_subgroup" = ["winograd", "kernels_packed"] "conv2d_winograd_subgroup",
        "multiply",
        Params,
        [(2, Read), (5, ReadWrite)]
    ),
];

pub(crate) const KERNELS: &[&Kernel] = &[
    &TRANSFORMS_2X2[0],
    &TRANSFORMS_2X2[1],
    &TRANSFORMS_2X2[2],
    &TRANSFORMS_4X4[0],
    &TRANSFORMS_4X4[1],
    &TRANSFORMS_4X4[2],
    &MULTIPLY[0],
    &MULTIPLY[1],
    &MULTIPLY_SUBGROUP[0],
    &MULTIPLY_SUBGROUP[1],
];

/// Tiles and blocks of channels that a workgroup multiplies on a GPU.
const GPU_TILES: usize = 64;
const GPU_BLOCKS: usize = 16;
/// Invocations of a workgroup that multiplies on a software adapter: one of its vectors.
const LANES: usize = 8;

impl Conv2d {
    /// Whether F(2x2, 3x3) through a workspace can run on this device.
    pub(super) fn is_transformable(&self, gpu: &Gpu) -> bool {
        let layout = Layout::new(self, 2);
        let largest = layout.workspace_elements(self.is_packed).max(layout.packed_elements());
        self.in_channels() <= MAX_CHANNELS
            && largest as u64 * ELEMENT_BYTES <= gpu.limits().max_storage_buffer_binding_size
    }

    /// The tiles' rows and columns, if this device computes it by transforms through a workspace: F(2x2, 3x3) is one kernel
    /// but on llvmpipe, and where the workspace cannot be bound.
    pub(super) fn transformed_tile(&self, gpu: &Gpu) -> Option<usize> {
        match self.algorithm_on(gpu) {
            Conv2dAlgorithm::Winograd2x2 if gpu.class() == AdapterClass::Llvmpipe && self.is_transformable(gpu) => {
                Some(2)
            }
            Conv2dAlgorithm::Winograd4x4 => Some(4),
            _ => None,
        }
    }

    /// The dispatches with tiles of so many rows and columns.
    pub(super) fn transformed(&self, gpu: &Gpu, part: &Part, tile: usize) -> Vec<Dispatch> {
        let layout = Layout::new(self, tile);
        let [kernels, inputs, products] = if tile == 2 { &TRANSFORMS_2X2 } else { &TRANSFORMS_4X4 };
        let params = self.winograd_params(&layout, part);
        let mut dispatches = Vec::new();
        if !self.is_packed {
            dispatches.push(self.transform_kernels(kernels, &layout, params, "workspace"));
        }
        let bias = if self.has_bias { "bias" } else { "weight" };
        // An invocation of these also copies a block of the bias.
        let input_count = self.groups * (layout.channel_room * layout.room / 4).max(layout.channel_blocks);
        let product_count = self.groups * layout.channel_blocks * layout.room;
        for tile_begin in (0..params.tiles).step_by(layout.room) {
            let uniform = Params { tile_begin, ..params }.to_bytes();
            let arguments = vec!["input", bias, "workspace"];
            dispatches.push(Dispatch::per_element(inputs, uniform.clone(), arguments, input_count));
            dispatches.push(self.multiply(&layout, gpu, uniform.clone()));
            let arguments = vec!["input", "weight", "output", "workspace"];
            dispatches.push(Dispatch::per_element(products, uniform, arguments, product_count));
        }
        dispatches
    }

    fn winograd_params(&self, layout: &Layout, part: &Part) -> Params {
        let [rows, cols] = &self.windows;
        Params {
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
            tiles: (part.items * layout.tile_rows * layout.tile_cols) as i32,
            tile_begin: 0,
            room: layout.room as i32,
            input_base: part.base("input"),
            output_base: part.base("output"),
            products_begin: layout.products_begin as i32,
            bias_begin: layout.bias_begin as i32,
            kernels_begin: layout.kernels_begin as i32,
            inputs_step: layout.inputs_step as i32,
            products_step: layout.products_step as i32,
            kernels_step: layout.kernels_step as i32,
        }
    }

    /// Transforms the weights into an argument.
    fn transform_kernels(
        &self,
        kernel: &'static Kernel,
        layout: &Layout,
        params: Params,
        into: &'static str,
    ) -> Dispatch {
        let invocations = self.groups * layout.channel_blocks * layout.channel_room;
        Dispatch::per_element(kernel, params.to_bytes(), vec!["weight", into], invocations)
    }

    fn multiply(&self, layout: &Layout, gpu: &Gpu, uniform: Vec<u8>) -> Dispatch {
        let is_packed = usize::from(self.is_packed);
        let arguments = if self.is_packed { vec!["packed_weight", "workspace"] } else { vec!["workspace"] };
        let problems = layout.positions * self.groups;
        if gpu.is_software() && gpu.has(wgpu::Features::SUBGROUP) {
            let blocks = if layout.channel_blocks > LANES { 2 } else { 1 };
            let tiles = if layout.room > TILES && gpu.adapter_info().subgroup_min_size as usize >= LANES {
                2 * TILES
            } else {
                TILES
            };
            let workgroups = problems * (layout.room / tiles) * layout.channel_blocks.div_ceil(LANES * blocks);
            return Dispatch::per_workgroup(&MULTIPLY_SUBGROUP[is_packed], uniform, arguments, workgroups)
                .with_constant("WORKGROUP_SIZE", LANES as u32)
                .with_constant("TILES", tiles as u32)
                .with_constant("BLOCKS", blocks as u32);
        }
        let workgroups = problems * layout.room.div_ceil(GPU_TILES) * layout.channel_blocks.div_ceil(GPU_BLOCKS);
        Dispatch::per_workgroup(&MULTIPLY[is_packed], uniform, arguments, workgroups)
    }

    /// The same operator for [`Conv2d::record_packed`], on a weight that [`Conv2d::record_pack_weight`] has packed: worth
    /// it where a weight is used many times.
    pub fn with_packed_weight(self) -> Self {
        Conv2d { is_packed: true, ..self }
    }

    /// The tile that a weight is packed for, if it is.
    fn packed_tile(&self, gpu: &Gpu) -> Option<usize> {
        if self.is_packed { self.transformed_tile(gpu) } else { None }
    }

    pub(super) fn packed_elements_on(&self, gpu: &Gpu) -> usize {
        self.packed_tile(gpu).map_or(0, |tile| Layout::new(self, tile).packed_elements())
    }

    /// Bytes of a packed weight, on this device. 0 if the algorithm that runs there takes weights as they are, or if this
    /// is no operator [with a packed weight](Conv2d::with_packed_weight): there is nothing to pack then.
    pub fn packed_weight_size_on(&self, gpu: &Gpu) -> u64 {
        self.packed_elements_on(gpu) as u64 * ELEMENT_BYTES
    }

    /// Records the packing of a weight, f32, (O, C / groups, 3, 3), into a buffer of [`Conv2d::packed_weight_size_on`]
    /// bytes, for [`Conv2d::record_packed`] of this operator, or of one that differs from it in the input's batch, rows and
    /// columns and the padding alone, if the same algorithm was asked for by name. What a buffer was packed for nobody
    /// checks. If there is nothing to pack, nothing is recorded and the buffer is not looked at.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::wgpu::{BufferDescriptor, BufferUsages};
    /// use wgdnn::{Conv2d, Conv2dAlgorithm, Conv2dBuffers, Conv2dParams, Gpu};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let params = Conv2dParams { algorithm: Conv2dAlgorithm::Winograd4x4, ..Default::default() };
    /// let conv = Conv2d::new(&[1, 64, 56, 56], &[64, 64, 3, 3], None, &params)?.with_packed_weight();
    /// conv.warm_up(&gpu)?;
    /// let buffer = |size| {
    ///     let usage = BufferUsages::STORAGE;
    ///     gpu.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    /// };
    /// let (input, output) = (buffer(4 * 64 * 56 * 56), buffer(4 * 64 * 54 * 54));
    /// let (weight, packed) = (buffer(4 * 64 * 64 * 9), buffer(conv.packed_weight_size_on(&gpu)));
    /// let workspace = buffer(conv.workspace_size_on(&gpu));
    ///
    /// let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// let mut recorder = gpu.record(&mut encoder);
    /// conv.record_pack_weight(&mut recorder, weight.slice(..), packed.slice(..))?; // Once.
    /// let buffers = Conv2dBuffers {
    ///     input: input.slice(..),
    ///     weight: weight.slice(..),
    ///     bias: None,
    ///     output: output.slice(..),
    ///     workspace: Some(workspace.slice(..)),
    /// };
    /// conv.record_packed(&mut recorder, &buffers, packed.slice(..))?; // As often as you like.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Conv2d::record`], for `weight` and `packed_weight`;
    /// [`Error::InvalidArgument`] for `packed_weight` of an operator that is not [with one](Conv2d::with_packed_weight).
    pub fn record_pack_weight(
        &self,
        recorder: &mut Recorder<'_>,
        weight: wgpu::BufferSlice<'_>,
        packed_weight: wgpu::BufferSlice<'_>,
    ) -> Result<()> {
        self.expect_packed()?;
        let elements = self.packed_elements_on(recorder.gpu());
        if elements == 0 {
            return Ok(());
        }
        let arguments = [
            Argument::read("weight", weight, self.weight_count()),
            Argument::write("packed_weight", packed_weight, elements),
        ];
        recorder.run(&PackWeight(self), &arguments)
    }

    /// [`Conv2d::record`] with the packed weight. The weight itself is wanted too: for sums that are not finite.
    ///
    /// # Errors
    /// As [`Conv2d::record`] and [`Conv2d::record_pack_weight`].
    pub fn record_packed(
        &self,
        recorder: &mut Recorder<'_>,
        buffers: &Conv2dBuffers<'_>,
        packed_weight: wgpu::BufferSlice<'_>,
    ) -> Result<()> {
        self.expect_packed()?;
        self.record_with(recorder, buffers, Some(packed_weight))
    }

    fn expect_packed(&self) -> Result<()> {
        let expected = "an operator made by with_packed_weight()";
        if self.is_packed { Ok(()) } else { Err(Error::invalid(NAME, "packed_weight", expected, "one without")) }
    }
}

/// The packing of an operator's weight.
pub(super) struct PackWeight<'a>(pub &'a Conv2d);

impl Sealed for PackWeight<'_> {}

impl Operator for PackWeight<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn split(&self) -> Split {
        Split::none()
    }

    fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
        let Some(tile) = self.0.packed_tile(gpu) else { return Vec::new() };
        let layout = Layout::new(self.0, tile);
        let [kernels, ..] = if tile == 2 { &TRANSFORMS_2X2 } else { &TRANSFORMS_4X4 };
        let params = Params { kernels_begin: 0, ..self.0.winograd_params(&layout, part) };
        vec![self.0.transform_kernels(kernels, &layout, params, "packed_weight")]
    }
}
