//! Operators of any type, to warm up, list, check and measure them alike.

use std::collections::VecDeque;

use super::by_name::{Flat, Named};
use super::call::{List, expect_shape, inputs_of, matched};
use super::planned::Planned;
use super::{AnyDifferentiable, Arguments, FloatOrInteger, InputsOf, Map, Name, Operator, PackedLayout, Slot};
use crate::error::{Error, Result};
use crate::gpu::AdapterClass;
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::Dispatch;
use crate::gpu::recorder::Recorder;
use crate::gpu::tensor::Tensor;
use crate::gpu::work::Work;
use crate::operator::AnyArray;

/// A float or an integer tensor.
pub type AnyTensorValue = FloatOrInteger<Tensor, Tensor<i32>>;

/// An eager call that owns its tensors. It returns the outputs by name.
pub type BoundCall = Box<dyn Fn() -> Result<Vec<(Name, AnyTensorValue)>>>;

/// Whether an argument is an input, an output or the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Read, or updated in place.
    Input,
    /// Written.
    Output,
    /// The workspace.
    Workspace,
}

/// One argument of a plan.
#[derive(Debug, Clone)]
pub struct FlatSlot {
    /// The argument's name.
    pub name: Name,
    /// Its role, type and shape.
    pub slot: Slot,
    /// Input, output or workspace.
    pub group: Group,
}

/// Any [`Operator`], whatever its type: `&conv` is a `&dyn AnyOperator`. [`Gpu::warm_up`](crate::Gpu::warm_up) takes a
/// list of them.
///
/// A program that keeps its operators in a list calls them by the names of their arguments, which are the fields of
/// [`Definition::Inputs`](crate::operator::Definition::Inputs): `input`, `weight`, `tensors[3]`. What an operator makes of
/// host data is an input too: roi_pool's `bins` are [`RoiPool::bins`](crate::RoiPool::bins).
///
/// ```no_run
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::operator::FloatOrInteger;
/// use wgdnn::{AnyOperator, Gpu, Relu, Softmax, SoftmaxParams, Tensor};
///
/// let gpu = Gpu::new_blocking()?;
/// let layers: [Box<dyn AnyOperator>; 2] =
///     [Box::new(Relu::new(&[8, 10])?), Box::new(Softmax::new(&[8, 10], &SoftmaxParams::new(1))?)];
/// let mut value = FloatOrInteger::Float(Tensor::zeros(&gpu, &[8, 10])?);
/// for layer in &layers {
///     let outputs = layer.call_by_name(vec![("input".into(), value)])?;
///     value = outputs[0].1.clone();
/// }
/// # Ok(())
/// # }
/// ```
pub trait AnyOperator: Send + Sync {
    /// PyTorch's name, such as `conv2d`.
    fn name(&self) -> &'static str;

    /// The plan for a device with these capabilities, as one line.
    fn plan_on(&self, on: &Capabilities) -> String;

    /// The arguments of that plan, in order.
    fn slots_on(&self, on: &Capabilities) -> Vec<FlatSlot>;

    /// The shape of its first output.
    fn output_shape(&self) -> Vec<usize>;

    /// The number of dispatches of that plan.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the limits of such a device.
    fn dispatch_count_on(&self, on: &Capabilities) -> Result<usize>;

    /// All dispatches of the operator and its companions on such a device.
    #[doc(hidden)]
    fn dispatches_on(&self, on: &Capabilities) -> Result<Vec<Dispatch>>;

    /// The dispatches where inputs are the output's own buffer, in all the ways in which they may be.
    #[doc(hidden)]
    fn dispatches_in_place_on(&self, on: &Capabilities) -> Result<Vec<Dispatch>>;

    /// The operator with each algorithm that a caller can name.
    #[doc(hidden)]
    fn all_algorithms(&self) -> Vec<(String, Box<dyn AnyOperator>)>;

    /// The operator set to take a packed argument, if it has one.
    #[doc(hidden)]
    fn packed(&self) -> Option<Box<dyn AnyOperator>>;

    /// The operator's gradients, if it has any.
    fn differentiable(&self) -> Option<&dyn AnyDifferentiable>;

    /// Operators that make inputs of this one from its other inputs, once for many calls, on such a device: for a
    /// convolution [with a packed weight](crate::Conv2d::with_packed_weight) the one that packs it. Their arguments have
    /// the same names.
    fn companions_on(&self, on: &Capabilities) -> Vec<Box<dyn AnyOperator>>;

    /// [`Operator::call`] on tensors by name, as a call that can be repeated. It returns the outputs, not the updated
    /// inputs.
    #[doc(hidden)]
    fn bind_by_name(&self, inputs: Vec<(Name, AnyTensorValue)>) -> Result<BoundCall>;

    /// [`Operator::call_in_place`] on tensors by name.
    #[doc(hidden)]
    fn call_in_place_by_name(&self, inputs: Vec<(Name, AnyTensorValue)>) -> Result<()>;

