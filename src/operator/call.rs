//! Recording and eager calls, written once for all operators.

use std::convert::Infallible;

use smallvec::SmallVec;

use super::planned::Planned;
use super::slots::{Role, Slot, Slots};
use super::{Arguments, Definition, Group, InputsOf, Map, Name, Operator, OutputsOf, PackedLayout, replay};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::recorder::{Argument, ArgumentList, Recorder};
use crate::gpu::storage::Storage;
use crate::gpu::tensor::{Element, Tensor};

/// The value given for an argument, or its absence.
struct Given<T> {
    name: Name,
    value: Option<T>,
    layout: Option<PackedLayout>,
}

/// The values given for all arguments, in order.
struct List<T> {
    given: SmallVec<[Given<T>; 8]>,
    layout: Option<PackedLayout>,
}

impl<T> List<T> {
    fn new() -> Self {
        List { given: SmallVec::new(), layout: None }
    }

    fn push(&mut self, name: Name, value: Option<T>) {
        let layout = self.layout.take();
        self.given.push(Given { name, value, layout });
    }
}

impl<'a> Map<'a, Slot, Slot, (), (), Infallible> for List<&'a Slot> {
    fn float(&mut self, name: Name, slot: &'a Slot) -> Result<(), Infallible> {
        self.push(name, Some(slot));
        Ok(())
    }

    fn integer(&mut self, name: Name, slot: &'a Slot) -> Result<(), Infallible> {
        self.float(name, slot)
    }

    fn absent(&mut self, name: Name) {
        self.push(name, None);
    }
}

type Slice<'b> = wgpu::BufferSlice<'b>;

impl<'a, 'b> Map<'a, Slice<'b>, Slice<'b>, (), (), Infallible> for List<Slice<'b>> {
    fn float(&mut self, name: Name, slice: &'a Slice<'b>) -> Result<(), Infallible> {
        self.push(name, Some(*slice));
        Ok(())
    }

    fn integer(&mut self, name: Name, slice: &'a Slice<'b>) -> Result<(), Infallible> {
        self.float(name, slice)
    }

    fn absent(&mut self, name: Name) {
        self.push(name, None);
    }

    fn layout(&mut self, layout: PackedLayout) {
        self.layout = Some(layout);
    }
}

/// A float or an integer tensor.
#[derive(Clone, Copy)]
struct AnyTensor<'a> {
    gpu: &'a Gpu,
    storage: &'a Storage,
    shape: &'a [usize],
    slice: Slice<'a>,
}

impl<'a, T: Element> From<&'a Tensor<T>> for AnyTensor<'a> {
    fn from(tensor: &'a Tensor<T>) -> Self {
        AnyTensor { gpu: tensor.gpu(), storage: tensor.storage(), shape: tensor.shape(), slice: tensor.own_slice() }
    }
}

impl<'a, 'b> Map<'a, &'b Tensor, &'b Tensor<i32>, (), (), Infallible> for List<AnyTensor<'b>> {
    fn float(&mut self, name: Name, tensor: &'a &'b Tensor) -> Result<(), Infallible> {
        self.push(name, Some((*tensor).into()));
        Ok(())
    }

    fn integer(&mut self, name: Name, tensor: &'a &'b Tensor<i32>) -> Result<(), Infallible> {
        self.push(name, Some((*tensor).into()));
        Ok(())
    }

    fn absent(&mut self, name: Name) {
        self.push(name, None);
    }

    fn layout(&mut self, layout: PackedLayout) {
        self.layout = Some(layout);
    }
}

impl<'a> Map<'a, Tensor, Tensor<i32>, (), (), Infallible> for List<AnyTensor<'a>> {
    fn float(&mut self, name: Name, tensor: &'a Tensor) -> Result<(), Infallible> {
        self.push(name, Some(tensor.into()));
        Ok(())
    }

    fn integer(&mut self, name: Name, tensor: &'a Tensor<i32>) -> Result<(), Infallible> {
        self.push(name, Some(tensor.into()));
        Ok(())
    }

    fn absent(&mut self, name: Name) {
        self.push(name, None);
    }
}

/// Passes each slot that is present to `tell`, in order, with its group.
pub(super) fn each_slot<O: Definition>(slots: &Slots<O>, tell: &mut dyn FnMut(Name, &Slot, Group)) {
    for (group, list) in [(Group::Input, inputs_of(slots)), (Group::Output, outputs_of(slots))] {
        for given in list.given {
            if let Some(slot) = given.value {
                tell(given.name, slot, group);
            }
        }
    }
    if let Some(slot) = &slots.workspace {
        tell("workspace".into(), slot, Group::Workspace);
    }
}

