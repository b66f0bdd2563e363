//! A network that is written once, and runs eagerly, recorded into one pass, and on the CPU references.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Result, State};
use wgdnn::operator::{FloatOrInteger, Group, Name, Role};
use wgdnn::wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoderDescriptor, MapMode, PollType};
use wgdnn::{AnyOperator, Gpu, Operator, Tensor, ndarray::ArrayD};

/// The network's input (0), a weight, or what a layer returns: its place among all values.
pub type Value = usize;
type Named<F, I> = Vec<(Name, FloatOrInteger<F, I>)>;

pub struct Layer {
    pub operator: Box<dyn AnyOperator>,
    pub inputs: Vec<(Name, Value)>,
    pub output: Value,
}

/// A network on a device, or on the CPU references where there is none, for inputs of one shape.
#[derive(Default)]
pub struct Network {
    gpu: Option<Gpu>,
    pub state: State,
    pub shapes: Vec<Vec<usize>>,
    arrays: BTreeMap<Value, ArrayD<f32>>,
    tensors: BTreeMap<Value, Tensor>,
    pub layers: Vec<Layer>,
    pub output: Value,
}

impl Network {
    /// `write` adds the layers, which must take all of `state`.
    pub fn new(
        gpu: Option<&Gpu>,
        state: State,
        input: &[usize],
        write: impl FnOnce(&mut Self, Value) -> Result<Value>,
    ) -> Result<Self> {
        let shapes = vec![input.to_vec()];
        let mut net = Network { gpu: gpu.cloned(), state, shapes, ..Default::default() };
        net.output = write(&mut net, 0)?;
        net.state.expect_empty()?;
        Ok(net)
    }

    fn value(&mut self, shape: &[usize]) -> Value {
        self.shapes.push(shape.to_vec());
        self.shapes.len() - 1
    }

    /// Keeps a weight where the network runs.
    pub fn keep(&mut self, array: ArrayD<f32>) -> Result<Value> {
        let value = self.value(array.shape());
        match &self.gpu {
            Some(gpu) => drop(self.tensors.insert(value, Tensor::from_array(gpu, &array)?)),
            None => drop(self.arrays.insert(value, array)),
        }
        Ok(value)
    }

    /// Adds a layer. If its plan takes the weight packed, it is packed here, once.
    pub fn add<N: Into<Name> + Copy>(&mut self, operator: impl Operator, inputs: &[(N, Value)]) -> Result<Value> {
        let mut inputs: Vec<_> = inputs.iter().map(|&(name, value)| (name.into(), value)).collect();
        let packing = self.gpu.iter().flat_map(|gpu| operator.companions_on(gpu.capabilities()));
        for packing in packing.collect::<Vec<_>>() {
            let weight = inputs.iter().find(|(name, _)| name.field == "weight").and_then(|of| self.tensors.get(&of.1));
            let weight = FloatOrInteger::Float(weight.ok_or("only what is kept can be packed")?.clone());
            for (name, packed) in packing.call_by_name(vec![("weight".into(), weight)])? {
                inputs.push((name, self.value(&[])));
                self.tensors.extend(packed.float().map(|packed| (self.shapes.len() - 1, packed)));
            }
        }
        let output = self.value(&operator.output_shape());
        self.layers.push(Layer { operator: Box::new(operator), inputs, output });
        Ok(output)
    }

    /// The last layer that needs each value. The network's output is needed after all.
    pub fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![self.layers.len(); self.shapes.len()];
        for (at, layer) in self.layers.iter().enumerate() {
            layer.inputs.iter().for_each(|(_, value)| last[*value] = at);
        }
        last[self.output] = self.layers.len();
        last
    }

    /// Runs the layers on tensors eagerly, or on arrays by the CPU references, and drops what no later layer needs.
    fn run<F: Clone, I>(
        &self,
        weights: &BTreeMap<Value, F>,
        input: F,
        call: impl Fn(&dyn AnyOperator, Named<F, I>) -> wgdnn::Result<Named<F, I>>,
    ) -> Result<F> {
        let (last, mut values) = (self.last_uses(), BTreeMap::from([(0, input)]));
        for (at, layer) in self.layers.iter().enumerate() {
            let of =
                |value| values.get(value).or(weights.get(value)).cloned().ok_or("it was planned for another device");
            let inputs = layer.inputs.iter().map(|(name, value)| Ok((*name, FloatOrInteger::Float(of(value)?))));
            let output = call(&*layer.operator, inputs.collect::<Result<_>>()?)?.swap_remove(0).1;
            values.retain(|value, _| last[*value] > at);
            values.extend(output.float().map(|output| (layer.output, output)));
        }
        Ok(values.remove(&self.output).ok_or("what a network returns is a layer's")?)
    }

    pub fn on_gpu(&self, input: Tensor) -> Result<Tensor> {
        self.run(&self.tensors, input, |operator, inputs| operator.call_by_name(inputs))
    }

    pub fn on_cpu(&self, input: ArrayD<f32>) -> Result<ArrayD<f32>> {
        self.run(&self.arrays, input, |operator, inputs| operator.compute_by_name(inputs))
    }
}

