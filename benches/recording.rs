//! The CPU time of recording: a chain of 50 small operators into one encoder, as a program does in every frame.
//!
//! `cargo bench --features gpu --bench recording`. The times are of 50 operators.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use wgdnn::wgpu::{Buffer, BufferDescriptor, BufferUsages, CommandEncoder, PollType};
use wgdnn::{
    BatchNorm, BatchNormInputs, BatchNormOutputs, BatchNormParams, Conv2d, Conv2dInputs, Conv2dOutputs, Conv2dParams,
    Gpu, MaxPool2d, MaxPool2dInputs, MaxPool2dOutputs, MaxPool2dParams, Operator, Recorder, Result, Sigmoid,
    UnaryInputs, UnaryOutputs,
};

/// A sigmoid of a sigmoid of.., and a chain of all kinds, between two buffers.
struct Chains {
    gpu: Gpu,
    buffers: [Buffer; 2],
    weight: Buffer,
    channels: Buffer,
    workspace: Buffer,
    sigmoid: Sigmoid,
    conv2d: Conv2d,
    batch_norm: BatchNorm,
    max_pool2d: MaxPool2d,
}

type Step = fn(&Chains, &mut Recorder<'_>, usize) -> Result<()>;

const SHAPE: [usize; 4] = [1, 8, 16, 16];

impl Chains {
    fn new() -> Result<Self> {
        let gpu = Gpu::new_blocking()?;
        let shape = &SHAPE[..];
        let conv_params = Conv2dParams { padding: [1, 1].into(), ..Default::default() };
        let pool_params =
            MaxPool2dParams { stride: Some([1, 1]), padding: [1, 1].into(), ..MaxPool2dParams::new([3, 3]) };
        let running = Some(&[8][..]);
        let given = BatchNormInputs { running_mean: running, running_var: running, ..BatchNormInputs::new(shape) };
        let (sigmoid, conv2d) = (Sigmoid::new(shape)?, Conv2d::new(shape, &[8, 8, 3, 3], None, &conv_params)?);
        let batch_norm = BatchNorm::new(&given, &BatchNormParams::default())?;
        let max_pool2d = MaxPool2d::new(shape, &pool_params)?;
        gpu.warm_up(&[&sigmoid, &conv2d, &batch_norm, &max_pool2d])?;
        let buffer = |size| {
            let usage = BufferUsages::STORAGE;
            gpu.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
        };
        let bytes = 4 * shape.iter().product::<usize>() as u64;
        let workspace = buffer(batch_norm.workspace_size(&gpu).max(4));
        let (buffers, weight, channels) = ([buffer(bytes), buffer(bytes)], buffer(4 * 8 * 8 * 9), buffer(4 * 8));
        Ok(Chains { buffers, weight, channels, workspace, sigmoid, conv2d, batch_norm, max_pool2d, gpu })
    }

    fn record(&self, encoder: &mut CommandEncoder, operator: Step) {
        let mut recorder = self.gpu.record(encoder);
        for step in 0..50 {
            operator(self, &mut recorder, step).expect("the buffers are right");
        }
    }

    /// One dispatch each.
    fn sigmoids(&self, recorder: &mut Recorder<'_>, step: usize) -> Result<()> {
        let [input, output] = [0, 1].map(|side| self.buffers[(step + side) % 2].slice(..));
        self.sigmoid.record(recorder, &UnaryInputs { input }, &UnaryOutputs { output }, None)
    }

    /// Convolution, batch norm (two dispatches), sigmoid and pooling, in turn.
    fn mixed(&self, recorder: &mut Recorder<'_>, step: usize) -> Result<()> {
        let [input, output] = [0, 1].map(|side| self.buffers[(step + side) % 2].slice(..));
        match step % 4 {
            0 => {
                let weight = self.weight.slice(..);
                self.conv2d.record(recorder, &Conv2dInputs::new(input, weight), &Conv2dOutputs { output }, None)
            }
            1 => {
                // One buffer serves both, since they are only read.
                let running = Some(self.channels.slice(..));
                let inputs =
                    BatchNormInputs { running_mean: running, running_var: running, ..BatchNormInputs::new(input) };
                let workspace = Some(self.workspace.slice(..));
                self.batch_norm.record(recorder, &inputs, &BatchNormOutputs::new(output), workspace)
            }
            2 => self.sigmoid.record(recorder, &UnaryInputs { input }, &UnaryOutputs { output }, None),
            _ => {
                let outputs = MaxPool2dOutputs::new(output);
                self.max_pool2d.record(recorder, &MaxPool2dInputs { input }, &outputs, None)
            }
        }
    }
}

fn recording(criterion: &mut Criterion) {
    let chains = Chains::new().expect("a GPU");
    let encoder = || chains.gpu.device().create_command_encoder(&Default::default());
    let idle = || chains.gpu.device().poll(PollType::wait_indefinitely()).expect("no timeout");
    for (name, operator) in [("sigmoid x 50", Chains::sigmoids as Step), ("mixed x 50", Chains::mixed)] {
        let mut group = criterion.benchmark_group(name);
        group.bench_function("record", |bencher| {
            bencher.iter_batched_ref(encoder, |encoder| chains.record(encoder, operator), BatchSize::PerIteration);
        });
        let recorded = || {
            let mut encoder = encoder();
            chains.record(&mut encoder, operator);
            encoder
        };
        group.bench_function("record and finish", |bencher| bencher.iter(|| recorded().finish()));
        group.bench_function("submit", |bencher| {
            let finished = || {
                idle();
                recorded().finish()
            };
            bencher.iter_batched(finished, |buffer| chains.gpu.queue().submit([buffer]), BatchSize::PerIteration);
        });
        group.finish();
        idle();
    }
}

criterion_group!(benches, recording);
criterion_main!(benches);
