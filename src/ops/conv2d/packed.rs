//! Weights of conv2d that are packed once: transformed ahead, for Winograd's algorithms.

use std::fmt;

use super::transforms::TRANSFORMS;
use super::winograd::Layout;
use crate::ops::Finished;

use super::{Conv2d, Conv2dAlgorithm, Conv2dInputs, Conv2dParams, Conv2dPlan};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel};
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::{
    ArraysOf, Bound, Computed, Definition, InputsOf, NoParams, OnCpu, Operator, Packed, PackedLayout, Slot, Slots,
    arguments,
};
use crate::shape;

/// An operator that packs a weight, for [`Conv2d`] operators [with a packed weight](Conv2d::with_packed_weight).
#[derive(Debug, Clone, PartialEq)]
pub struct PackWeight {
    conv: Conv2d,
    layout: Layout,
}

arguments! {
    /// The inputs of a [`PackWeight`].
    #[derive(Copy)]
    pub struct PackWeightInputs<F> {
        /// f32, (O,C/groups,3,3).
        weight: float,
    }
}

arguments! {
    /// The outputs of a [`PackWeight`].
    #[derive(Copy)]
    pub struct PackWeightOutputs<F> {
        /// f32, in the layout of [`PackWeight::layout`].
        packed_weight: float,
    }
}

impl PackWeight {
    /// The layout that it packs to. Hand it on with the packed data, in a [`Packed`].
    pub fn layout(&self) -> PackedLayout {
        self.conv.packed_layout(&self.layout)
    }
}

impl Definition for PackWeight {
    const NAME: &'static str = "pack_weight";
    type Params = NoParams;
    type Inputs = PackWeightInputs<()>;
    type Outputs = PackWeightOutputs<()>;

    fn of_shapes(_: &InputsOf<Self, Vec<usize>, Vec<usize>>, _: &NoParams) -> Result<Self> {
        Err(Error::invalid(Self::NAME, "weight", "an operator that it is packed for", "none"))
    }
}

impl OnCpu for PackWeight {
    /// Only kernels know the packed layout; tests compare what they compute from it with the CPU.
    fn compute(&self, _: &ArraysOf<Self>) -> Result<Computed<Self>> {
        Err(Error::invalid(Self::NAME, "weight", "the GPU", "the CPU, which packs nothing"))
    }
}

impl Operator for PackWeight {
    type Plan = Layout;
    const KERNELS: &'static [&'static [Kernel]] = &[TRANSFORMS[0], TRANSFORMS[1]];

    fn plan(&self, _: &Capabilities) -> Layout {
        self.layout
    }

    fn declare(&self, layout: &Layout) -> Slots<Self> {
        let inputs = PackWeightInputs { weight: Slot::read(&self.conv.weight_shape()) };
        Slots::new(inputs, PackWeightOutputs { packed_weight: Slot::write(&[layout.packed_elements()]) })
    }

    fn dispatches(&self, layout: &Layout, _: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
        add(self.conv.pack(layout, [bound.inputs.weight, bound.outputs.packed_weight]));
    }
}

impl Conv2d {
    /// The same operator, which also takes a packed weight if its plan can use one. This pays where a weight is used
    /// many times. The unpacked weight is still read, for sums that are not finite.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::wgpu::{BufferDescriptor, BufferUsages};
    /// use wgdnn::{Conv2d, Conv2dAlgorithm, Conv2dInputs, Conv2dOutputs, Gpu, Operator, Packed};
    /// use wgdnn::{PackWeightInputs, PackWeightOutputs};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let conv = Conv2d::new(&[1, 64, 56, 56], &[64, 64, 3, 3], None, &Default::default())?
    ///     .with_algorithm(Conv2dAlgorithm::Winograd4x4)?
    ///     .with_packed_weight();
    /// conv.warm_up(&gpu)?;
    /// let buffer = |size| {
    ///     let usage = BufferUsages::STORAGE;
    ///     gpu.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    /// };
    /// let slots = conv.slots(&gpu);
    /// let (input, weight) = (buffer(slots.inputs.input.bytes()), buffer(slots.inputs.weight.bytes()));
    /// let (output, workspace) = (buffer(slots.outputs.output.bytes()), buffer(slots.workspace_size()));
    ///
    /// let mut encoder = gpu.device().create_command_encoder(&Default::default());
    /// let mut recorder = gpu.record(&mut encoder);
    /// let mut inputs = Conv2dInputs::new(input.slice(..), weight.slice(..));
    /// let packed; // Pack once, if this device's plan can use a packed weight.
    /// if let Some(pack) = conv.pack_weight(&gpu) {
    ///     packed = buffer(pack.slots(&gpu).outputs.packed_weight.bytes());
    ///     let [from, to] = [PackWeightInputs::new(weight.slice(..)), PackWeightInputs::new(packed.slice(..))];
    ///     pack.record(&mut recorder, &from, &PackWeightOutputs::new(to.weight), None)?;
    ///     inputs.packed_weight = Some(Packed { data: packed.slice(..), layout: pack.layout() });
    /// }
    /// // As often as you like.
    /// conv.record(&mut recorder, &inputs, &Conv2dOutputs::new(output.slice(..)), Some(workspace.slice(..)))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_packed_weight(self) -> Self {
        Conv2d { is_packed: true, ..self }
    }

    /// The operator that packs this one's weight for this device, if the plan there can use a packed weight. Operators
    /// that differ only in the input's batch, rows and columns and in the padding take the same packed weight, if they
    /// are planned with the same algorithm.
    pub fn pack_weight(&self, gpu: &Gpu) -> Option<PackWeight> {
        self.pack_weight_by(&self.clone().with_packed_weight().plan(gpu.capabilities()))
    }

    pub(super) fn pack_weight_by(&self, plan: &Finished<Conv2dPlan>) -> Option<PackWeight> {
        match &plan.main {
            Conv2dPlan::Winograd { layout, .. } => Some(PackWeight { conv: self.clone(), layout: *layout }),
            _ => None,
        }
    }

    fn packed_layout(&self, layout: &Layout) -> PackedLayout {
        let name = if layout.tile == 2 { "F(2x2, 3x3)" } else { "F(4x4, 3x3)" };
        PackedLayout { name, of: [self.groups, self.group_out_channels(), self.in_channels()] }
    }

    pub(super) fn packed_slot(&self, layout: &Layout) -> Packed<Slot> {
        let tag = self.packed_layout(layout);
        Packed { data: Slot::read(&[layout.packed_elements()]).packed(tag), layout: tag }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernels of F({0}x{0}, 3x3)", self.tile)
    }
}