    /// [`Operator::call`] on tensors by name. It returns the outputs, in order. A packed argument must have the layout
    /// that the operator's plan asks for.
    ///
    /// # Errors
    /// As [`Operator::call`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a name that the operator
    /// does not have.
    fn call_by_name(&self, inputs: Vec<(Name, AnyTensorValue)>) -> Result<Vec<(Name, AnyTensorValue)>> {
        self.bind_by_name(inputs)?()
    }

    /// [`Operator::record`] on buffers by name: those of the inputs, the outputs, and the `workspace`, which may be
    /// present where it is not needed. A packed argument must have the layout that the operator's plan asks for.
    ///
    /// # Errors
    /// As [`Operator::record`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a name that the
    /// operator does not have.
    fn record_by_name(&self, recorder: &mut Recorder<'_>, buffers: &[(Name, wgpu::BufferSlice<'_>)]) -> Result<()>;

    /// Computes the operator on the CPU by its [`reference`](crate::reference), on arrays by name. It returns the outputs
    /// and then the inputs that it updates.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for an array that is missing, not planned or of another
    /// shape; otherwise as the function of [`reference`](crate::reference).
    fn compute_by_name(&self, inputs: Vec<(Name, AnyArray)>) -> Result<Vec<(Name, AnyArray)>>;
}

impl<O: Operator> AnyOperator for O {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn plan_on(&self, on: &Capabilities) -> String {
        self.plan(on).to_string()
    }

    fn slots_on(&self, on: &Capabilities) -> Vec<FlatSlot> {
        let mut flat = Vec::new();
        self.declare(&self.plan(on)).each(&mut |name, slot, group| {
            flat.push(FlatSlot { name, slot: slot.clone(), group });
        });
        flat
    }

    fn output_shape(&self) -> Vec<usize> {
        let slots = self.slots_on(&of_any_device());
        let output = slots.into_iter().find(|slot| slot.group == Group::Output);
        output.map_or_else(Vec::new, |output| output.slot.shape.into_vec())
    }

    fn dispatch_count_on(&self, on: &Capabilities) -> Result<usize> {
        let plan = self.plan(on);
        let slots = self.declare(&plan);
        Ok(Planned { operator: self, plan: &plan, slots: &slots }.all_dispatches(&on.limits)?.len())
    }

    fn dispatches_on(&self, on: &Capabilities) -> Result<Vec<Dispatch>> {
        let plan = self.plan(on);
        let slots = self.declare(&plan);
        let mut dispatches = Planned { operator: self, plan: &plan, slots: &slots }.all_dispatches(&on.limits)?;
        for companion in self.companions(&plan) {
            dispatches.extend(companion.dispatches_on(on)?);
        }
        Ok(dispatches)
    }

    fn dispatches_in_place_on(&self, on: &Capabilities) -> Result<Vec<Dispatch>> {
        let plan = self.plan(on);
        let mut names = Vec::new();
        self.declare(&plan).each(&mut |name, slot, _| names.extend(slot.may_be_output().then_some(name)));
        let mut dispatches = Vec::new();
        for chosen in 1..1_usize << names.len() {
            let of_choice = names.iter().enumerate().filter(|(bit, _)| chosen >> bit & 1 == 1);
            let slots = self.declare(&plan).in_place(&of_choice.map(|(_, name)| *name).collect::<Vec<_>>());
            dispatches.extend(Planned { operator: self, plan: &plan, slots: &slots }.all_dispatches(&on.limits)?);
        }
        Ok(dispatches)
    }

    fn all_algorithms(&self) -> Vec<(String, Box<dyn AnyOperator>)> {
        let each = self.by_every_algorithm().into_iter();
        each.map(|(name, operator)| (name, Box::new(operator) as Box<dyn AnyOperator>)).collect()
    }

    fn packed(&self) -> Option<Box<dyn AnyOperator>> {
        self.on_packed().map(|operator| Box::new(operator) as Box<dyn AnyOperator>)
    }

    fn differentiable(&self) -> Option<&dyn AnyDifferentiable> {
        self.gradients()
    }

    fn companions_on(&self, on: &Capabilities) -> Vec<Box<dyn AnyOperator>> {
        self.companions(&self.plan(on))
    }

    fn bind_by_name(&self, inputs: Vec<(Name, AnyTensorValue)>) -> Result<BoundCall> {
        let inputs = inputs_by_name(self, inputs)?;
        let operator = self.clone();
        Ok(Box::new(move || {
            let outputs = operator.call(&O::Inputs::try_map(&inputs, &mut ByReference)?)?;
            let mut flat = Flat(Vec::new());
            O::Outputs::try_map(&outputs, &mut flat)?;
            Ok(flat.0)
        }))
    }

    fn call_in_place_by_name(&self, inputs: Vec<(Name, AnyTensorValue)>) -> Result<()> {
        let inputs = inputs_by_name(self, inputs)?;
        self.call_in_place(&O::Inputs::try_map(&inputs, &mut ByReference)?)
    }

