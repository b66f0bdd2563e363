//! Eager calls, written once for all operators.

use std::convert::Infallible;

use smallvec::SmallVec;

use super::call::{Given, List, argument, expect_shape, inputs_of, matched, names_in_output, outputs_of};
use super::planned::Planned;
use super::slots::{Alias, Role, Slot, Slots};
use super::{Arguments, InputsOf, Map, Name, Operator, OutputsOf, PackedLayout, replay};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::recorder::ArgumentList;
use crate::gpu::storage::{Storage, Use};
use crate::gpu::tensor::{Element, Tensor};

type Slice<'b> = wgpu::BufferSlice<'b>;

/// A float or an integer tensor.
#[derive(Clone, Copy)]
struct AnyTensor<'a> {
    gpu: &'a Gpu,
    storage: &'a Storage,
    is_part: bool,
    shape: &'a [usize],
    slice: Slice<'a>,
}

impl<'a, T: Element> From<&'a Tensor<T>> for AnyTensor<'a> {
    fn from(tensor: &'a Tensor<T>) -> Self {
        AnyTensor {
            gpu: tensor.gpu(),
            storage: tensor.storage(),
            is_part: tensor.is_part(),
            shape: tensor.shape(),
            slice: tensor.own_slice(),
        }
    }
}

impl<'a, 'b> Map<'a, &'b Tensor, &'b Tensor<i32>, (), (), Infallible> for List<AnyTensor<'b>> {
    fn float(&mut self, name: Name, tensor: &'a &'b Tensor) -> Result<(), Infallible> {
        self.push(name, (*tensor).into(), false);
        Ok(())
    }

    fn integer(&mut self, name: Name, tensor: &'a &'b Tensor<i32>) -> Result<(), Infallible> {
        self.push(name, (*tensor).into(), true);
        Ok(())
    }

    fn absent(&mut self, name: Name) {
        self.push_absent(name);
    }

    fn layout(&mut self, layout: PackedLayout) {
        self.layout = Some(layout);
    }
}

impl<'a> Map<'a, Tensor, Tensor<i32>, (), (), Infallible> for List<AnyTensor<'a>> {
    fn float(&mut self, name: Name, tensor: &'a Tensor) -> Result<(), Infallible> {
        self.push(name, tensor.into(), false);
        Ok(())
    }

    fn integer(&mut self, name: Name, tensor: &'a Tensor<i32>) -> Result<(), Infallible> {
        self.push(name, tensor.into(), true);
        Ok(())
    }

    fn absent(&mut self, name: Name) {
        self.push_absent(name);
    }
}

/// [`Operator::call`], and [`Operator::call_in_place`].
pub(super) fn call<'b, O: Operator>(
    operator: &O,
    inputs: &InputsOf<O, &'b Tensor, &'b Tensor<i32>>,
    in_place: bool,
) -> Result<OutputsOf<O, Tensor, Tensor<i32>>> {
    let mut given = List::new();
    let Ok(_) = O::Inputs::try_map(inputs, &mut given);
    let Some((first, Some(AnyTensor { gpu, .. }))) = given.given.first().map(|given| (given.name, given.value)) else {
        // All others have an argument that cannot be left out.
        return Err(Error::invalid(O::NAME, "tensors", "at least one tensor", "none"));
    };
    let plan = operator.plan(gpu.capabilities());
    let mut slots = operator.declare(&plan);
    matched(O::NAME, inputs_of(&slots), &given, "a tensor", |name, slot, tensor: &AnyTensor<'_>| {
        if let Some(difference) = gpu.difference(tensor.gpu) {
            let expected = format!("a tensor of the Gpu of {first}");
            return Err(name.invalid(O::NAME, expected, difference));
        }
        expect_shape(O::NAME, name, slot, tensor.shape)
    })?;
    operator.check(inputs)?;
    let mut replaced = None;
    if in_place {
        let tensor = replaced_of(operator, inputs, &slots)?;
        let names = names_in_output(&inputs_of(&slots), &given, tensor.own_slice(), |tensor| tensor.slice);
        slots = slots.in_place(&names);
        replaced = Some(tensor);
    }
    let workspace = match &slots.workspace {
        Some(slot) => Some(gpu.storage_buffer(O::NAME, "workspace", slot.elements(), false)?),
        None => None,
    };
    let mut maker = Maker { gpu, operator: O::NAME, viewed: float_at::<O>(inputs, 0), replaced };
    let outputs = O::Outputs::try_map(&slots.outputs, &mut maker)?;
    let planned = Planned { operator, plan: &plan, slots: &slots };
    // Inputs that are updated must be read before the call.
    let replay = replay::Replay::begin(&planned, gpu, inputs)?;
    record_call(&planned, gpu, &given, &outputs, workspace.as_ref().map(|buffer| buffer.buffer().slice(..)))?;
    if let Some(replay) = replay {
        replay.end(&planned, inputs, &outputs)?;
    }
    Ok(outputs)
}