fn inputs_of<O: Definition>(slots: &Slots<O>) -> List<&Slot> {
    let mut list = List::new();
    let Ok(_) = O::Inputs::try_map(&slots.inputs, &mut list);
    list
}

fn outputs_of<O: Definition>(slots: &Slots<O>) -> List<&Slot> {
    let mut list = List::new();
    let Ok(_) = O::Outputs::try_map(&slots.outputs, &mut list);
    list
}

/// Pairs each given argument with its slot. Fails if the arguments are not those that were planned.
fn matched<T>(
    operator: &'static str,
    slots: List<&Slot>,
    list: &List<T>,
    of: &str,
    mut take: impl FnMut(Name, &Slot, &T) -> Result<()>,
) -> Result<()> {
    let mut given = list.given.iter().peekable();
    for Given { name, value: slot, .. } in slots.given {
        // A list may be shorter than planned.
        let value = given.next_if(|given| given.name == name);
        let (layout, value) = value.map_or((None, None), |given| (given.layout, given.value.as_ref()));
        match (slot, value) {
            (None, None) | (Some(Slot { role: Role::Unused, .. }), _) => {}
            (Some(slot), Some(value)) => {
                if slot.layout != layout {
                    let text = |layout: Option<PackedLayout>| {
                        layout.map_or_else(|| "data that is not packed".to_owned(), |layout| layout.to_string())
                    };
                    return Err(name.invalid(operator, text(slot.layout), text(layout)));
                }
                take(name, slot, value)?;
            }
            (None, Some(_)) => return Err(name.invalid(operator, "none", of)),
            (Some(slot), None) => {
                let expected = if of == "a buffer" {
                    format!("a buffer of at least {} bytes", slot.bytes())
                } else {
                    format!("{of} of shape {:?}", slot.shape())
                };
                return Err(name.invalid(operator, expected, "none"));
            }
        }
    }
    match given.next() {
        None => Ok(()),
        Some(given) => Err(given.name.invalid(operator, "no more than planned", of)),
    }
}

fn argument<'a>(name: Name, slot: &Slot, slice: Slice<'a>) -> Argument<'a> {
    let (bytes, is_written) = (slot.bytes(), slot.role.is_written());
    Argument { name, slice, bytes, is_written, share: slot.share }
}

/// [`Operator::record`].
pub(super) fn record<'a, O: Operator>(
    operator: &O,
    recorder: &mut Recorder<'_>,
    inputs: &InputsOf<O, Slice<'a>, Slice<'a>>,
    outputs: &OutputsOf<O, Slice<'a>, Slice<'a>>,
    workspace: Option<Slice<'a>>,
) -> Result<()> {
    let plan = operator.plan(recorder.gpu().capabilities());
    let slots = operator.declare(&plan);
    let [mut given_inputs, mut given_outputs] = [List::new(), List::new()];
    let Ok(_) = O::Inputs::try_map(inputs, &mut given_inputs);
    let Ok(_) = O::Outputs::try_map(outputs, &mut given_outputs);
    let mut arguments = ArgumentList::new();
    let mut add = |name, slot: &Slot, slice: &Slice<'a>| {
        if slot.role != Role::View {
            arguments.push(argument(name, slot, *slice));
            return Ok(());
        }
        if slice.size() < slot.bytes() {
            let expected = format!("a buffer of at least {} bytes", slot.bytes());
            return Err(name.invalid(O::NAME, expected, format!("{} bytes", slice.size())));
        }
        let viewed = given_inputs.given[0].value;
        if viewed.is_some_and(|viewed| viewed.buffer() == slice.buffer() && viewed.offset() == slice.offset()) {
            return Ok(());
        }
        let expected = format!("the buffer and offset of {}, whose data it is", given_inputs.given[0].name);
        Err(name.invalid(O::NAME, expected, "another"))
    };
    matched(O::NAME, inputs_of(&slots), &given_inputs, "a buffer", &mut add)?;
    matched(O::NAME, outputs_of(&slots), &given_outputs, "a buffer", &mut add)?;
    if let Some(slot) = &slots.workspace {
        let Some(slice) = workspace else {
            let expected = format!("a buffer of at least {} bytes, as workspace_size tells", slot.bytes());
            return Err(Error::invalid(O::NAME, "workspace", expected, "none"));
        };
        arguments.push(argument("workspace".into(), slot, slice));
    }
    recorder.run(&Planned { operator, plan: &plan, slots: &slots }, &arguments)
}