    fn record_by_name(&self, recorder: &mut Recorder<'_>, buffers: &[(Name, wgpu::BufferSlice<'_>)]) -> Result<()> {
        expect_names(self, buffers.iter().map(|(name, _)| *name))?;
        let slots = self.slots_on(recorder.gpu().capabilities());
        let mut workspace = None;
        let (mut inputs, mut outputs) = (VecDeque::new(), VecDeque::new());
        let mut next = 0;
        for &(name, slice) in buffers {
            // A workspace that is not needed may be passed.
            if name == "workspace".into() {
                workspace = Some(slice);
                continue;
            }
            // They usually come in their order.
            let mut places = (next..slots.len()).chain(0..next);
            let place = places.find(|&place| slots[place].name == name);
            next = place.map_or(next, |place| place + 1);
            let slot = place.map(|place| &slots[place]);
            let value = match slot {
                Some(FlatSlot { slot, .. }) if slot.is_integer => FloatOrInteger::Integer(slice),
                _ => FloatOrInteger::Float(slice),
            };
            // A gradient is an output, or an input of the same name.
            let is_output = slot.is_some_and(|slot| slot.group == Group::Output);
            if is_output { &mut outputs } else { &mut inputs }.push_back((name, value));
        }
        let mut source = Named { operator: O::NAME, values: inputs, layouts: layouts(&slots) };
        let inputs = O::Inputs::build(&mut source)?;
        source.finish()?;
        let mut source = Named { operator: O::NAME, values: outputs, layouts: Vec::new() };
        let outputs = O::Outputs::build(&mut source)?;
        source.finish()?;
        self.record(recorder, &inputs, &outputs, workspace)
    }

    fn compute_by_name(&self, inputs: Vec<(Name, AnyArray)>) -> Result<Vec<(Name, AnyArray)>> {
        expect_names(self, inputs.iter().map(|(name, _)| *name))?;
        let mut source = Named { operator: O::NAME, values: inputs.into(), layouts: Vec::new() };
        let inputs = O::Inputs::build(&mut source)?;
        source.finish()?;
        let mut given = List::<&[usize]>::new();
        let Ok(_) = O::Inputs::try_map(&inputs, &mut given);
        let slots = self.declare(&self.plan(&of_any_device()));
        let mut planned = inputs_of(&slots);
        for slot in &mut planned.given {
            // Only kernels take a packed argument.
            slot.value = slot.value.filter(|slot| slot.layout.is_none());
        }
        matched(O::NAME, planned, &given, "an array", |name, slot, shape| expect_shape(O::NAME, name, slot, shape))?;
        self.compute(&inputs)?.by_name()
    }
}

/// Fails for a name that the operator does not have.
fn expect_names<O: Operator>(operator: &O, mut names: impl Iterator<Item = Name>) -> Result<()> {
    let slots = operator.slots_on(&of_any_device());
    let is_known = |name: &Name| O::takes(name.field) || slots.iter().any(|slot| slot.name == *name);
    match names.find(|name| !is_known(name) && *name != "workspace".into()) {
        None => Ok(()),
        Some(name) => Err(name.invalid(O::NAME, "the name of an argument", "another")),
    }
}

/// Capabilities for what is the same in every plan.
fn of_any_device() -> Capabilities {
    Capabilities::new(AdapterClass::Hardware, wgpu::Features::empty(), wgpu::Limits::defaults())
}

fn inputs_by_name<O: Operator>(
    operator: &O,
    values: Vec<(Name, AnyTensorValue)>,
) -> Result<InputsOf<O, Tensor, Tensor<i32>>> {
    expect_names(operator, values.iter().map(|(name, _)| *name))?;
    let gpu = values.first().map(|(_, tensor)| match tensor {
        FloatOrInteger::Float(tensor) => tensor.gpu().clone(),
        FloatOrInteger::Integer(tensor) => tensor.gpu().clone(),
    });
    let layouts = gpu.map_or_else(Vec::new, |gpu| layouts(&operator.slots_on(gpu.capabilities())));
    let mut source = Named { operator: O::NAME, values: values.into(), layouts };
    let inputs = O::Inputs::build(&mut source)?;
    source.finish()?;
    Ok(inputs)
}

fn layouts(slots: &[FlatSlot]) -> Vec<(Name, PackedLayout)> {
    slots.iter().filter_map(|slot| Some((slot.name, slot.slot.layout?))).collect()
}

/// Maps tensors to references to them.
struct ByReference;

impl<'a> Map<'a, Tensor, Tensor<i32>, &'a Tensor, &'a Tensor<i32>, Error> for ByReference {
    fn float(&mut self, _: Name, tensor: &'a Tensor) -> Result<&'a Tensor> {
        Ok(tensor)
    }

    fn integer(&mut self, _: Name, tensor: &'a Tensor<i32>) -> Result<&'a Tensor<i32>> {
        Ok(tensor)
    }
}
