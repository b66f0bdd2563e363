//! Steps of training: a network's forward and backward pass and its optimiser, eagerly or recorded into one pass.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use wgdnn::operator::{AnyTensorValue, FloatOrInteger, Group, Name, Role};
use wgdnn::wgpu::CommandEncoderDescriptor;
use wgdnn::{Adam, AdamParams, FlatTensors, Gpu, Sgd, SgdParams, Tensor, Zero};

use super::net::{Init, Net, Place, Result, Step, Value};

/// An optimiser, which each step runs once for all parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    Sgd(SgdParams),
    Adam(AdamParams),
}

impl Optimizer {
    /// The names of its states.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Optimizer::Sgd(SgdParams { momentum: 0.0, .. }) => &[],
            Optimizer::Sgd(_) => &["momentum_buffer"],
            Optimizer::Adam(_) => &["exp_avg", "exp_avg_sq"],
        }
    }

    /// Adds its step to a network, on arrays of this length.
    fn add(self, net: &mut Net, length: usize) -> Result<()> {
        let whole = |net: &mut Net, name| net.kept(&[length], Place::Whole(name));
        let mut inputs = vec![("param", whole(net, "param")), ("grad", whole(net, "grad"))];
        inputs.extend(self.states().iter().map(|&name| (name, whole(net, name))));
        inputs.push(("lr", net.kept(&[], Place::Number("lr"))));
        if !self.states().is_empty() {
            inputs.push(("step", net.kept(&[], Place::Number("step"))));
        }
        match self {
            Optimizer::Sgd(params) => net.add(Sgd::new(&[length], &params)?, &inputs),
            Optimizer::Adam(params) => net.add(Adam::new(&[length], &params)?, &inputs),
        };
        Ok(())
    }
}

/// What a training holds on the device: parameters, gradients and the optimiser's states, each in one buffer.
pub struct Memory {
    pub optimizer: Optimizer,
    /// "param", "grad" and the optimiser's states.
    pub flat: BTreeMap<&'static str, FlatTensors>,
    pub statistics: Vec<Tensor>,
    /// "lr" and "step", which change with the steps, and "one".
    pub numbers: BTreeMap<&'static str, Tensor>,
}

impl Memory {
    /// The parameters of a network, at first values by this seed.
    fn new(gpu: &Gpu, net: &Net, optimizer: Optimizer, seed: u64) -> Result<Self> {
        let shapes: Vec<_> = net.parameters.iter().map(|parameter| &parameter.shape[..]).collect();
        let mut flat = BTreeMap::new();
        for name in ["param", "grad"].iter().chain(optimizer.states()) {
            flat.insert(*name, FlatTensors::zeros(gpu, &shapes)?);
        }
        let mut rng = StdRng::seed_from_u64(seed);
        let mut first = |init, length: usize| -> Vec<f32> {
            match init {
                Init::Constant(number) => vec![number; length],
                Init::Uniform(bound) => (0..length).map(|_| rng.random_range(-bound..=bound)).collect(),
            }
        };
        for (parameter, tensor) in net.parameters.iter().zip(flat["param"].parts()) {
            tensor.write(&first(parameter.init, tensor.len()))?;
        }
        let mut statistics = Vec::new();
        for statistic in &net.statistics {
            let numbers = first(statistic.init, statistic.shape.iter().product());
            statistics.push(Tensor::from_slice(gpu, &numbers, &statistic.shape)?);
        }
        let mut numbers = BTreeMap::new();
        for (name, number) in [("lr", 0.0), ("step", 0.0), ("one", 1.0)] {
            numbers.insert(name, Tensor::from_slice(gpu, &[number], &[])?);
        }
        Ok(Memory { optimizer, flat, statistics, numbers })
    }