/// [`Operator::call`].
pub(super) fn call<'b, O: Operator>(
    operator: &O,
    inputs: &InputsOf<O, &'b Tensor, &'b Tensor<i32>>,
) -> Result<OutputsOf<O, Tensor, Tensor<i32>>> {
    let mut given = List::new();
    let Ok(_) = O::Inputs::try_map(inputs, &mut given);
    let Some((first, Some(AnyTensor { gpu, .. }))) = given.given.first().map(|given| (given.name, given.value)) else {
        return Err(Error::invalid(O::NAME, "input", "a tensor", "none"));
    };
    let plan = operator.plan(gpu.capabilities());
    let slots = operator.declare(&plan);
    matched(O::NAME, inputs_of(&slots), &given, "a tensor", |name, slot, tensor: &AnyTensor<'_>| {
        if let Some(difference) = gpu.difference(tensor.gpu) {
            let expected = format!("a tensor of the Gpu of {first}");
            return Err(name.invalid(O::NAME, expected, difference));
        }
        if slot.shape() != tensor.shape {
            let [expected, actual] = [slot.shape(), tensor.shape].map(|shape| format!("shape {shape:?}"));
            return Err(name.invalid(O::NAME, expected, actual));
        }
        Ok(())
    })?;
    operator.check(inputs)?;
    let workspace = match &slots.workspace {
        Some(slot) => Some(gpu.storage_buffer(O::NAME, "workspace", slot.elements(), false)?),
        None => None,
    };
    let mut maker = Maker { gpu, operator: O::NAME, viewed: first_of::<O>(inputs) };
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
    let mut add = |name, slot: &Slot, slice: Slice<'o>, storage: &'o Storage| {
        if slot.role != Role::View {
            arguments.push(argument(name, slot, slice));
            tensors.push((storage, slot.role.is_written()));
        }
        Ok(())
    };
    matched(O::NAME, inputs_of(slots), inputs, "a tensor", |name, slot, tensor: &AnyTensor<'i>| {
        add(name, slot, tensor.slice, tensor.storage)
    })?;
    matched(O::NAME, outputs_of(slots), &made, "a tensor", |name, slot, tensor: &AnyTensor<'o>| {
        add(name, slot, tensor.slice, tensor.storage)
    })?;
    if let (Some(slot), Some(slice)) = (&slots.workspace, workspace) {
        arguments.push(argument("workspace".into(), slot, slice));
    }
    // A view needs nothing to run.
    if O::KERNELS.is_empty() { Ok(()) } else { gpu.eager(planned, &arguments, &tensors) }
}

/// Finds the first float tensor.
struct First<'b>(Option<&'b Tensor>);

impl<'a, 'b> Map<'a, &'b Tensor, &'b Tensor<i32>, (), (), Infallible> for First<'b> {
    fn float(&mut self, _: Name, tensor: &'a &'b Tensor) -> Result<(), Infallible> {
        self.0.get_or_insert(tensor);
        Ok(())
    }

    fn integer(&mut self, _: Name, _: &'a &'b Tensor<i32>) -> Result<(), Infallible> {
        Ok(())
    }
}

fn first_of<'b, O: Operator>(inputs: &InputsOf<O, &'b Tensor, &'b Tensor<i32>>) -> Option<&'b Tensor> {
    let mut first = First(None);
    let Ok(_) = O::Inputs::try_map(inputs, &mut first);
    first.0
}

/// Makes the output tensors.
struct Maker<'b> {
    gpu: &'b Gpu,
    operator: &'static str,
    viewed: Option<&'b Tensor>,
}

impl<'a> Map<'a, Slot, Slot, Tensor, Tensor<i32>, Error> for Maker<'_> {
    fn float(&mut self, name: Name, slot: &'a Slot) -> Result<Tensor> {
        match self.viewed.filter(|_| slot.role == Role::View) {
            Some(viewed) => Ok(viewed.with_shape(slot.shape().to_vec())),
            None => Tensor::uninitialized(self.gpu, self.operator, name.field, slot.shape()),
        }
    }

    fn integer(&mut self, name: Name, slot: &'a Slot) -> Result<Tensor<i32>> {
        Tensor::uninitialized(self.gpu, self.operator, name.field, slot.shape())
    }
}
