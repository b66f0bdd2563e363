//! Backward passes of calls.

use super::{AnyCall, Call, GRAD_OUTPUT, key_of};
use crate::cases::{Case, CaseArray, Outputs, Refusal};
use crate::operator::{AnyArray, AnyBackward, AnyDifferentiable, FloatOrInteger, Gradient, Name};
#[cfg(feature = "gpu-core")]
use crate::{
    AdapterClass, Capabilities,
    operator::{AnyOperator, Group},
};
#[cfg(feature = "gpu-core")]
use ndarray::{ArrayD, IxDyn};

impl Call {
    /// The gradients of its operator, if it has any.
    pub fn differentiable(&self) -> Option<&dyn AnyDifferentiable> {
        self.0.differentiable()
    }

    /// The call, which also returns what its backward pass needs.
    pub fn saving(&self) -> Result<Call, Refusal> {
        let saved = self.differentiable().map_or(&[][..], |of| of.saved_outputs_by_name());
        Ok(Call(self.0.returning(saved)?))
    }

    /// The call of the backward pass, given this call's outputs and all other arrays that it reads.
    pub fn backward(
        &self,
        gradients: &[(Name, Gradient)],
        outputs: &Outputs,
        others: &[(Name, AnyArray)],
    ) -> Result<Call, Refusal> {
        let unsupported = || Refusal::Unsupported(format!("{}: the backward pass", self.op()));
        let operator = self.differentiable().ok_or_else(unsupported)?.backward_by_name(gradients)?;
        let names = operator.input_names().into_iter();
        let arrays = names.filter_map(|name| {
            let given = others.iter().chain(self.arrays()).find(|(other, _)| *other == name);
            let array = given.map(|(_, array)| array.clone());
            Some((name, array.or_else(|| outputs.get(&key_of(name)).map(any_array))?))
        });
        let arrays = arrays.collect();
        Ok(Call(Box::new(Erased { operator, arrays })))
    }

    /// The backward pass of a case that has one, given the outputs of this call.
    pub fn backward_of_case(&self, case: &Case, outputs: &Outputs) -> Result<Option<Call>, Refusal> {
        let Some(grad_output) = case.inputs.get(GRAD_OUTPUT) else { return Ok(None) };
        let bad_case = |what: String| Err(Refusal::BadCase(what));
        if case.lists.contains(GRAD_OUTPUT) {
            return bad_case(format!("{GRAD_OUTPUT} is a list"));
        }
        let unsupported = || Refusal::Unsupported(format!("{}: the backward pass", self.op()));
        let known = self.differentiable().ok_or_else(unsupported)?.gradient_shapes_by_name();
        let names: Vec<_> = known.iter().map(|(name, _)| key_of(*name)).collect();
        let mut expected = case.outputs.keys().filter(|name| name.starts_with("grad_"));
        if let Some(name) = expected.find(|name| !names.contains(name)) {
            return bad_case(format!("this call of {} has no {name}, but {}", self.op(), names.join(", ")));
        }
        // What must be refused wants all.
        let is_wanted = |(name, _): &(Name, _)| case.is_error || case.outputs.contains_key(&key_of(*name));
        let wanted: Vec<_> = known.into_iter().filter(is_wanted).map(|(name, _)| (name, Gradient::Write)).collect();
        if wanted.is_empty() {
            return bad_case(format!("there is {GRAD_OUTPUT}, but no gradient is expected, as {}", names.join(", ")));
        }
        let others = [(GRAD_OUTPUT.into(), any_array(&grad_output[0]))];
        self.backward(&wanted, outputs, &others).map(Some)
    }
}

#[cfg(feature = "gpu-core")]
impl Call {
    /// The call, which also returns these outputs, if its operator has them.
    pub fn returning(&self, outputs: &[&str]) -> Result<Option<Call>, Refusal> {
        let call = Call(self.0.returning(outputs)?);
        let made = call.output_zeros();
        Ok(outputs.iter().all(|&name| made.contains_key(name)).then_some(call))
    }