    /// The tensor of an array that is kept from step to step.
    fn tensor(&self, place: &Place) -> Option<AnyTensorValue> {
        let tensor = match place {
            Place::Parameter(number) => &self.flat["param"][*number],
            Place::Gradient(number) => &self.flat["grad"][*number],
            Place::Statistic(number) => &self.statistics[*number],
            Place::Whole(name) => self.flat[name].whole(),
            Place::Number(name) => &self.numbers[name],
            Place::Input | Place::Computed => return None,
        };
        Some(FloatOrInteger::Float(tensor.clone()))
    }
}

/// A network that is trained on inputs of one shape.
pub struct Trainer {
    gpu: Gpu,
    pub net: Net,
    pub memory: Memory,
    /// The tensors of all arrays but, where steps are eager, what calls return.
    tensors: BTreeMap<Value, AnyTensorValue>,
    /// One for all calls, if steps are recorded.
    workspace: Option<Tensor>,
}

impl Trainer {
    /// Plans a step: gradients are zeroed, then come the forward pass, the backward pass from `loss`, and the optimiser.
    /// `write` adds the forward pass, and returns the loss, and whatever arrays the program needs to know.
    pub fn new<T>(
        gpu: &Gpu,
        optimizer: Optimizer,
        seed: u64,
        recorded: bool,
        write: impl Fn(&mut Net) -> Result<(Value, T)>,
    ) -> Result<(Self, T)> {
        let mut shape_of = Net::new(gpu, true);
        write(&mut shape_of)?;
        let memory = Memory::new(gpu, &shape_of, optimizer, seed)?;
        let length = memory.flat["param"].whole().len();

        let mut net = Net::new(gpu, true);
        let grads = net.kept(&[length], Place::Whole("grad"));
        net.add(Zero::new(&[length])?, &[("input", grads)]);
        let (loss, known) = write(&mut net)?;
        net.backward(loss)?;
        optimizer.add(&mut net, length)?;
        gpu.warm_up(&net.steps.iter().map(Step::operator).collect::<Vec<_>>())?;
        let mut trainer =
            Trainer { gpu: gpu.clone(), tensors: tensors(gpu, &net, &memory)?, net, memory, workspace: None };
        if recorded {
            trainer.allocate()?;
        }
        Ok((trainer, known))
    }

    /// Tensors for what calls return, and the largest workspace.
    fn allocate(&mut self) -> Result<()> {
        let mut workspace = 1;
        for step in &self.net.steps {
            let slots = step.operator().slots_on(self.gpu.capabilities());
            for slot in slots {
                let output = step.outputs.iter().find(|(name, _)| *name == slot.name);
                let Some(&(_, value)) = output.filter(|_| slot.group == Group::Output) else {
                    if slot.group == Group::Workspace {
                        workspace = workspace.max(slot.slot.bytes().div_ceil(4) as usize);
                    }
                    continue;
                };
                let shape = slot.slot.shape();
                let tensor = match &self.tensors[&step.inputs[0].1] {
                    FloatOrInteger::Float(viewed) if slot.slot.role() == Role::View => {
                        FloatOrInteger::Float(viewed.reshape(shape)?)
                    }
                    _ if slot.slot.is_integer() => FloatOrInteger::Integer(Tensor::empty(&self.gpu, shape)?),
                    _ => FloatOrInteger::Float(Tensor::empty(&self.gpu, shape)?),
                };
                self.tensors.insert(value, tensor);
            }
        }
        self.workspace = Some(Tensor::empty(&self.gpu, &[workspace])?);
        Ok(())
    }

    pub fn set_lr(&self, lr: f32) -> Result<()> {
        Ok(self.memory.numbers["lr"].write(&[lr])?)
    }

    /// Writes an input of the next step.
    pub fn write(&self, value: Value, numbers: &[f32]) -> Result<()> {
        match &self.tensors[&value] {
            FloatOrInteger::Float(tensor) => Ok(tensor.write(numbers)?),
            FloatOrInteger::Integer(_) => Err("an input of integers".into()),
        }
    }

