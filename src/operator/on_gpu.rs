//! An operator on the GPU: what it declares, and the calls that every operator gets from that.

use std::fmt;

use super::slots::{Bound, Slots};
use super::{AnyOperator, Computed, Definition, InputsOf, OnCpu, OutputsOf, call, eager};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Dispatch, Kernel};
use crate::gpu::recorder::Recorder;
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Part;
use crate::operator::ArraysOf;

/// The error allowed for an element, given its argument's name and its row-major index.
pub type Tolerance<'a> = Box<dyn Fn(&str, usize) -> f64 + 'a>;

/// A planned operator, such as [`Conv2d`](crate::Conv2d): what all of them can do.
///
/// Make one with its `new`, which checks parameters and shapes. Then call it on tensors with [`call`](Operator::call),
/// or record it on your own buffers with [`record`](Operator::record). An operator owns no GPU object, and may be used
/// on any number of devices.
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::wgpu::{BufferDescriptor, BufferUsages};
/// use wgdnn::{Conv2d, Conv2dInputs, Conv2dOutputs, Conv2dParams, Gpu, Operator, Tensor};
///
/// let gpu = Gpu::new_blocking()?;
/// let conv = Conv2d::new(&[1, 3, 64, 64], &[8, 3, 3, 3], None, &Conv2dParams::default())?;
/// conv.warm_up(&gpu)?; // Compiles now rather than at the first call.
///
/// // Eagerly, on tensors.
/// let (image, kernels) = (Tensor::zeros(&gpu, &[1, 3, 64, 64])?, Tensor::zeros(&gpu, &[8, 3, 3, 3])?);
/// let features = conv.call(&Conv2dInputs::new(&image, &kernels))?.output;
/// assert_eq!(features.shape(), conv.output_shape());
///
/// // Recorded, on your own buffers. The slots tell how large each must be.
/// let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
/// let descriptor = |size| BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
/// let buffer = |size| gpu.device().create_buffer(&descriptor(size));
/// let slots = conv.slots(&gpu);
/// let (input, weight) = (buffer(slots.inputs.input.bytes()), buffer(slots.inputs.weight.bytes()));
/// let output = buffer(slots.outputs.output.bytes());
/// let workspace = buffer(conv.workspace_size(&gpu).max(4)); // wgpu binds no empty buffer.
///
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let inputs = Conv2dInputs::new(input.slice(..), weight.slice(..));
/// let outputs = Conv2dOutputs::new(output.slice(..));
/// conv.record(&mut gpu.record(&mut encoder), &inputs, &outputs, Some(workspace.slice(..)))?;
/// gpu.queue().submit([encoder.finish()]);
/// # Ok(())
/// # }
/// ```
pub trait Operator: OnCpu {
    /// What runs on a device: the algorithm, and how the work is cut. It prints as one line, for benchmarks and bug
    /// reports.
    type Plan: fmt::Display + Send + Sync;

