//! Operators recorded on buffers of the test's own: outputs are NaN before, and the bytes around every buffer's slice
//! must come back as they were.

use ndarray::{ArrayD, IxDyn};
use wgdnn::operator::{AnyArray, AnyOperator, FlatSlot, FloatOrInteger, Group, Name};
use wgdnn::wgpu::{self, util::DeviceExt};
use wgdnn::{Gpu, Recorder, Role, Tensor};

use crate::api::expect_recording_only;
use crate::harness::Outputs;
use wgdnn::cases::{Call, CaseArray, Refusal, key_of};

/// Words before and behind a slice: 256 bytes, the coarsest alignment of offsets that WebGPU allows.
const GUARD: usize = 64;
const CANARY: u32 = 0xC0FF_EE11;
/// A NaN with a payload that no operator makes.
const UNWRITTEN: u32 = 0x7FC0_DEAD;
/// What outputs and workspace may hold before: NaN, zeros, all bits, infinity, and 1.
pub const DIRT: [u32; 5] = [UNWRITTEN, 0, u32::MAX, 0x7F80_0000, 0x3F80_0000];

/// An argument in a buffer with canaries on both sides.
struct Guarded {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    argument: FlatSlot,
    /// What it holds before, if it is an input.
    data: Option<Vec<u32>>,
}

impl Guarded {
    fn new(gpu: &Gpu, argument: &FlatSlot, arrays: &[(Name, AnyArray)], fill: u32) -> Self {
        let array = arrays.iter().find(|(name, _)| *name == argument.name);
        let data = array.map(|(_, array)| match array {
            FloatOrInteger::Float(array) => array.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
            FloatOrInteger::Integer(array) => array.iter().map(|x| x.cast_unsigned()).collect(),
        });
        let words = argument.slot.bytes() as usize / 4;
        let mut content = vec![CANARY; words + 2 * GUARD];
        match &data {
            Some(data) => content[GUARD..GUARD + data.len()].copy_from_slice(data),
            None => content[GUARD..GUARD + words].fill(fill),
        }
        let bytes: Vec<u8> = content.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let buffer = gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("test"),
            contents: &bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        });
        Guarded { gpu: gpu.clone(), buffer, argument: argument.clone(), data }
    }

    fn slice(&self) -> wgpu::BufferSlice<'_> {
        let begin = GUARD as u64 * 4;
        self.buffer.slice(begin..begin + self.argument.slot.bytes())
    }

    /// What the slice holds, after a look at what is around it.
    fn words(&self) -> Vec<u32> {
        let all = [self.buffer.size() as usize / 4];
        let all: Tensor<i32> = Tensor::from_buffer(&self.gpu, self.buffer.clone(), 0, &all).unwrap();
        let mut words: Vec<u32> = all.read_blocking().unwrap().iter().map(|&word| word.cast_unsigned()).collect();
        let behind = words.split_off(words.len() - GUARD);
        let inside = words.split_off(GUARD);
        let name = self.argument.name;
        for canary in words.iter().chain(&behind) {
            assert_eq!(*canary, CANARY, "written outside of {name}");
        }
        if let (Role::Read, Some(data)) = (self.argument.slot.role(), &self.data) {
            assert_eq!(&inside[..data.len()], data, "{name} is read, and was written");
        }
        inside
    }
}

/// A slot's array, out of words.
fn array_of(slot: &FlatSlot, words: Vec<u32>) -> CaseArray {
    let shape = slot.slot.shape();
    let words = words.into_iter().take(shape.iter().product());
    if slot.slot.is_integer() {
        ArrayD::from_shape_vec(IxDyn(shape), words.map(u32::cast_signed).collect()).unwrap().into()
    } else {
        ArrayD::from_shape_vec(IxDyn(shape), words.map(f32::from_bits).collect()).unwrap().into()
    }
}