/// Records an eager call on tensors that are already checked.
fn record_call<'i: 'o, 'o, O: Operator>(
    planned: &Planned<'_, O>,
    gpu: &Gpu,
    inputs: &List<AnyTensor<'i>>,
    outputs: &'o OutputsOf<O, Tensor, Tensor<i32>>,
    workspace: Option<Slice<'o>>,
) -> Result<()> {
    let slots = planned.slots;
    let mut made = List::new();
    let Ok(_) = O::Outputs::try_map(outputs, &mut made);
    let mut arguments = ArgumentList::new();
    let mut tensors = SmallVec::<[_; 8]>::new();
    let mut add = |name, slot: &Slot, tensor: AnyTensor<'o>| {
        if slot.role != Role::View && slot.alias != Alias::Output {
            arguments.push(argument(name, slot, tensor.slice));
            let AnyTensor { storage, is_part, .. } = tensor;
            tensors.push(Use { storage, is_part, is_written: slot.role.is_written() });
        }
        Ok(())
    };
    matched(O::NAME, inputs_of(slots), inputs, "a tensor", |name, slot, tensor: &AnyTensor<'i>| {
        add(name, slot, *tensor)
    })?;
    matched(O::NAME, outputs_of(slots), &made, "a tensor", |name, slot, tensor: &AnyTensor<'o>| {
        add(name, slot, *tensor)
    })?;
    if let (Some(slot), Some(slice)) = (&slots.workspace, workspace) {
        arguments.push(argument("workspace".into(), slot, slice));
    }
    // A view needs nothing to run.
    if O::KERNELS.is_empty() { Ok(()) } else { gpu.eager(planned, &arguments, &tensors) }
}

/// Finds the first float tensor from a place on.
struct FloatAt<'b> {
    places_before: usize,
    found: Option<&'b Tensor>,
}

impl<'a, 'b> Map<'a, &'b Tensor, &'b Tensor<i32>, (), (), Infallible> for FloatAt<'b> {
    fn float(&mut self, name: Name, tensor: &'a &'b Tensor) -> Result<(), Infallible> {
        if self.places_before == 0 {
            self.found.get_or_insert(tensor);
        }
        self.absent(name);
        Ok(())
    }

    fn integer(&mut self, name: Name, _: &'a &'b Tensor<i32>) -> Result<(), Infallible> {
        self.absent(name);
        Ok(())
    }

    fn absent(&mut self, _: Name) {
        self.places_before = self.places_before.saturating_sub(1);
    }
}

fn float_at<'b, O: Operator>(inputs: &InputsOf<O, &'b Tensor, &'b Tensor<i32>>, place: usize) -> Option<&'b Tensor> {
    let mut float = FloatAt { places_before: place, found: None };
    let Ok(_) = O::Inputs::try_map(inputs, &mut float);
    float.found
}

/// The tensor that a call in place replaces by its output.
fn replaced_of<'b, O: Operator>(
    _: &O,
    inputs: &InputsOf<O, &'b Tensor, &'b Tensor<i32>>,
    slots: &Slots<O>,
) -> Result<&'b Tensor> {
    let may_be_replaced = |given: &Given<&Slot>| given.value.is_some_and(Slot::may_be_output);
    let place = inputs_of(slots).given.iter().position(may_be_replaced);
    place.and_then(|place| float_at::<O>(inputs, place)).ok_or_else(|| {
        let expected = "an input of the output's shape, which the output may replace";
        Error::invalid(O::NAME, "output", expected, "none")
    })
}

/// Makes the output tensors.
struct Maker<'b> {
    gpu: &'b Gpu,
    operator: &'static str,
    viewed: Option<&'b Tensor>,
    /// The tensor that becomes the first output.
    replaced: Option<&'b Tensor>,
}

impl<'a> Map<'a, Slot, Slot, Tensor, Tensor<i32>, Error> for Maker<'_> {
    fn float(&mut self, name: Name, slot: &'a Slot) -> Result<Tensor> {
        if let Some(replaced) = self.replaced.take() {
            return Ok(replaced.with_shape(slot.shape().to_vec()));
        }
        match self.viewed.filter(|_| slot.role == Role::View) {
            Some(viewed) => Ok(viewed.with_shape(slot.shape().to_vec())),
            None => Tensor::uninitialized(self.gpu, self.operator, name.field, slot.shape()),
        }
    }

    fn integer(&mut self, name: Name, slot: &'a Slot) -> Result<Tensor<i32>> {
        Tensor::uninitialized(self.gpu, self.operator, name.field, slot.shape())
    }
}
