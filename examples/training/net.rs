//! A network that learns: its layers as a program writes them, and the backward pass that follows from them.
//!
//! wgdnn has no tape. This is what a program does instead: it keeps its operators in a list, and goes through the list
//! backwards once, when it plans.

use std::collections::BTreeMap;

use wgdnn::operator::{AnyBackward, Gradient, Group, Name};
use wgdnn::{AnyOperator, Gpu, Operator};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// An array of a network: its place among all values.
pub type Value = usize;

/// How a parameter begins, or a running statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All of this number.
    Constant(f32),
    /// Uniform from minus this to this.
    Uniform(f32),
}

/// Where an array is.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// Written by the program for every step.
    Input,
    /// A parameter, by its number.
    Parameter(usize),
    /// A running statistic, by its number.
    Statistic(usize),
    /// The gradient of a parameter.
    Gradient(usize),
    /// All parameters as one array, all their gradients, or a state of the optimiser, by its name.
    Whole(&'static str),
    /// A number of the optimiser's, by its name.
    Number(&'static str),
    /// What a call returns.
    Computed,
}

#[derive(Debug, Clone)]
pub struct Array {
    pub shape: Vec<usize>,
    pub is_integer: bool,
    pub place: Place,
    /// Whether a parameter goes into it.
    needs_gradient: bool,
}

/// A parameter or a running statistic, under the name that PyTorch's state_dict has for it.
#[derive(Debug, Clone)]
pub struct Named {
    pub name: String,
    pub shape: Vec<usize>,
    pub init: Init,
}

pub enum Call {
    Forward(Box<dyn AnyOperator>),
    Backward(Box<dyn AnyBackward>),
}

/// A call and its arrays.
pub struct Step {
    call: Call,
    pub inputs: Vec<(Name, Value)>,
    pub outputs: Vec<(Name, Value)>,
}

impl Step {
    pub fn operator(&self) -> &dyn AnyOperator {
        match &self.call {
            Call::Forward(operator) => &**operator,
            Call::Backward(backward) => backward.as_operator(),
        }
    }
}

/// A network for inputs of one shape.
pub struct Net {
    gpu: Gpu,
    /// Whether batch norms take the batch's statistics, or the running ones.
    pub training: bool,
    pub arrays: Vec<Array>,
    pub parameters: Vec<Named>,
    pub statistics: Vec<Named>,
    /// The calls so far, in order.
    pub steps: Vec<Step>,
}

impl Net {
    pub fn new(gpu: &Gpu, training: bool) -> Self {
        let (arrays, parameters, statistics, steps) = Default::default();
        Net { gpu: gpu.clone(), training, arrays, parameters, statistics, steps }
    }

    pub fn shape(&self, value: Value) -> &[usize] {
        &self.arrays[value].shape
    }

    fn value(&mut self, shape: &[usize], is_integer: bool, place: Place, needs_gradient: bool) -> Value {
        self.arrays.push(Array { shape: shape.to_vec(), is_integer, place, needs_gradient });
        self.arrays.len() - 1
    }

    /// An array that the program writes before each step.
    pub fn input(&mut self, shape: &[usize]) -> Value {
        self.value(shape, false, Place::Input, false)
    }

    /// The same, of integers.
    pub fn integer_input(&mut self, shape: &[usize]) -> Value {
        self.value(shape, true, Place::Input, false)
    }

    pub fn parameter(&mut self, name: String, shape: &[usize], init: Init) -> Value {
        self.parameters.push(Named { name, shape: shape.to_vec(), init });
        self.value(shape, false, Place::Parameter(self.parameters.len() - 1), true)
    }

    pub fn statistic(&mut self, name: String, shape: &[usize], init: Init) -> Value {
        self.statistics.push(Named { name, shape: shape.to_vec(), init });
        self.value(shape, false, Place::Statistic(self.statistics.len() - 1), false)
    }

    /// An array that is kept from step to step.
    pub fn kept(&mut self, shape: &[usize], place: Place) -> Value {
        self.value(shape, false, place, false)
    }

    /// Adds a call, and returns its outputs in order.
    pub fn add<N: Into<Name> + Copy>(&mut self, operator: impl Operator, inputs: &[(N, Value)]) -> Vec<Value> {
        let inputs = inputs.iter().map(|&(name, value)| (name.into(), value)).collect();
        self.push(Call::Forward(Box::new(operator)), inputs)
    }

    fn push(&mut self, call: Call, inputs: Vec<(Name, Value)>) -> Vec<Value> {
        let needs_gradient = matches!(call, Call::Forward(_)) && self.needs_any(&inputs);
        let mut step = Step { call, inputs, outputs: Vec::new() };
        for slot in step.operator().slots_on(self.gpu.capabilities()) {
            if slot.group == Group::Output {
                let slot_of = &slot.slot;
                let value = self.value(slot_of.shape(), slot_of.is_integer(), Place::Computed, needs_gradient);
                step.outputs.push((slot.name, value));
            }
        }
        let outputs = step.outputs.iter().map(|(_, value)| *value).collect();
        self.steps.push(step);
        outputs
    }

    fn needs_any(&self, inputs: &[(Name, Value)]) -> bool {
        inputs.iter().any(|(_, value)| self.arrays[*value].needs_gradient)
    }

    /// Adds the backward passes of all calls so far: the gradient of `loss`, which is a number, is added to those of the
    /// parameters.
    pub fn backward(&mut self, loss: Value) -> Result<()> {
        let one = self.kept(&[], Place::Number("one"));
        let mut gradients = BTreeMap::from([(loss, one)]);
        for at in (0..self.steps.len()).rev() {
            self.backward_of(at, &mut gradients)?;
        }
        Ok(())
    }

    /// The gradient of one call. `gradients` has those of what later calls take.
    fn backward_of(&mut self, at: usize, gradients: &mut BTreeMap<Value, Value>) -> Result<()> {
        let step = &self.steps[at];
        let (inputs, outputs) = (step.inputs.clone(), step.outputs.clone());
        let Some(&grad_output) = outputs.first().and_then(|(_, output)| gradients.get(output)) else { return Ok(()) };
        if !self.needs_any(&inputs) {
            return Ok(());
        }
        let of =
            |list: &[(Name, Value)], name: Name| list.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
        // A loss that returned its gradient is done.
        if let (Some(gradient), Some(input)) = (of(&outputs, "grad_input".into()), of(&inputs, "input".into())) {
            gradients.insert(input, gradient);
            return Ok(());
        }
        let operator = step.operator();
        let none = || format!("{} has no gradient", operator.name());
        let known = operator.differentiable().ok_or_else(none)?.gradient_shapes_by_name();
        let (mut added, mut written) = (Vec::new(), Vec::new());
        for (name, shape) in known {
            let is_of =
                |input: Name| name.field.strip_prefix("grad_") == Some(input.field) && name.index == input.index;
            let input = inputs.iter().find(|(input, value)| is_of(*input) && self.arrays[*value].needs_gradient);
            let Some(&(_, input)) = input else { continue };
            match (&self.arrays[input].place, gradients.get(&input)) {
                (&Place::Parameter(number), _) => added.push((name, self.kept(&shape, Place::Gradient(number)))),
                // What several calls take gets the sum of their gradients.
                (_, Some(&gradient)) => added.push((name, gradient)),
                (_, None) => written.push((name, input)),
            }
        }
        let how = |list: &[(Name, Value)], how| list.iter().map(|(name, _)| (*name, how)).collect::<Vec<_>>();
        let wanted = [how(&added, Gradient::Accumulate), how(&written, Gradient::Write)].concat();
        let differentiable = self.steps[at].operator().differentiable().ok_or("it had a gradient")?;
        let backward = differentiable.backward_by_name(&wanted)?;
        let arguments = backward.input_names().into_iter().map(|name| {
            let value = match name.field {
                "grad_output" => Some(grad_output),
                _ => of(&added, name).or(of(&inputs, name)).or(of(&outputs, name)),
            };
            value.map(|value| (name, value)).ok_or_else(|| format!("{} needs {name}", backward.backward_name()))
        });
        let arguments = arguments.collect::<Result<Vec<_>, _>>()?;
        self.push(Call::Backward(backward), arguments);
        let made = self.steps.last().map(|step| step.outputs.clone()).unwrap_or_default();
        for (name, input) in written {
            gradients.extend(of(&made, name).map(|gradient| (input, gradient)));
        }
        Ok(())
    }
}
