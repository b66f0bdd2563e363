//! Bad input of backward passes, of every operator: typed errors that name the argument, on the CPU and on the GPU, eager,
//! recorded and by name.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{ArrayD, IxDyn};
use wgdnn::cases::{Call, Refusal};
use wgdnn::operator::{AnyArray, AnyOperator, FloatOrInteger, Gradient, Group, Name};
use wgdnn::wgpu::{self, BufferUsages};
use wgdnn::{Error, Role};

use crate::harness::{GoldenGradient, golden_gradients, gpu, some_golden_gradients};

type Arrays = Vec<(Name, AnyArray)>;

fn shape_of(array: &AnyArray) -> Vec<usize> {
    match array {
        FloatOrInteger::Float(array) => array.shape().to_vec(),
        FloatOrInteger::Integer(array) => array.shape().to_vec(),
    }
}

/// Zeros of a shape, of floats or integers.
fn zeros(shape: &[usize], is_integer: bool) -> AnyArray {
    match is_integer {
        true => FloatOrInteger::Integer(ArrayD::zeros(IxDyn(shape))),
        false => FloatOrInteger::Float(ArrayD::zeros(IxDyn(shape))),
    }
}

/// Fails unless an error names the operator, the argument, what was expected and what came.
#[track_caller]
fn expect_typed(what: &str, operator: &'static str, name: Name, result: Result<(), Error>) {
    match &result {
        Err(Error::InvalidArgument { operator: of, argument, item, expected, actual, .. }) => {
            assert_eq!((*of, *argument, *item), (operator, name.field, name.index), "{what}: {result:?}");
            assert!(!expected.is_empty() && !actual.is_empty() && expected != actual, "{what}: {result:?}");
        }
        _ => panic!("{what}: {operator}, {name}: {result:?}"),
    }
}

/// Holds that a call on these arrays is refused for one of them.
#[track_caller]
fn expect_refused(what: &str, call: &Call, arrays: &Arrays, name: Name) {
    let call = call.with_arrays(arrays.clone());
    let operator = call.operator();
    let start = format!("{}: {name}: expected ", call.op());
    match call.run_reference() {
        Err(Refusal::BadInput(reason)) => assert!(reason.starts_with(&start) && reason.contains(", got "), "{reason}"),
        other => panic!("{what}: {start}: {other:?}"),
    }
    let on_cpu = operator.compute_by_name(arrays.clone()).map(drop);
    expect_typed(what, call.op(), name, on_cpu);
    let on_gpu = operator.call_by_name(call.upload(gpu()).unwrap()).map(drop);
    expect_typed(what, call.op(), name, on_gpu);
}

/// A buffer for each argument, by name.
fn buffers(operator: &dyn AnyOperator) -> Vec<(Name, wgpu::Buffer)> {
    let slots = operator.slots_on(gpu().capabilities()).into_iter();
    let slots = slots.filter(|slot| slot.slot.role() != Role::Unused);
    slots.map(|slot| (slot.name, buffer(slot.slot.bytes()))).collect()
}

fn buffer(size: u64) -> wgpu::Buffer {
    let descriptor =
        wgpu::BufferDescriptor { label: None, size, usage: BufferUsages::STORAGE, mapped_at_creation: false };
    gpu().device().create_buffer(&descriptor)
}

fn record(operator: &dyn AnyOperator, buffers: &[(Name, wgpu::Buffer)]) -> Result<(), Error> {
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let slices: Vec<_> = buffers.iter().map(|(name, buffer)| (*name, buffer.slice(..))).collect();
    operator.record_by_name(&mut gpu().record(&mut encoder), &slices)
}

/// Arguments that are missing, of another shape or type, or not planned.
fn wrong_arguments(call: &Call) -> usize {
    let arrays = call.arrays().to_vec();
    let without = |name: Name| arrays.iter().filter(|(other, _)| *other != name).cloned().collect::<Arrays>();
    let instead = |name: Name, array: AnyArray| {
        let mut arrays = arrays.clone();
        arrays.iter_mut().filter(|(other, _)| *other == name).for_each(|(_, place)| *place = array.clone());
        arrays
    };
    let mut count = 0;
    for (name, array) in &arrays {
        let is_integer = matches!(array, FloatOrInteger::Integer(_));
        let shape = shape_of(array);
        expect_refused("missing", call, &without(*name), *name);
        let longer = [&shape[..], &[1]].concat();
        expect_refused("another rank", call, &instead(*name, zeros(&longer, is_integer)), *name);
        if let [rest @ .., last] = &shape[..] {
            let longer = [rest, &[last + 1]].concat();
            expect_refused("one element more", call, &instead(*name, zeros(&longer, is_integer)), *name);
        }
        count += 3;
    }
    count
}

/// The same of buffers that a call is recorded on.
fn wrong_buffers(call: &Call) -> usize {
    let operator = call.operator();
    // A view is of its input's buffer.
    if operator.slots_on(gpu().capabilities()).iter().any(|slot| slot.slot.role() == Role::View) {
        return 0;
    }
    let all = buffers(operator);
    record(operator, &all).unwrap_or_else(|error| panic!("{error}"));
    let mut count = 0;
    for (index, (name, _)) in all.iter().enumerate() {
        let mut fewer = all.clone();
        let (_, whole) = fewer.remove(index);
        expect_typed("no buffer", call.op(), *name, record(operator, &fewer));
        if whole.size() > 4 {
            let mut smaller = all.clone();
            smaller[index].1 = buffer(whole.size() - 4);
            expect_typed("a small buffer", call.op(), *name, record(operator, &smaller));
        }
        if *name != "workspace".into() {
            let twice = [&all[..], &[(*name, buffer(whole.size()))]].concat();
            expect_typed("a buffer twice", call.op(), *name, record(operator, &twice));
        }
        count += 3;
    }
    let unknown = [&all[..], &[("nothing".into(), buffer(4))]].concat();
    expect_typed("a buffer of another name", call.op(), "nothing".into(), record(operator, &unknown));
    count
}

