//! Finds wrong declarations of operators, for tests of all operators.

use super::{AnyArray, AnyOperator, FlatSlot, FloatOrInteger, Group, Name, Role};
use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::Access;

/// Lists where an operator's slots disagree with its dispatches, or with the types and shapes of its arguments.
/// `arguments` holds the inputs and what the CPU computes from them.
pub fn misdeclared(operator: &dyn AnyOperator, arguments: &[(Name, AnyArray)], on: &Capabilities) -> Vec<String> {
    let slots = operator.slots_on(on);
    let mut wrong = Vec::new();
    for (name, array) in arguments {
        let (shape, is_integer) = match array {
            FloatOrInteger::Float(array) => (array.shape(), false),
            FloatOrInteger::Integer(array) => (array.shape(), true),
        };
        match slots.iter().find(|slot| slot.name == *name) {
            Some(FlatSlot { slot, .. }) if slot.shape() == shape && slot.is_integer() == is_integer => {}
            Some(FlatSlot { slot, .. }) => wrong.push(format!("{name} has shape {shape:?}, declared is {slot:?}")),
            None => wrong.push(format!("{name} is not declared")),
        }
    }
    // An operator that does not fit into the limits runs nothing.
    let Ok(mut dispatches) = operator.dispatches_on(on) else { return wrong };
    let companions = operator.companions_on(on);
    let of_companions = companions.iter().filter_map(|companion| Some(companion.dispatches_on(on).ok()?.len()));
    dispatches.truncate(dispatches.len() - of_companions.sum::<usize>());

    let bound: Vec<_> = slots.iter().filter(|slot| !matches!(slot.slot.role(), Role::View | Role::Unused)).collect();
    let mut accesses = vec![[false; 2]; bound.len()];
    for dispatch in &dispatches {
        let kernel = (dispatch.kernel.file, dispatch.kernel.entry_point);
        if dispatch.arguments.len() != dispatch.kernel.storage.len() {
            wrong.push(format!("{kernel:?} is given {} arguments", dispatch.arguments.len()));
        }
        for (&index, &(number, access)) in dispatch.arguments.iter().zip(dispatch.kernel.storage) {
            match accesses.get_mut(index as usize) {
                Some(accesses) => accesses[usize::from(access == Access::ReadWrite)] = true,
                None => wrong.push(format!("binding {number} of {kernel:?} is no declared argument")),
            }
        }
    }
    // A loss of no rows reads no weight.
    let has_empty_input = bound.iter().any(|slot| slot.slot.role() == Role::Read && slot.slot.elements() == 0);
    for (slot, [is_read, is_written]) in bound.into_iter().zip(accesses) {
        let (name, role, is_empty) = (slot.name, slot.slot.role(), slot.slot.elements() == 0);
        let is_right = match role {
            // Where nothing runs, nothing is read or updated.
            Role::Read => !is_written && (is_read || has_empty_input || dispatches.is_empty()),
            // What an output held before is not read.
            Role::Write => slot.group == Group::Output && (is_written || is_empty),
            Role::Update if slot.group == Group::Output => false,
            // Of no images nothing is added to a gradient.
            Role::Update => is_written || is_empty || has_empty_input || dispatches.is_empty(),
            _ => is_written || is_empty || dispatches.is_empty(),
        };
        if !is_right {
            wrong.push(format!("{name} is declared as {role:?}, read: {is_read}, written: {is_written}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;
    use crate::error::Result;
    use crate::gpu::kernel::{Dispatch, Kernel};
    use crate::gpu::work::Part;
    use crate::operator::{ArraysOf, Bound, Computed, Definition, InputsOf, NoParams, OnCpu, Operator, Slot, Slots};
    use crate::{AdapterClass, Relu, UnaryInputs, UnaryOutputs};

    /// A defect that is planted into a relu.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Defect {
        None,
        OutputIsRead,
        OutputIsShort,
        WorkspaceIsUndeclared,
    }

    #[derive(Clone)]
    struct Defective {
        relu: Relu,
        defect: Defect,
    }

    impl Definition for Defective {
        const NAME: &'static str = "defective";
        type Params = NoParams;
        type Inputs = UnaryInputs<()>;
        type Outputs = UnaryOutputs<()>;

        fn of_shapes(inputs: &InputsOf<Self, Vec<usize>, Vec<usize>>, _: &NoParams) -> Result<Self> {
            Ok(Defective { relu: Relu::new(&inputs.input)?, defect: Defect::None })
        }
    }

    impl OnCpu for Defective {
        fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
            Ok(Computed::new(self.relu.compute(inputs)?.outputs))
        }
    }

    impl Operator for Defective {
        type Plan = <Relu as Operator>::Plan;
        const KERNELS: &'static [&'static [Kernel]] = Relu::KERNELS;

        fn plan(&self, on: &Capabilities) -> Self::Plan {
            self.relu.plan(on)
        }

        fn declare(&self, _: &Self::Plan) -> Slots<Self> {
            let shape = self.relu.output_shape();
            let output = match self.defect {
                Defect::OutputIsRead => Slot::read(shape),
                Defect::OutputIsShort => Slot::write(&shape[1..]),
                Defect::None | Defect::WorkspaceIsUndeclared => Slot::write(shape),
            };
            Slots::new(UnaryInputs { input: Slot::read(shape) }, UnaryOutputs { output }).cut(shape.iter().product())
        }

        fn dispatches(&self, plan: &Self::Plan, part: &Part, bound: &Bound<Self>, add: &mut dyn FnMut(Dispatch)) {
            let output = match self.defect {
                Defect::WorkspaceIsUndeclared => bound.workspace,
                _ => bound.outputs.output,
            };
            let (inputs, outputs) = (UnaryInputs { input: bound.inputs.input }, UnaryOutputs { output });
            self.relu.dispatches(plan, part, &Bound { inputs, outputs, workspace: bound.workspace }, add);
        }
    }

    #[test]
    fn defects_are_told_and_refused() {
        let gpu = crate::Gpu::new_blocking().unwrap();
        let input = ArrayD::from_elem(vec![3, 8], -1.0_f32);
        let on = Capabilities::new(AdapterClass::Hardware, wgpu::Features::empty(), wgpu::Limits::downlevel_defaults());
        for (defect, told, is_refused) in [
            (Defect::None, "", false),
            (Defect::OutputIsRead, "output is declared as Read, read: false, written: true", true),
            (Defect::OutputIsShort, "output has shape [3, 8], declared is ", false),
            (Defect::WorkspaceIsUndeclared, "is no declared argument", true),
        ] {
            let operator = Defective { relu: Relu::new(input.shape()).unwrap(), defect };
            let mut arguments = vec![("input".into(), FloatOrInteger::Float(input.clone()))];
            arguments.extend(operator.compute_by_name(arguments.clone()).unwrap());
            let wrong = misdeclared(&operator, &arguments, &on);
            assert_eq!(wrong.is_empty(), defect == Defect::None, "{defect:?}: {wrong:?}");
            assert!(wrong.iter().all(|text| text.contains(told)) || wrong[0].contains(told), "{defect:?}: {wrong:?}");
            let tensors = [&input, &input].map(|array| crate::Tensor::from_array(&gpu, array).unwrap());
            let [input, output] = tensors.each_ref().map(|tensor| tensor.slice().unwrap());
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            let recorder = &mut gpu.record(&mut encoder);
            let result = operator.record(recorder, &UnaryInputs { input }, &UnaryOutputs { output }, None);
            assert_eq!(result.is_err(), is_refused, "{defect:?}: {result:?}");
        }
    }
}