/// A weight for [`conv2d_packed`], packed once for an algorithm.
#[derive(Debug, Clone)]
pub struct PackedWeight {
    weight: Tensor,
    algorithm: Conv2dAlgorithm,
    packed: Option<Packed<Tensor>>,
}

impl PackedWeight {
    /// Packs a weight (O,C/groups,R,S) for the algorithm that these parameters take for a large image on its device, if
    /// that algorithm can use it.
    ///
    /// # Errors
    /// As [`Conv2d::new`] for the weight and the parameters.
    pub fn new(weight: &Tensor, params: &Conv2dParams) -> Result<Self> {
        Self::with_algorithm(weight, params, Conv2dAlgorithm::Auto)
    }

    /// Packs a weight (O,C/groups,R,S) for an algorithm, if that algorithm can use it.
    ///
    /// # Errors
    /// As [`Conv2d::new`] for the weight and the parameters, and [`Conv2d::with_algorithm`].
    pub fn with_algorithm(weight: &Tensor, params: &Conv2dParams, algorithm: Conv2dAlgorithm) -> Result<Self> {
        if params.groups == 0 {
            return Err(Error::invalid(Conv2d::NAME, "groups", "at least 1", "0"));
        }
        let [_, in_channels, rows, cols] = shape::weight(Conv2d::NAME, weight.shape())?;
        let extent = |kernel: usize, dilation: usize| (kernel - 1).saturating_mul(dilation).saturating_add(64);
        let channels = in_channels.saturating_mul(params.groups);
        let input = [1, channels, extent(rows, params.dilation[0]), extent(cols, params.dilation[1])];
        let operator = Conv2d::new(&input, weight.shape(), None, params)?.with_algorithm(algorithm)?;
        let packed = match operator.pack_weight(weight.gpu()) {
            Some(pack) => {
                let data = pack.call(&PackWeightInputs { weight })?.packed_weight;
                Some(Packed { data, layout: pack.layout() })
            }
            None => None,
        };
        Ok(PackedWeight { weight: weight.clone(), algorithm, packed })
    }

    /// The weight as it was given.
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

/// [`conv2d`](crate::conv2d) with a weight that was packed once, for weights that are used many times. It runs the
/// algorithm that the weight was packed for. If the parameters or the input lead to another plan, the unpacked weight
/// is used.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use ndarray::Array4;
/// use wgdnn::{Conv2dAlgorithm, Conv2dParams, Gpu, PackedWeight, Tensor, conv2d_packed};
///
/// let gpu = Gpu::new_blocking()?;
/// let params = Conv2dParams::default();
/// let weight = Tensor::from_array(&gpu, &Array4::<f32>::zeros((64, 64, 3, 3)))?;
/// let weight = PackedWeight::with_algorithm(&weight, &params, Conv2dAlgorithm::Winograd4x4)?;
/// let mut features = Tensor::from_array(&gpu, &Array4::<f32>::zeros((1, 64, 56, 56)))?;
/// for _ in 0..10 {
///     features = conv2d_packed(&features, &weight, None, &params)?;
/// }
/// assert_eq!(features.shape(), [1, 64, 36, 36]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`conv2d`](crate::conv2d), and [`Conv2d::with_algorithm`].
pub fn conv2d_packed(
    input: &Tensor,
    weight: &PackedWeight,
    bias: Option<&Tensor>,
    params: &Conv2dParams,
) -> Result<Tensor> {
    let PackedWeight { weight, algorithm, packed } = weight;
    let operator = Conv2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
    let mut operator = operator.with_algorithm(*algorithm)?;
    let layout = operator.pack_weight(input.gpu()).map(|pack| pack.layout());
    let packed = packed.as_ref().filter(|packed| Some(packed.layout) == layout);
    if packed.is_some() {
        operator = operator.with_packed_weight();
    }
    let packed_weight = packed.map(|packed| Packed { data: &packed.data, layout: packed.layout });
    Ok(operator.call(&Conv2dInputs { bias, packed_weight, ..Conv2dInputs::new(input, weight) })?.output)
}
