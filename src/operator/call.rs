//! What recorded and eager calls share, and recording; written once for all operators.

use std::convert::Infallible;

use ndarray::ArrayD;
use smallvec::SmallVec;

use super::planned::Planned;
use super::slots::{Alias, Role, Slot, Slots};
use super::{Arguments, Definition, Group, InputsOf, Map, Name, Operator, OutputsOf, PackedLayout};
use crate::error::{Error, Result};
use crate::gpu::recorder::{Argument, ArgumentList, Recorder};

/// The value given for an argument, or its absence.
pub(super) struct Given<T> {
    pub name: Name,
    pub value: Option<T>,
    pub is_integer: bool,
    pub layout: Option<PackedLayout>,
}

/// The values given for all arguments, in order.
pub(super) struct List<T> {
    pub given: SmallVec<[Given<T>; 8]>,
    /// That of the argument that comes next.
    pub layout: Option<PackedLayout>,
}

impl<T> List<T> {
    pub fn new() -> Self {
        List { given: SmallVec::new(), layout: None }
    }

    pub fn push(&mut self, name: Name, value: T, is_integer: bool) {
        let layout = self.layout.take();
        self.given.push(Given { name, value: Some(value), is_integer, layout });
    }

    pub fn push_absent(&mut self, name: Name) {
        self.given.push(Given { name, value: None, is_integer: false, layout: None });
    }
}

impl<'a> Map<'a, Slot, Slot, (), (), Infallible> for List<&'a Slot> {
    fn float(&mut self, name: Name, slot: &'a Slot) -> Result<(), Infallible> {
        self.push(name, slot, slot.is_integer);
        Ok(())
    }

    fn integer(&mut self, name: Name, slot: &'a Slot) -> Result<(), Infallible> {
        self.float(name, slot)
    }

    fn absent(&mut self, name: Name) {
        self.push_absent(name);
    }
}

type Slice<'b> = wgpu::BufferSlice<'b>;

impl<'a, 'b> Map<'a, Slice<'b>, Slice<'b>, (), (), Infallible> for List<Slice<'b>> {
    fn float(&mut self, name: Name, slice: &'a Slice<'b>) -> Result<(), Infallible> {
        self.push(name, *slice, false);
        Ok(())
    }

    fn integer(&mut self, name: Name, slice: &'a Slice<'b>) -> Result<(), Infallible> {
        self.push(name, *slice, true);
        Ok(())
    }

    fn absent(&mut self, name: Name) {
        self.push_absent(name);
    }

    fn layout(&mut self, layout: PackedLayout) {
        self.layout = Some(layout);
    }
}

impl<'a> Map<'a, ArrayD<f32>, ArrayD<i32>, (), (), Infallible> for List<&'a [usize]> {
    fn float(&mut self, name: Name, array: &'a ArrayD<f32>) -> Result<(), Infallible> {
        self.push(name, array.shape(), false);
        Ok(())
    }

    fn integer(&mut self, name: Name, array: &'a ArrayD<i32>) -> Result<(), Infallible> {
        self.push(name, array.shape(), true);
        Ok(())
    }

    fn absent(&mut self, name: Name) {
        self.push_absent(name);
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

pub(super) fn inputs_of<O: Definition>(slots: &Slots<O>) -> List<&Slot> {
    let mut list = List::new();
    let Ok(_) = O::Inputs::try_map(&slots.inputs, &mut list);
    list
}

pub(super) fn outputs_of<O: Definition>(slots: &Slots<O>) -> List<&Slot> {
    let mut list = List::new();
    let Ok(_) = O::Outputs::try_map(&slots.outputs, &mut list);
    list
}

/// Pairs each given argument with its slot. Fails if the arguments are not those that were planned.
pub(super) fn matched<T>(
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
        let is_integer = value.is_some_and(|given| given.is_integer);
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
                if slot.is_integer != is_integer {
                    let text = |is_integer| if is_integer { "integers" } else { "floats" };
                    return Err(name.invalid(operator, text(slot.is_integer), text(is_integer)));
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

/// Fails if an argument has not the planned shape.
pub(super) fn expect_shape(operator: &'static str, name: Name, slot: &Slot, shape: &[usize]) -> Result<()> {
    if slot.shape() == shape {
        return Ok(());
    }
    let [expected, actual] = [slot.shape(), shape].map(|shape| format!("shape {shape:?}"));
    Err(name.invalid(operator, expected, actual))
}

/// The inputs that may be the output's own buffer, and are.
pub(super) fn names_in_output<T>(
    slots: &List<&Slot>,
    given: &List<T>,
    output: Slice<'_>,
    slice_of: impl for<'t> Fn(&'t T) -> Slice<'t>,
) -> SmallVec<[Name; 2]> {
    let is_output = |slot: &Given<&Slot>| {
        let Some(Slot { alias: Alias::Allowed, .. }) = slot.value else { return false };
        let bytes = slot.value.map_or(0, Slot::bytes);
        given.given.iter().filter(|given| given.name == slot.name).any(|given| {
            // A slice that is too short is another argument, and refused as such.
            let slice = given.value.as_ref().map(&slice_of).filter(|slice| slice.size() >= bytes);
            slice.is_some_and(|slice| slice.buffer() == output.buffer() && slice.offset() == output.offset())
        })
    };
    slots.given.iter().filter(|slot| is_output(slot)).map(|slot| slot.name).collect()
}

pub(super) fn argument<'a>(name: Name, slot: &Slot, slice: Slice<'a>) -> Argument<'a> {
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
    let mut slots = operator.declare(&plan);
    let [mut given_inputs, mut given_outputs] = [List::new(), List::new()];
    let Ok(_) = O::Inputs::try_map(inputs, &mut given_inputs);
    let Ok(_) = O::Outputs::try_map(outputs, &mut given_outputs);
    if let Some(output) = given_outputs.given.first().and_then(|given| given.value) {
        let names = names_in_output(&inputs_of(&slots), &given_inputs, output, |slice| *slice);
        if !names.is_empty() {
            slots = slots.in_place(&names);
        }
    }
    let mut arguments = ArgumentList::new();
    let mut add = |name, slot: &Slot, slice: &Slice<'a>| {
        if slot.role != Role::View {
            if slot.alias != Alias::Output {
                arguments.push(argument(name, slot, *slice));
            }
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
