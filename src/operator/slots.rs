//! An operator's arguments on a device: types, sizes, accesses, and how they are cut.

use std::convert::Infallible;

use smallvec::SmallVec;

use super::{Arguments, Definition, InputsOf, Map, Name, OutputsOf, PackedLayout};
use crate::gpu::kernel::Binding;
use crate::gpu::work::Part;
use crate::shape::ELEMENT_BYTES;

/// What an operator does with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// The operator reads it.
    Read,
    /// The operator writes every element, whatever the buffer held.
    Write,
    /// The operator reads it and writes it in place.
    Update,
    /// The workspace: its contents mean nothing before and after the call.
    Scratch,
    /// It shares the input's data under another shape; it needs no buffer of its own.
    View,
    /// This plan does not use it. It may be passed, and is left alone.
    Unused,
}

impl Role {
    pub(crate) fn is_written(self) -> bool {
        matches!(self, Role::Write | Role::Update | Role::Scratch)
    }
}

/// What a plan needs for one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub(crate) role: Role,
    pub(crate) shape: SmallVec<[usize; 4]>,
    pub(crate) is_integer: bool,
    /// The elements of each item, where the call is cut into parts of [`Slots::items`].
    pub(crate) share: Option<usize>,
    pub(crate) layout: Option<PackedLayout>,
    pub(crate) alias: Alias,
}

/// Whether an input may be the output's own buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alias {
    /// It may not.
    Never,
    /// It may: each of its elements is read before the output's is written there, by the same invocation.
    Allowed,
    /// In this call it is.
    Output,
}

impl Slot {
    fn new(role: Role, shape: &[usize]) -> Self {
        Slot { role, shape: shape.into(), is_integer: false, share: None, layout: None, alias: Alias::Never }
    }

    pub(crate) fn read(shape: &[usize]) -> Self {
        Self::new(Role::Read, shape)
    }

    pub(crate) fn write(shape: &[usize]) -> Self {
        Self::new(Role::Write, shape)
    }

    pub(crate) fn update(shape: &[usize]) -> Self {
        Self::new(Role::Update, shape)
    }

    /// The input's data under another shape.
    pub(crate) fn view(shape: &[usize]) -> Self {
        Self::new(Role::View, shape)
    }

    pub(crate) fn unused() -> Self {
        Self::new(Role::Unused, &[0])
    }

    /// The same slot, with integer elements.
    pub(crate) fn of_integers(self) -> Self {
        Slot { is_integer: true, ..self }
    }

    /// The same slot, of which each item has `share` elements.
    pub(crate) fn cut(self, share: usize) -> Self {
        Slot { share: Some(share), ..self }
    }

    /// The same slot, of an input that may be the output's own buffer.
    pub(crate) fn or_output(self) -> Self {
        Slot { alias: Alias::Allowed, ..self }
    }

    /// The same slot, of packed data.
    pub(crate) fn packed(self, layout: PackedLayout) -> Self {
        Slot { layout: Some(layout), ..self }
    }

    /// What the operator does with the argument.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The argument's shape. For one without a shape, such as packed data, the number of elements.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether the argument may be the output's own buffer, which then replaces it.
    pub fn may_be_output(&self) -> bool {
        self.alias != Alias::Never
    }

    /// Whether the elements are i32; otherwise they are f32.
    pub fn is_integer(&self) -> bool {
        self.is_integer
    }

    /// The least size of a buffer for it, in bytes. Even an empty argument needs room for one element.
    pub fn bytes(&self) -> u64 {
        self.elements().max(1) as u64 * ELEMENT_BYTES
    }

    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What an operator's plan needs for each of its arguments. [`Operator::slots`](crate::Operator::slots) returns it.
pub struct Slots<O: Definition> {
    /// One slot for each input, read or updated. Optional inputs that the operator was made without are `None`.
    pub inputs: InputsOf<O, Slot, Slot>,
    /// One slot for each output.
    pub outputs: OutputsOf<O, Slot, Slot>,
    pub(crate) workspace: Option<Slot>,
    pub(crate) items: usize,
    is_in_place: bool,
}

impl<O: Definition> Slots<O> {
    /// The slots of an operator that always runs as a whole.
    pub(crate) fn new(inputs: InputsOf<O, Slot, Slot>, outputs: OutputsOf<O, Slot, Slot>) -> Self {
        Slots { inputs, outputs, workspace: None, items: 1, is_in_place: false }
    }

    /// The slots of an operator that can run in parts of its `items`. Items are computed independently of each other:
    /// images, planes, elements.
    pub(crate) fn cut(self, items: usize) -> Self {
        Slots { items, ..self }
    }