    pub fn write_integers(&self, value: Value, numbers: &[i32]) -> Result<()> {
        match &self.tensors[&value] {
            FloatOrInteger::Integer(tensor) => Ok(tensor.write(numbers)?),
            FloatOrInteger::Float(_) => Err("an input of floats".into()),
        }
    }

    /// Makes a step, and returns these arrays of it. Nothing waits for the device until they are read.
    pub fn step<const N: usize>(&self, results: [Value; N]) -> Result<[Tensor; N]> {
        let eager = match &self.workspace {
            Some(workspace) => {
                self.record(workspace)?;
                None
            }
            None => Some(run(&self.net, &self.tensors)?),
        };
        let tensors = eager.as_ref().unwrap_or(&self.tensors);
        let of = results.map(|value| tensors.get(&value).and_then(|tensor| tensor.clone().float()));
        if of.iter().any(Option::is_none) {
            return Err("there is no such array of floats".into());
        }
        Ok(of.map(|tensor| tensor.expect("it is there")))
    }

    /// All calls of a step in one encoder and one pass.
    fn record(&self, workspace: &Tensor) -> Result<()> {
        // The first of these submits what was written.
        let workspace = workspace.slice()?;
        let mut slices = BTreeMap::new();
        for (value, tensor) in &self.tensors {
            slices.insert(
                *value,
                match tensor {
                    FloatOrInteger::Float(tensor) => tensor.slice()?,
                    FloatOrInteger::Integer(tensor) => tensor.slice()?,
                },
            );
        }
        let mut encoder = self.gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
        let mut recorder = self.gpu.record(&mut encoder);
        for step in &self.net.steps {
            let arguments = step.inputs.iter().chain(&step.outputs).map(|(name, value)| (*name, slices[value]));
            let arguments: Vec<_> = arguments.chain([("workspace".into(), workspace)]).collect();
            step.operator().record_by_name(&mut recorder, &arguments)?;
        }
        drop(recorder);
        self.gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    /// Runs another network on these parameters and statistics, such as the same one outside of training.
    pub fn evaluate(&self, net: &Net, input: Value, numbers: &[f32], result: Value) -> Result<Vec<f32>> {
        let mut tensors = tensors(&self.gpu, net, &self.memory)?;
        tensors.insert(input, FloatOrInteger::Float(Tensor::from_slice(&self.gpu, numbers, net.shape(input))?));
        let output = run(net, &tensors)?.remove(&result).and_then(FloatOrInteger::float);
        Ok(output.ok_or("there is no such array of floats")?.read_vec_blocking()?)
    }
}

/// The tensors of a network's inputs, and of what is kept from step to step.
fn tensors(gpu: &Gpu, net: &Net, memory: &Memory) -> Result<BTreeMap<Value, AnyTensorValue>> {
    let mut tensors = BTreeMap::new();
    for (value, array) in net.arrays.iter().enumerate() {
        let tensor = match (&array.place, array.is_integer) {
            (Place::Input, true) => Some(FloatOrInteger::Integer(Tensor::zeros(gpu, &array.shape)?)),
            (Place::Input, false) => Some(FloatOrInteger::Float(Tensor::zeros(gpu, &array.shape)?)),
            (place, _) => memory.tensor(place),
        };
        tensors.extend(tensor.map(|tensor| (value, tensor)));
    }
    Ok(tensors)
}

/// Makes all calls eagerly. Returns all tensors.
fn run(net: &Net, tensors: &BTreeMap<Value, AnyTensorValue>) -> Result<BTreeMap<Value, AnyTensorValue>> {
    let mut all = tensors.clone();
    for step in &net.steps {
        let inputs: Vec<(Name, _)> = step.inputs.iter().map(|(name, value)| (*name, all[value].clone())).collect();
        let outputs = step.operator().call_by_name(inputs)?;
        all.extend(step.outputs.iter().map(|(_, value)| *value).zip(outputs.into_iter().map(|(_, tensor)| tensor)));
    }
    Ok(all)
}