/// What the operator has, but this backward pass has no need of.
fn unneeded_arguments(gradient: &GoldenGradient) -> usize {
    let call = &gradient.backward;
    let saved = gradient.forward.differentiable().unwrap().saved_outputs_by_name().iter();
    let saved = saved.filter_map(|&name| Some((name.into(), wgdnn::cases::any_array(gradient.outputs.get(name)?))));
    let not_planned = gradient.wanted().into_iter().map(|(name, shape)| (name, zeros(&shape, false)));
    let mut others: Arrays = gradient.forward.arrays().to_vec();
    others.extend(saved);
    others.extend(not_planned);
    others.push(("nothing".into(), zeros(&[1], false)));
    let is_planned = |name: &Name| call.arrays().iter().any(|(planned, _)| planned == name);
    let mut count = 0;
    for (name, array) in others.into_iter().filter(|(name, _)| !is_planned(name)) {
        let arrays = [call.arrays(), &[(name, array)]].concat();
        expect_refused("not planned", call, &arrays, name);
        count += 1;
    }
    count
}

#[test]
fn bad_input_of_backward_passes_is_refused() {
    let mut counts = BTreeMap::<&str, usize>::new();
    for gradient in some_golden_gradients(3) {
        let mut count = unneeded_arguments(gradient);
        // What it adds to is among the arguments of the other.
        for call in [&gradient.backward, &gradient.adding(1)] {
            count += wrong_arguments(call) + wrong_buffers(call);
            call.run_eager(gpu()).unwrap_or_else(|refusal| panic!("{}: {refusal}", gradient.case.id));
        }
        *counts.entry(gradient.forward.op()).or_default() += count;
    }
    assert!(!counts.is_empty() && counts.values().all(|&count| count >= 20), "{counts:?}");
}

/// None, one that there is not, one for which there is no input, and one that is wanted twice.
#[test]
fn gradients_that_there_are_not_are_refused() {
    let mut of_operators = BTreeMap::<&str, BTreeSet<&'static str>>::new();
    for gradient in golden_gradients() {
        let names = gradient.wanted().into_iter().map(|(name, _)| name.field);
        of_operators.entry(gradient.forward.op()).or_default().extend(names);
    }
    let mut absent = 0;
    for gradient in golden_gradients() {
        let differentiable = gradient.forward.differentiable().unwrap();
        let backward = gradient.backward.op();
        let plan = |gradients: &[(Name, Gradient)]| differentiable.backward_by_name(gradients).map(drop);
        let known = differentiable.gradient_shapes_by_name();
        let (name, _) = known[0];
        expect_typed("none", backward, "gradients".into(), plan(&[]));
        let unknown = "grad_nothing".into();
        expect_typed("unknown", backward, unknown, plan(&[(unknown, Gradient::Write)]));
        expect_typed("twice", backward, name, plan(&[(name, Gradient::Write), (name, Gradient::Accumulate)]));
        let is_known = |field: &str| known.iter().any(|(name, _)| name.field == field);
        for field in of_operators[gradient.forward.op()].iter().filter(|field| !is_known(field)) {
            expect_typed("no such input", backward, (*field).into(), plan(&[((*field).into(), Gradient::Write)]));
            absent += 1;
        }
        if name.index.is_some() {
            let beyond = Name { index: Some(known.len()), ..name };
            expect_typed("beyond the list", backward, beyond, plan(&[(beyond, Gradient::Write)]));
        }
    }
    println!("{absent} gradients of inputs that are absent");
}

/// The gradients are outputs or inputs, as planned.
#[test]
fn gradients_are_in_the_group_that_was_planned() {
    for gradient in some_golden_gradients(3) {
        let wanted = gradient.wanted();
        let (name, shape) = &wanted[0];
        for (how, group, role) in
            [(Gradient::Write, Group::Output, Role::Write), (Gradient::Accumulate, Group::Input, Role::Update)]
        {
            let added_to = if how == Gradient::Accumulate { vec![(*name, zeros(shape, false))] } else { Vec::new() };
            let call = gradient.backward_by(&[(*name, how)], &added_to);
            let slots = call.operator().slots_on(gpu().capabilities());
            let is_of = |slot: &&wgdnn::operator::FlatSlot| slot.name.field.starts_with("grad_");
            let found: Vec<_> = slots.iter().filter(is_of).filter(|slot| slot.name != "grad_output".into()).collect();
            assert_eq!(found.len(), 1, "{}: {slots:?}", gradient.case.id);
            // What only has another shape is not written.
            let role = if found[0].slot.role() == Role::View { Role::View } else { role };
            assert_eq!((found[0].name, found[0].group, found[0].slot.role()), (*name, group, role));
            assert_eq!(found[0].slot.shape(), &shape[..]);
        }
    }
}