/// A network in buffers of the program's own. A run is one command encoder with one pass.
pub struct Frames {
    net: Network,
    gpu: Gpu,
    /// The buffer that each value but the weights is in.
    places: BTreeMap<Value, usize>,
    buffers: Vec<Buffer>,
    workspace: Buffer,
    upload: Buffer,
    download: Buffer,
}

impl Frames {
    /// Plans which values follow each other in a buffer, and compiles all kernels.
    pub fn new(net: Network) -> Result<Self> {
        let gpu = net.gpu.clone().ok_or("recording takes a device")?;
        let bytes_of = |value: Value| 4 * net.shapes[value].iter().product::<usize>().max(1) as u64;
        let (mut places, mut sizes, mut workspace) = (BTreeMap::from([(0, 0)]), vec![bytes_of(0)], 4);
        let last = net.last_uses();
        for (at, layer) in net.layers.iter().enumerate() {
            let needed = places.iter().filter(|(value, _)| last[**value] >= at).map(|(_, place)| *place);
            let needed: BTreeSet<usize> = needed.collect();
            let (slots, bytes) = (layer.operator.slots_on(gpu.capabilities()), bytes_of(layer.output));
            let of_workspace = slots.iter().filter(|slot| slot.group == Group::Workspace);
            workspace = of_workspace.map(|slot| slot.slot.bytes()).fold(workspace, u64::max);
            // The smallest free buffer that is large enough; where none is, the largest grows.
            let free = (0..sizes.len()).filter(|place| !needed.contains(place));
            let best = free.min_by_key(|&place| (sizes[place] < bytes, sizes[place].abs_diff(bytes)));
            let is_view = slots.iter().any(|slot| slot.slot.role() == Role::View);
            let viewed = layer.inputs.first().and_then(|(_, value)| places.get(value)).filter(|_| is_view);
            let place = viewed.copied().or(best).unwrap_or(sizes.len());
            sizes.resize(sizes.len().max(place + 1), 0);
            sizes[place] = bytes.max(sizes[place]);
            places.insert(layer.output, place);
        }
        gpu.warm_up(&net.layers.iter().map(|layer| &*layer.operator).collect::<Vec<_>>())?;
        let buffer = |size, usage, mapped_at_creation| {
            gpu.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation })
        };
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffers = sizes.iter().map(|&size| buffer(size, storage, false)).collect();
        let workspace = buffer(workspace, storage, false);
        let upload = buffer(bytes_of(0), BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC, true);
        let download = buffer(bytes_of(net.output), BufferUsages::MAP_READ | BufferUsages::COPY_DST, false);
        Ok(Frames { net, gpu, places, buffers, workspace, upload, download })
    }

    pub fn memory(&self) -> impl Iterator<Item = u64> {
        self.buffers.iter().chain([&self.workspace, &self.upload, &self.download]).map(Buffer::size)
    }

    pub fn run(&self, input: &[f32]) -> Result<Vec<f32>> {
        if 4 * input.len().max(1) as u64 != self.upload.size() {
            return Err(format!("{} numbers, expected the input of shape {:?}", input.len(), self.net.shapes[0]).into());
        }
        self.upload.get_mapped_range_mut(..)?.slice(..4 * input.len()).copy_from_slice(bytemuck::cast_slice(input));
        self.upload.unmap();
        let mut encoder = self.gpu.device().create_command_encoder(&CommandEncoderDescriptor::default());
        encoder.copy_buffer_to_buffer(&self.upload, 0, &self.buffers[0], 0, self.upload.size());
        let mut recorder = self.gpu.record(&mut encoder);
        for layer in &self.net.layers {
            let slice = |value| match self.places.get(&value) {
                Some(&place) => Ok(self.buffers[place].slice(..)),
                None => self.net.tensors[&value].slice(),
            };
            let inputs = layer.inputs.iter().map(|(name, value)| Ok((*name, slice(*value)?)));
            let mut buffers = inputs.collect::<Result<Vec<_>>>()?;
            buffers.push(("output".into(), slice(layer.output)?));
            buffers.push(("workspace".into(), self.workspace.slice(..)));
            layer.operator.record_by_name(&mut recorder, &buffers)?;
        }
        drop(recorder);
        let place = self.places.get(&self.net.output).ok_or("what a network returns is a layer's")?;
        encoder.copy_buffer_to_buffer(&self.buffers[*place], 0, &self.download, 0, self.download.size());
        self.gpu.queue().submit([encoder.finish()]);
        self.download.map_async(MapMode::Read, .., |_| {});
        self.upload.map_async(MapMode::Write, .., |_| {});
        self.gpu.device().poll(PollType::wait_indefinitely())?;
        let bytes = 4 * self.net.shapes[self.net.output].iter().product::<usize>();
        let output = bytemuck::pod_collect_to_vec(&self.download.get_mapped_range(..)?[..bytes]);
        self.download.unmap();
        Ok(output)
    }
}
