//! Operators recorded on buffers of the test's own: outputs are NaN before, and the bytes around every buffer's slice
//! must come back as they were.

use ndarray::{ArrayD, IxDyn};
use wgdnn::wgpu::{self, util::DeviceExt};
use wgdnn::{
    AvgPool2d, AvgPool2dBuffers, BatchNorm, BatchNormArguments, BatchNormBuffers, Conv2d, Conv2dBuffers,
    ConvTranspose2d, ConvTranspose2dBuffers, CrossEntropy, CrossEntropyBuffers, CrossEntropyTarget, Gpu, MaxPool2d,
    MaxPool2dBuffers, MseLoss, MseLossBuffers, Operator, Recorder, RoiPool, RoiPoolBuffers, Sigmoid, SigmoidBuffers,
    Tensor,
};

use crate::api::expect_recording_only;
use crate::cases::{Call, Refusal, class_indices};
use crate::harness::Outputs;

/// Words before and behind a slice: 256 bytes, the coarsest alignment of offsets that WebGPU allows.
const GUARD: usize = 64;
const CANARY: u32 = 0xC0FF_EE11;
/// A NaN with a payload that no operator makes.
const UNWRITTEN: u32 = 0x7FC0_DEAD;

/// A buffer with canaries on both sides.
struct Guarded {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    shape: Vec<usize>,
    /// What an input must still hold afterwards.
    data: Option<Vec<u32>>,
}

impl Guarded {
    fn new(gpu: &Gpu, shape: &[usize], data: Option<Vec<u32>>) -> Self {
        let words = shape.iter().product::<usize>().max(1);
        let mut content = vec![CANARY; words + 2 * GUARD];
        match &data {
            Some(data) => content[GUARD..GUARD + data.len()].copy_from_slice(data),
            None => content[GUARD..GUARD + words].fill(UNWRITTEN),
        }
        let bytes: Vec<u8> = content.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let buffer = gpu.device().create_buffer_init(&wgpu::util::BufferInitDescriptor {
            label: Some("test"),
            contents: &bytes,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
        });
        Guarded { gpu: gpu.clone(), buffer, shape: shape.to_vec(), data }
    }

    fn input(gpu: &Gpu, array: &ArrayD<f32>) -> Self {
        Self::new(gpu, array.shape(), Some(array.iter().map(|x| x.to_bits()).collect()))
    }

    fn integers(gpu: &Gpu, shape: &[usize], data: impl IntoIterator<Item = i32>) -> Self {
        Self::new(gpu, shape, Some(data.into_iter().map(i32::cast_unsigned).collect()))
    }

    fn output(gpu: &Gpu, shape: &[usize]) -> Self {
        Self::new(gpu, shape, None)
    }

    fn workspace(gpu: &Gpu, bytes: u64) -> Option<Self> {
        (bytes > 0).then(|| Self::output(gpu, &[bytes as usize / 4]))
    }

    fn slice(&self) -> wgpu::BufferSlice<'_> {
        let words = self.shape.iter().product::<usize>().max(1);
        self.buffer.slice(GUARD as u64 * 4..(GUARD + words) as u64 * 4)
    }

    /// What the slice holds, after a look at what is around it.
    fn words(&self) -> Vec<u32> {
        let all = [self.buffer.size() as usize / 4];
        let all: Tensor<i32> = Tensor::from_buffer(&self.gpu, self.buffer.clone(), 0, &all).unwrap();
        let mut words: Vec<u32> = all.read_blocking().unwrap().iter().map(|&word| word.cast_unsigned()).collect();
        let behind = words.split_off(words.len() - GUARD);
        let inside = words.split_off(GUARD);
        for canary in words.iter().chain(&behind) {
            assert_eq!(*canary, CANARY, "written outside of the slice");
        }
        if let Some(data) = &self.data {
            assert_eq!(&inside[..data.len()], data, "an input was written");
        }
        inside
    }

    fn floats(&self) -> ArrayD<f32> {
        let words = self.words().into_iter().map(f32::from_bits);
        ArrayD::from_shape_vec(IxDyn(&self.shape), words.take(self.shape.iter().product()).collect()).unwrap()
    }

    fn integers_back(&self) -> ArrayD<i32> {
        let words = self.words().into_iter().map(u32::cast_signed);
        ArrayD::from_shape_vec(IxDyn(&self.shape), words.take(self.shape.iter().product()).collect()).unwrap()
    }
}