/// An operator with the buffers that it is recorded on, in the order of its arguments.
type Recording<'a> = (&'a dyn AnyOperator, Vec<(Name, wgpu::BufferSlice<'a>)>);

/// Records operators into one encoder, if `twice` a second time into a pass of the caller's, and submits it. The second time
/// finds outputs and workspace as the first left them. Neither may do anything but record.
fn submit(gpu: &Gpu, recordings: &[Recording<'_>], twice: bool) -> Result<(), Refusal> {
    for (operator, _) in recordings {
        gpu.warm_up(&[*operator])?;
    }
    let record = |recorder: &mut Recorder<'_>| {
        recordings.iter().try_for_each(|(operator, buffers)| operator.record_by_name(recorder, buffers))
    };
    let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let mut recorder = gpu.record(&mut encoder);
    expect_recording_only(|| record(&mut recorder)).0?;
    drop(recorder);
    if twice {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        expect_recording_only(|| record(&mut gpu.record_in_pass(&mut pass))).0?;
    }
    gpu.queue().submit([encoder.finish()]);
    Ok(())
}

/// Records a call, and before it what packs arguments of it, submits it and reads what came out.
pub fn run(call: &Call, gpu: &Gpu) -> Result<Outputs, Refusal> {
    run_with(call, gpu, &[])
}

/// [`run`] with these inputs in the output's own buffer; all hold the same.
pub fn run_with(call: &Call, gpu: &Gpu, in_output: &[Name]) -> Result<Outputs, Refusal> {
    let (operator, on) = (call.operator(), gpu.capabilities());
    let companions = operator.companions_on(on);
    let mut guarded: Vec<Guarded> = Vec::new();
    let mut viewed = None;
    // Arguments of the companions are the call's own, or packed for it.
    for slot in operator.slots_on(on) {
        match slot.slot.role() {
            Role::Unused => {}
            Role::View => viewed = Some(slot),
            _ if in_output.contains(&slot.name) => {}
            _ if slot.name == "output".into() && !in_output.is_empty() => {
                let input = call.arrays().iter().find(|(name, _)| *name == in_output[0]).expect("an input");
                guarded.push(Guarded::new(gpu, &slot, &[(slot.name, input.1.clone())], UNWRITTEN));
            }
            _ => guarded.push(Guarded::new(gpu, &slot, call.arrays(), UNWRITTEN)),
        }
    }
    let find = |name: Name| guarded.iter().find(|guarded| guarded.argument.name == name).expect("a buffer");
    let mut recordings: Vec<Recording<'_>> = Vec::new();
    for companion in &companions {
        let slots = companion.slots_on(on);
        recordings.push((&**companion, slots.iter().map(|slot| (slot.name, find(slot.name).slice())).collect()));
    }
    let mut buffers: Vec<_> = guarded.iter().map(|guarded| (guarded.argument.name, guarded.slice())).collect();
    buffers.extend(in_output.iter().map(|name| (*name, find("output".into()).slice())));
    buffers.extend(viewed.as_ref().map(|slot| (slot.name, guarded[0].slice())));
    recordings.push((operator, buffers));
    // A second run would update again.
    let updates = !in_output.is_empty() || guarded.iter().any(|guarded| guarded.argument.slot.role() == Role::Update);
    submit(gpu, &recordings, !updates)?;

    let mut outputs = Outputs::new();
    for guarded in &guarded {
        let (words, slot) = (guarded.words(), &guarded.argument);
        if slot.group == Group::Output || slot.slot.role() == Role::Update {
            outputs.insert(key_of(slot.name), array_of(slot, words));
        }
    }
    outputs.extend(viewed.map(|slot| (key_of(slot.name), array_of(&slot, guarded[0].words()))));
    Ok(outputs)
}

/// What a call gives that is recorded several times into one encoder, each time on outputs and a workspace of its own that
/// hold one of these words before. What it updates is what its arrays are, each time. Nothing is packed for it.
pub fn run_on_dirt(call: &Call, gpu: &Gpu, dirt: &[u32]) -> Result<Vec<Outputs>, Refusal> {
    let (operator, on) = (call.operator(), gpu.capabilities());
    let mut slots = operator.slots_on(on);
    assert!(operator.companions_on(on).is_empty());
    slots.retain(|slot| slot.slot.role() != Role::Unused);
    let (inputs, others): (Vec<_>, Vec<_>) = slots.into_iter().partition(|slot| slot.slot.role() == Role::Read);
    let (views, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|slot| slot.slot.role() == Role::View);
    let guard = |slots: &[FlatSlot], fill| {
        slots.iter().map(|slot| Guarded::new(gpu, slot, call.arrays(), fill)).collect::<Vec<_>>()
    };
    let inputs = guard(&inputs, UNWRITTEN);
    let dirty: Vec<_> = dirt.iter().map(|&fill| guard(&others, fill)).collect();
    let recordings = dirty.iter().map(|others| {
        let buffers = inputs.iter().chain(others).map(|guarded| (guarded.argument.name, guarded.slice()));
        let buffers = buffers.chain(views.iter().map(|view| (view.name, inputs[0].slice())));
        (operator, buffers.collect())
    });
    submit(gpu, &recordings.collect::<Vec<_>>(), false)?;
    let held: Vec<_> = inputs.iter().map(Guarded::words).collect();
    let outputs = dirty.iter().map(|others| {
        let made = others.iter().filter(|other| other.argument.group != Group::Workspace);
        let made = made.map(|output| (key_of(output.argument.name), array_of(&output.argument, output.words())));
        made.chain(views.iter().map(|view| (key_of(view.name), array_of(view, held[0].clone())))).collect()
    });
    Ok(outputs.collect())
}