    /// The same slots, not cut.
    pub(crate) fn whole(mut self) -> Self {
        let Ok(inputs) = O::Inputs::try_map(&self.inputs, &mut Whole);
        let Ok(outputs) = O::Outputs::try_map(&self.outputs, &mut Whole);
        (self.inputs, self.outputs, self.items) = (inputs, outputs, 1);
        self
    }

    /// The same slots with a workspace, if it has elements.
    pub(crate) fn with_workspace(self, elements: usize) -> Self {
        let slot = Slot::new(Role::Scratch, &[elements]);
        Slots { workspace: (elements > 0).then_some(slot), ..self }
    }

    /// The same slots with a workspace, if it has elements. Each item has `share` of them.
    pub(crate) fn with_shared_workspace(self, elements: usize, share: usize) -> Self {
        let slots = self.with_workspace(elements);
        Slots { workspace: slots.workspace.map(|slot| slot.cut(share)), ..slots }
    }

    /// The bytes of workspace that the operator needs: see
    /// [`Operator::workspace_size`](crate::Operator::workspace_size).
    pub fn workspace_size(&self) -> u64 {
        self.workspace.as_ref().map_or(0, Slot::bytes)
    }

    pub(crate) fn workspace_elements(&self) -> usize {
        self.workspace.as_ref().map_or(0, Slot::elements)
    }

    pub(crate) fn bind(&self, part: &Part) -> Bound<O> {
        let mut binder = Binder { part, next: 0, output: self.output_index() };
        let Ok(inputs) = O::Inputs::try_map(&self.inputs, &mut binder);
        let Ok(outputs) = O::Outputs::try_map(&self.outputs, &mut binder);
        let workspace = match &self.workspace {
            Some(slot) => binder.bind(slot),
            None => Binding::ABSENT,
        };
        Bound { inputs, outputs, workspace }
    }
}

impl<O: Definition> Slots<O> {
    /// The same slots, of a call in which these inputs are the output's own buffer.
    pub(crate) fn in_place(self, names: &[Name]) -> Self {
        let Ok(inputs) = O::Inputs::try_map(&self.inputs, &mut InPlace { names });
        Slots { inputs, is_in_place: true, ..self }
    }

    /// Which argument the first output is.
    fn output_index(&self) -> u32 {
        let mut counter = Binder { part: &Part::NONE, next: 0, output: 0 };
        if self.is_in_place {
            let Ok(_) = O::Inputs::try_map(&self.inputs, &mut counter);
        }
        counter.next
    }
}

/// All arguments as dispatches bind them.
pub struct Bound<O: Definition> {
    pub(crate) inputs: InputsOf<O, Binding, Binding>,
    pub(crate) outputs: OutputsOf<O, Binding, Binding>,
    /// Present only if the slots have a workspace.
    pub(crate) workspace: Binding,
}

struct Binder<'a> {
    part: &'a Part,
    next: u32,
    output: u32,
}

impl Binder<'_> {
    fn bind(&mut self, slot: &Slot) -> Binding {
        // Views and unused arguments are not bound.
        if matches!(slot.role, Role::View | Role::Unused) {
            return Binding::ABSENT;
        }
        if slot.alias == Alias::Output {
            return Binding { index: self.output, base: self.part.base(slot.share) };
        }
        let index = self.next;
        self.next += 1;
        Binding { index, base: self.part.base(slot.share) }
    }
}

impl<'a> Map<'a, Slot, Slot, Binding, Binding, Infallible> for Binder<'_> {
    fn float(&mut self, _: Name, slot: &'a Slot) -> Result<Binding, Infallible> {
        Ok(self.bind(slot))
    }

    fn integer(&mut self, _: Name, slot: &'a Slot) -> Result<Binding, Infallible> {
        Ok(self.bind(slot))
    }
}

/// Marks inputs that are the output's own buffer.
struct InPlace<'n> {
    names: &'n [Name],
}

impl<'a> Map<'a, Slot, Slot, Slot, Slot, Infallible> for InPlace<'_> {
    fn float(&mut self, name: Name, slot: &'a Slot) -> Result<Slot, Infallible> {
        let is_output = self.names.contains(&name);
        Ok(Slot { alias: if is_output { Alias::Output } else { slot.alias }, ..slot.clone() })
    }

    fn integer(&mut self, name: Name, slot: &'a Slot) -> Result<Slot, Infallible> {
        self.float(name, slot)
    }
}

/// Maps slots to slots that are not cut.
struct Whole;

impl<'a> Map<'a, Slot, Slot, Slot, Slot, Infallible> for Whole {
    fn float(&mut self, _: Name, slot: &'a Slot) -> Result<Slot, Infallible> {
        Ok(Slot { share: None, ..slot.clone() })
    }

    fn integer(&mut self, name: Name, slot: &'a Slot) -> Result<Slot, Infallible> {
        self.float(name, slot)
    }
}