/// Records a call, submits it and reads what came out.
pub fn run(call: &Call, gpu: &Gpu) -> Result<Outputs, Refusal> {
    let input = |array: &ArrayD<f32>| Guarded::input(gpu, array);
    let optional = |array: &Option<ArrayD<f32>>| array.as_ref().map(input);
    let output = |shape: &[usize]| Guarded::output(gpu, shape);
    // Recorded twice into one encoder, the second time into a pass of the caller's: it finds outputs and workspace as
    // the first left them. Neither may do anything but record.
    let submit = |operator: &dyn Operator, record: &dyn Fn(&mut Recorder<'_>) -> wgdnn::Result<()>, times: usize| {
        gpu.warm_up(&[operator])?;
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut recorder = gpu.record(&mut encoder);
        expect_recording_only(|| record(&mut recorder)).0?;
        drop(recorder);
        if times == 2 {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            expect_recording_only(|| record(&mut gpu.record_in_pass(&mut pass))).0?;
        }
        gpu.queue().submit([encoder.finish()]);
        Ok::<_, Refusal>(())
    };

    let mut outputs = Outputs::new();
    match call {
        Call::MaxPool2d { input: array, params } => {
            let operator = MaxPool2d::new(array.shape(), params)?;
            let (input, output) = (input(array), output(&operator.output_shape()));
            let indices = params.return_indices.then(|| Guarded::output(gpu, &operator.output_shape()));
            let buffers = MaxPool2dBuffers {
                input: input.slice(),
                output: output.slice(),
                indices: indices.as_ref().map(Guarded::slice),
            };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            input.words();
            outputs.insert("output", output.floats().into());
            outputs.extend(indices.map(|indices| ("indices", indices.integers_back().into())));
        }
        Call::AvgPool2d { input: array, params } => {
            let operator = AvgPool2d::new(array.shape(), params)?;
            let (input, output) = (input(array), output(&operator.output_shape()));
            let buffers = AvgPool2dBuffers { input: input.slice(), output: output.slice() };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            input.words();
            outputs.insert("output", output.floats().into());
        }
        Call::Conv2d { input: array, weight, bias, params } => {
            let shape = bias.as_ref().map(|bias| bias.shape());
            let operator = Conv2d::new(array.shape(), weight.shape(), shape, params)?;
            let (input, weight, bias) = (input(array), input(weight), optional(bias));
            let output = output(&operator.output_shape());
            let workspace = Guarded::workspace(gpu, operator.workspace_size());
            let buffers = Conv2dBuffers {
                input: input.slice(),
                weight: weight.slice(),
                bias: bias.as_ref().map(Guarded::slice),
                output: output.slice(),
                workspace: workspace.as_ref().map(Guarded::slice),
            };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            for guarded in [Some(&input), Some(&weight), bias.as_ref(), workspace.as_ref()].into_iter().flatten() {
                guarded.words();
            }
            let words = output.words();
            outputs.insert("output", output.floats().into());

            // A weight that was packed once gives the same bits.
            let operator = operator.with_packed_weight();
            let bytes = operator.packed_weight_size_on(gpu);
            if bytes > 0 {
                operator.warm_up(gpu)?;
                let packed_weight = Guarded::output(gpu, &[bytes as usize / 4]);
                let output = Guarded::output(gpu, &operator.output_shape());
                let workspace = Guarded::workspace(gpu, operator.workspace_size_on(gpu));
                let workspace = workspace.as_ref().map(Guarded::slice);
                let buffers = Conv2dBuffers { output: output.slice(), workspace, ..buffers };
                let record = |recorder: &mut Recorder<'_>| {
                    operator.record_pack_weight(recorder, weight.slice(), packed_weight.slice())?;
                    operator.record_packed(recorder, &buffers, packed_weight.slice())
                };
                submit(&operator, &record, 2)?;
                packed_weight.words();
                if output.words() != words {
                    return Err(Refusal::BadCase("a packed weight gives other bits".into()));
                }
            }
        }
        Call::ConvTranspose2d { input: array, weight, bias, params } => {
            let shape = bias.as_ref().map(|bias| bias.shape());
            let operator = ConvTranspose2d::new(array.shape(), weight.shape(), shape, params)?;
            let (input, weight, bias) = (input(array), input(weight), optional(bias));
            let output = output(&operator.output_shape());
            let workspace = Guarded::workspace(gpu, operator.workspace_size());
            let buffers = ConvTranspose2dBuffers {
                input: input.slice(),
                weight: weight.slice(),
                bias: bias.as_ref().map(Guarded::slice),
                output: output.slice(),
                workspace: workspace.as_ref().map(Guarded::slice),
            };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            for guarded in [Some(&input), Some(&weight), bias.as_ref(), workspace.as_ref()].into_iter().flatten() {
                guarded.words();
            }
            outputs.insert("output", output.floats().into());
        }
        // Nothing is recorded for it.
        Call::Flatten { .. } => return call.run_eager(gpu),
        Call::Sigmoid { input: array } => {
            let operator = Sigmoid::new(array.shape())?;
            let (input, output) = (input(array), output(&operator.output_shape()));
            let buffers = SigmoidBuffers { input: input.slice(), output: output.slice() };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            input.words();
            outputs.insert("output", output.floats().into());
        }
        Call::RoiPool { input: array, boxes, params } => {
            let operator = RoiPool::new(array.shape(), &boxes.view(), params)?;
            let (input, output) = (input(array), output(&operator.output_shape()));
            let table = operator.bins();
            let bins = Guarded::integers(gpu, &[table.len()], table);
            let buffers = RoiPoolBuffers { input: input.slice(), bins: bins.slice(), output: output.slice() };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            input.words();
            bins.words();
            outputs.insert("output", output.floats().into());
        }
        Call::BatchNorm { input: array, arguments, params } => {
            let given = arguments.as_ref();
            let shape = |array: Option<&'_ ArrayD<f32>>| array.map(|array| array.shape().to_vec());
            let shapes = [shape(given.running_mean), shape(given.running_var), shape(given.weight), shape(given.bias)];
            let shapes = BatchNormArguments {
                running_mean: shapes[0].as_deref(),
                running_var: shapes[1].as_deref(),
                weight: shapes[2].as_deref(),
                bias: shapes[3].as_deref(),
            };
            let operator = BatchNorm::new(array.shape(), &shapes, params)?;
            let (input, output) = (input(array), output(&operator.output_shape()));
            let mut running = [optional(&arguments.running_mean), optional(&arguments.running_var)];
            if params.training {
                // They are to be written.
                running.iter_mut().flatten().for_each(|guarded| guarded.data = None);
            }
            let [running_mean, running_var] = &running;
            let (weight, bias) = (optional(&arguments.weight), optional(&arguments.bias));
            let workspace = Guarded::workspace(gpu, operator.workspace_size_on(gpu));
            let buffers = BatchNormBuffers {
                input: input.slice(),
                arguments: BatchNormArguments {
                    running_mean: running_mean.as_ref().map(Guarded::slice),
                    running_var: running_var.as_ref().map(Guarded::slice),
                    weight: weight.as_ref().map(Guarded::slice),
                    bias: bias.as_ref().map(Guarded::slice),
                },
                output: output.slice(),
                workspace: workspace.as_ref().map(Guarded::slice),
            };
            // A second run would update the running statistics again.
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 1)?;
            for guarded in [Some(&input), weight.as_ref(), bias.as_ref(), workspace.as_ref()].into_iter().flatten() {
                guarded.words();
            }
            for (name, running) in [("running_mean", running_mean), ("running_var", running_var)] {
                outputs.extend(running.as_ref().map(|running| (name, running.floats().into())));
            }
            outputs.insert("output", output.floats().into());
        }
        Call::CrossEntropy { input: array, target, weight, params } => {
            let classes = match target {
                CrossEntropyTarget::Classes(classes) => Some(classes.iter().copied().collect::<Vec<_>>()),
                CrossEntropyTarget::Probabilities(_) => None,
            };
            let (target, shape, params) = match target {
                CrossEntropyTarget::Classes(classes) => {
                    let (classes, params) = class_indices(classes, params);
                    let shape = classes.shape().to_vec();
                    (Guarded::integers(gpu, &shape, classes), CrossEntropyTarget::Classes(shape), params)
                }
                CrossEntropyTarget::Probabilities(array) => {
                    (input(array), CrossEntropyTarget::Probabilities(array.shape().to_vec()), *params)
                }
            };
            let shapes = match &shape {
                CrossEntropyTarget::Classes(shape) => CrossEntropyTarget::Classes(&shape[..]),
                CrossEntropyTarget::Probabilities(shape) => CrossEntropyTarget::Probabilities(&shape[..]),
            };
            let weight_shape = weight.as_ref().map(|weight| weight.shape());
            let operator = CrossEntropy::new(array.shape(), shapes, weight_shape, &params)?;
            // Of what is in a caller's buffers nobody else knows.
            if let Some(classes) = classes {
                operator.check_classes(classes)?;
            }
            let (input, weight) = (input(array), optional(weight));
            let output = output(&operator.output_shape());
            let workspace = Guarded::workspace(gpu, operator.workspace_size());
            let buffers = CrossEntropyBuffers {
                input: input.slice(),
                target: target.slice(),
                weight: weight.as_ref().map(Guarded::slice),
                output: output.slice(),
                workspace: workspace.as_ref().map(Guarded::slice),
            };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            for guarded in [Some(&input), Some(&target), weight.as_ref(), workspace.as_ref()].into_iter().flatten() {
                guarded.words();
            }
            outputs.insert("output", output.floats().into());
        }
        Call::MseLoss { input: array, target, params } => {
            let operator = MseLoss::new(array.shape(), target.shape(), params)?;
            let (input, target) = (input(array), input(target));
            let output = output(&operator.output_shape());
            let workspace = Guarded::workspace(gpu, operator.workspace_size());
            let buffers = MseLossBuffers {
                input: input.slice(),
                target: target.slice(),
                output: output.slice(),
                workspace: workspace.as_ref().map(Guarded::slice),
            };
            submit(&operator, &|recorder| operator.record(recorder, &buffers), 2)?;
            for guarded in [Some(&input), Some(&target), workspace.as_ref()].into_iter().flatten() {
                guarded.words();
            }
            outputs.insert("output", output.floats().into());
        }
    }
    Ok(outputs)
}