    /// All kernels that its plans may run.
    #[doc(hidden)]
    const KERNELS: &'static [&'static [Kernel]];

    /// Plans the operator for a device with these capabilities. A plan needs no device.
    fn plan(&self, on: &Capabilities) -> Self::Plan;

    /// Declares all arguments of a plan: types, sizes, accesses, and how they are cut. No other code repeats this.
    #[doc(hidden)]
    fn declare(&self, plan: &Self::Plan) -> Slots<Self>;

    /// Adds the dispatches for one part of the call.
    #[doc(hidden)]
    fn dispatches(&self, plan: &Self::Plan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch));

    /// How far rounding may bring the GPU's outputs and updated inputs from the CPU's. By default not at all.
    #[doc(hidden)]
    fn rounding<'a>(
        &'a self,
        _plan: &'a Self::Plan,
        _inputs: &'a ArraysOf<Self>,
        _computed: &'a Computed<Self>,
    ) -> Result<Tolerance<'a>> {
        Ok(Box::new(|_, _| 0.0))
    }

    /// Checks the input data of an eager call that the host knows, such as class indices.
    #[doc(hidden)]
    fn check(&self, _: &InputsOf<Self, &Tensor, &Tensor<i32>>) -> Result<()> {
        Ok(())
    }

    /// Operators that run before this one and are warmed up with it, such as the one that packs a weight.
    #[doc(hidden)]
    fn companions(&self, _: &Self::Plan) -> Vec<Box<dyn AnyOperator>> {
        Vec::new()
    }

    /// The arguments as this device needs them: their shapes, types and roles, and the size of the buffer to allocate
    /// for each.
    fn slots(&self, gpu: &Gpu) -> Slots<Self> {
        self.declare(&self.plan(gpu.capabilities()))
    }

    /// The bytes of workspace that [`Operator::record`] needs on this device; 0 if it needs none.
    ///
    /// One workspace may serve many operators that run one after the other, since its contents mean nothing between
    /// calls. Allocate the largest `workspace_size` of them; a workspace may be larger than needed. The buffer needs
    /// the usage `STORAGE`. Eager calls take their workspace from the [`Gpu`]'s own memory.
    fn workspace_size(&self, gpu: &Gpu) -> u64 {
        self.slots(gpu).workspace_size()
    }

    /// Compiles all that recording and calling this operator needs, so that neither compiles anything later.
    ///
    /// # Errors
    /// As [`Gpu::warm_up`].
    fn warm_up(&self, gpu: &Gpu) -> Result<()> {
        gpu.warm_up(&[self as &dyn AnyOperator])
    }

    /// Records the operator on the caller's buffers. Nothing is submitted, polled, mapped or allocated, apart from bind
    /// groups for new buffers; without [`Operator::warm_up`] the first call also compiles.
    ///
    /// Each slice needs at least [`Slot::bytes`](crate::Slot::bytes), in a buffer with the usage `STORAGE`. Add
    /// `COPY_DST` to fill a buffer from the host and `COPY_SRC` to copy results out. Offsets are multiples of the
    /// device's `min_storage_buffer_offset_alignment`. A buffer that is written stands for no other argument, with two exceptions:
    /// an input that [may be the output](crate::Slot::may_be_output) may have the output's buffer and offset, and written
    /// arguments may have ranges of one buffer that do not overlap.
    ///
    /// `workspace` needs at least [`Operator::workspace_size`] bytes; it may be larger, and may be present if that is
    /// 0. One workspace may serve many operators: its contents mean nothing between calls.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is missing, not planned, too small,
    /// misaligned, without `STORAGE`, or both read and written;
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the device's limits.
    fn record<'a>(
        &self,
        recorder: &mut Recorder<'_>,
        inputs: &InputsOf<Self, wgpu::BufferSlice<'a>, wgpu::BufferSlice<'a>>,
        outputs: &OutputsOf<Self, wgpu::BufferSlice<'a>, wgpu::BufferSlice<'a>>,
        workspace: Option<wgpu::BufferSlice<'a>>,
    ) -> Result<()> {
        call::record(self, recorder, inputs, outputs, workspace)
    }

    /// Calls the operator on tensors, and returns new tensors for its outputs. The tensors must have the shapes that
    /// the operator was made with. The operator itself is not checked again, so a repeated call costs less than the
    /// function of its name.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a tensor that is missing, not planned, of another
    /// shape or of another [`Gpu`]; [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the device's limits;
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory), [`Error::DeviceLost`](crate::Error::DeviceLost).
    fn call<'a>(
        &self,
        inputs: &InputsOf<Self, &'a Tensor, &'a Tensor<i32>>,
    ) -> Result<OutputsOf<Self, Tensor, Tensor<i32>>> {
        eager::call(self, inputs, false)
    }

    /// Calls the operator on tensors, and writes the output into the buffer of one of them: the first that has the
    /// output's shape and [may be the output](crate::Slot::may_be_output). That tensor and its clones then hold the
    /// output. Activations do this with `input`, [`Add`](crate::Add) with `input` or `other`, and others with a
    /// `residual`. In a recorded call, pass one buffer for both.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, Operator, Relu, Tensor, UnaryInputs};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let x = Tensor::from_array(&gpu, &ndarray::array![-1.0, 1.0])?;
    /// Relu::new(x.shape())?.call_in_place(&UnaryInputs { input: &x })?;
    /// assert_eq!(x.read_vec_blocking()?, [0.0, 1.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Operator::call`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) if the output may replace no
    /// argument.
    fn call_in_place<'a>(&self, inputs: &InputsOf<Self, &'a Tensor, &'a Tensor<i32>>) -> Result<()> {
        eager::call(self, inputs, true).map(drop)
    }
}

impl Gpu {
    /// Compiles all that recording and calling these operators needs, on all cores.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Conv2d, Gpu, MaxPool2d, MaxPool2dParams};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let conv = Conv2d::new(&[1, 3, 64, 64], &[8, 3, 3, 3], None, &Default::default())?;
    /// let pool = MaxPool2d::new(conv.output_shape(), &MaxPool2dParams::new([2, 2]))?;
    /// gpu.warm_up(&[&conv, &pool])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DeviceLost`](crate::Error::DeviceLost), [`Error::OutOfMemory`](crate::Error::OutOfMemory), and
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for an operator of which not even a part fits into a
    /// binding. Other limits show when it is recorded.
    pub fn warm_up(&self, operators: &[&dyn AnyOperator]) -> Result<()> {
        let mut dispatches = Vec::new();
        for operator in operators {
            dispatches.extend(operator.dispatches_on(self.capabilities())?);
            dispatches.extend(operator.dispatches_in_place_on(self.capabilities())?);
        }
        self.warm_up_dispatches(&dispatches)
    }
}

impl<O: Definition> Slots<O> {
    /// Passes each argument that is present to `tell`, in order, with its group.
    pub(crate) fn each(&self, tell: &mut dyn FnMut(super::Name, &super::Slot, super::Group)) {
        call::each_slot(self, tell);
    }
}