    /// Zeros of the shapes of all outputs, for code that only looks at the shapes.
    pub fn output_zeros(&self) -> Outputs {
        let on = Capabilities::new(AdapterClass::Hardware, wgpu::Features::empty(), wgpu::Limits::defaults());
        let slots = self.operator().slots_on(&on).into_iter().filter(|slot| slot.group == Group::Output);
        let zeros = slots.map(|slot| {
            let shape = IxDyn(slot.slot.shape());
            let array = if slot.slot.is_integer() {
                ArrayD::<i32>::zeros(shape).into()
            } else {
                ArrayD::<f32>::zeros(shape).into()
            };
            (key_of(slot.name), array)
        });
        zeros.collect()
    }

    /// On zeros, for code that only looks at the shapes: the backward passes that write all gradients, each alone, or add all
    /// to what is there, and the call that returns the input's gradient itself, if its operator has such.
    pub fn planned_backward(&self) -> Result<Vec<Call>, Refusal> {
        let Some(differentiable) = self.differentiable() else { return Ok(Vec::new()) };
        let known = differentiable.gradient_shapes_by_name();
        let both = self.returning(&["grad_input"])?;
        let all = |how| known.iter().map(|(name, _)| (*name, how)).collect::<Vec<_>>();
        let (written, added) = (all(Gradient::Write), all(Gradient::Accumulate));
        let saving = self.saving()?;
        let outputs = saving.output_zeros();
        let others: Vec<_> =
            outputs.get("output").map(|zeros| (GRAD_OUTPUT.into(), any_array(zeros))).into_iter().collect();
        let each = written.iter().filter(|_| written.len() > 1).map(std::slice::from_ref);
        let wanted = [&written[..], &added].into_iter().chain(each);
        wanted.map(|wanted| saving.backward(wanted, &outputs, &others)).chain(both.map(Ok)).collect()
    }
}

/// A case's array as an operator takes it.
pub fn any_array(array: &CaseArray) -> AnyArray {
    match array {
        CaseArray::F32(array) => FloatOrInteger::Float(array.clone()),
        // They came from i32.
        CaseArray::I64(array) => FloatOrInteger::Integer(array.mapv(|x| x as i32)),
    }
}

/// The call of a backward pass.
struct Erased {
    operator: Box<dyn AnyBackward>,
    arrays: Vec<(Name, AnyArray)>,
}

impl AnyCall for Erased {
    fn boxed(&self) -> Box<dyn AnyCall> {
        Box::new(Erased { operator: self.operator.boxed(), arrays: self.arrays.clone() })
    }

    fn op(&self) -> &'static str {
        self.operator.backward_name()
    }

    fn arrays(&self) -> &[(Name, AnyArray)] {
        &self.arrays
    }

    fn algorithms(&self) -> Vec<(String, Box<dyn AnyCall>)> {
        let each = self.operator.every_algorithm().into_iter();
        let call = |operator| Box::new(Erased { operator, arrays: self.arrays.clone() }) as Box<dyn AnyCall>;
        each.map(|(name, operator)| (name, call(operator))).collect()
    }

    fn activated(&self, _: crate::Activation) -> crate::Result<Option<Box<dyn AnyCall>>> {
        Ok(None)
    }

    fn compute(&self) -> crate::Result<Vec<(Name, AnyArray)>> {
        self.operator.compute_backward(self.arrays.clone())
    }

    fn differentiable(&self) -> Option<&dyn AnyDifferentiable> {
        None
    }

    fn returning(&self, _: &[&str]) -> crate::Result<Box<dyn AnyCall>> {
        Ok(self.boxed())
    }

    fn with_arrays(&self, arrays: Vec<(Name, AnyArray)>) -> Box<dyn AnyCall> {
        Box::new(Erased { operator: self.operator.boxed(), arrays })
    }

    #[cfg(feature = "gpu-core")]
    fn operator(&self) -> &dyn AnyOperator {
        self.operator.as_operator()
    }
}
