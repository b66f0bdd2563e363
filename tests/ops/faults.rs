//! Devices that are lost, and things that are dropped when they should not be.

pub mod memory;

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ndarray::{ArrayD, array};
use wgdnn::wgpu::{self, BufferUsages};
use wgdnn::{
    Conv2dParams, Error, Gpu, Operator, Result, Sigmoid, Tensor, UnaryInputs, UnaryOutputs, conv2d, flatten, sigmoid,
};

use crate::harness::{portable_gpu, random};

/// What takes longer than this on a lost device hangs. Calls are to end within a second, and do within milliseconds; a
/// busy machine must not make that a failure.
const HANGS: Duration = Duration::from_secs(10);

/// A device that a program made for itself, with nothing of ours on it: wgpu's own handler panics at any error that no
/// scope of ours has caught.
fn callers_gpu() -> Gpu {
    let adapter = pollster::block_on(Gpu::adapters()).into_iter().next().unwrap();
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).unwrap();
    Gpu::from_wgpu(device, queue)
}

/// A read-back that has been started, and is awaited later.
type Reading = Pin<Box<dyn Future<Output = Result<ArrayD<f32>>>>>;

/// Polls a read-back once.
fn is_done(read: &mut Pin<Box<impl Future<Output = Result<ArrayD<f32>>>>>) -> bool {
    read.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// What a program does in 10 steps, some number of times over.
#[derive(Default)]
struct Program {
    image: Option<Tensor>,
    features: Option<Tensor>,
    reading: Option<Reading>,
    encoder: Option<wgpu::CommandEncoder>,
    commands: Option<wgpu::CommandBuffer>,
}

impl Program {
    const STEPS: usize = 10;

    fn step(&mut self, gpu: &Gpu, step: usize) -> Result<()> {
        let needs = |tensor: &Option<Tensor>| tensor.clone();
        match step % Self::STEPS {
            0 => self.image = Some(Tensor::from_array(gpu, &random(&[1, 2, 6, 6], step as u64))?),
            1 => {
                let Some(image) = needs(&self.image) else { return Ok(()) };
                let weight = Tensor::from_array(gpu, &random(&[2, 2, 3, 3], 5))?;
                self.features = Some(conv2d(&image, &weight, None, &Conv2dParams::default())?);
            }
            2 => {
                let Some(features) = needs(&self.features) else { return Ok(()) };
                self.features = Some(sigmoid(&features)?);
            }
            3 => gpu.submit()?,
            4 => {
                let Some(features) = needs(&self.features) else { return Ok(()) };
                let mut reading: Reading = Box::pin(async move { features.read().await });
                match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(result) => drop(result?),
                    Poll::Pending => self.reading = Some(reading),
                }
            }
            5 => {
                if let Some(reading) = self.reading.take() {
                    pollster::block_on(reading)?;
                }
            }
            6 => self.encoder = Some(gpu.device().create_command_encoder(&Default::default())),
            7 => {
                let (Some(encoder), Some(image)) = (&mut self.encoder, &self.image) else { return Ok(()) };
                let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
                let descriptor = wgpu::BufferDescriptor { label: None, size: 288, usage, mapped_at_creation: false };
                let output = gpu.device().create_buffer(&descriptor);
                let inputs = UnaryInputs { input: image.slice()? };
                let outputs = UnaryOutputs { output: output.slice(..) };
                Sigmoid::new(&[72])?.record(&mut gpu.record(encoder), &inputs, &outputs, None)?;
            }
            8 => self.commands = self.encoder.take().map(wgpu::CommandEncoder::finish),
            _ => {
                // The caller's own submit. On a lost device it does nothing.
                gpu.queue().submit(self.commands.take());
                if let Some(features) = &self.features {
                    features.read_blocking()?;
                }
            }
        }
        Ok(())
    }
}

#[track_caller]
fn expect_lost<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
}

/// The longest that calls of one test took on lost devices.
#[derive(Default)]
struct Slowest(Cell<Duration>);

impl Slowest {
    /// Runs `call`, which may not hang.
    #[track_caller]
    fn time<T>(&self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = call();
        assert!(start.elapsed() < HANGS, "took {:?}", start.elapsed());
        self.0.set(self.0.get().max(start.elapsed()));
        result
    }
}

impl Drop for Slowest {
    fn drop(&mut self) {
        println!("the slowest call on a lost device took {:?}", self.0.get());
    }
}

/// Every call on a device that is known to be lost.
fn expect_all_calls_fail(gpu: &Gpu, tensor: &Tensor, slowest: &Slowest) {
    slowest.time(|| {
        expect_lost(gpu.submit());
        expect_lost(Tensor::from_array(gpu, &array![1.0]));
        expect_lost(sigmoid(tensor));
        expect_lost(tensor.read_blocking());
        expect_lost(pollster::block_on(tensor.read()));
        expect_lost(Sigmoid::new(&[4]).unwrap().warm_up(gpu));
        let flat = flatten(tensor, &Default::default());
        expect_lost(flat.and_then(|flat| flat.read_blocking()));
    });
}

#[test]
fn a_device_destroyed_at_any_of_50_points_is_a_typed_error() {
    let slowest = Slowest::default();
    for make in [portable_gpu, callers_gpu] {
        for point in 0..50 {
            let gpu = make();
            let input = Tensor::from_array(&gpu, &array![0.5]).unwrap();
            let mut program = Program::default();
            for step in 0..50 {
                if step == point {
                    gpu.device().destroy();
                }
                let result =
                    if step < point { program.step(&gpu, step) } else { slowest.time(|| program.step(&gpu, step)) };
                match result {
                    Ok(()) => {}
                    Err(Error::DeviceLost { .. }) if step >= point => {}
                    Err(error) => panic!("destroyed before step {point}, step {step}: {error}"),
                }
            }
            // Whatever was known until now, this has to find out, and from then on all fail at once.
            slowest.time(|| expect_lost(input.read_blocking()));
            expect_all_calls_fail(&gpu, &input, &slowest);
        }
    }
    // The adapter is as good as ever.
    let gpu = portable_gpu();
    let output = sigmoid(&Tensor::from_array(&gpu, &array![0.0]).unwrap()).unwrap();
    assert_eq!(output.read_blocking().unwrap()[0], 0.5);
}

/// Destroyed by another thread, at whatever point this one has come to.
#[test]
fn a_device_destroyed_by_another_thread_is_a_typed_error() {
    let slowest = Slowest::default();
    for make in [portable_gpu, callers_gpu] {
        for round in 0..25 {
            let gpu = make();
            let input = Tensor::from_array(&gpu, &array![0.5]).unwrap();
            let device = gpu.device().clone();
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_micros(200 * round * round));
                    device.destroy();
                });
                let mut program = Program::default();
                let start = Instant::now();
                let error = (0..).find_map(|step| {
                    assert!(start.elapsed() < Duration::from_secs(20), "the loss was never noticed");
                    slowest.time(|| program.step(&gpu, step)).err()
                });
                assert!(matches!(error, Some(Error::DeviceLost { .. })), "{error:?}");
            });
            slowest.time(|| expect_lost(input.read_blocking()));
            expect_all_calls_fail(&gpu, &input, &slowest);
        }
    }
}

/// Read-backs that wait when the device goes end with it.
#[test]
fn read_backs_in_flight_end_with_the_device() {
    let slowest = Slowest::default();
    for make in [portable_gpu, callers_gpu] {
        let gpu = make();
        let input = Tensor::from_array(&gpu, &random(&[4, 32, 64, 64], 1)).unwrap();
        let weight = Tensor::from_array(&gpu, &random(&[32, 32, 3, 3], 2)).unwrap();
        let tensors: Vec<_> =
            (0..8).map(|_| conv2d(&input, &weight, None, &Conv2dParams::default()).unwrap()).collect();
        let mut reads: Vec<_> = tensors.iter().map(|tensor| Box::pin(tensor.read())).collect();
        // A read-back that is done must not be polled again.
        reads.retain_mut(|read| !is_done(read));
        gpu.device().destroy();
        for read in reads {
            // What is on the GPU is finished first, which on a software device takes a while.
            let result = pollster::block_on(read);
            assert!(matches!(result, Ok(_) | Err(Error::DeviceLost { .. })), "{result:?}");
        }
        slowest.time(|| expect_lost(input.read_blocking()));
    }
}

#[test]
fn what_is_dropped_in_the_middle_of_things_is_no_matter() {
    let gpu = portable_gpu();
    let input = Tensor::from_array(&gpu, &random(&[1000], 1)).unwrap();
    for step in 0..100 {
        let output = sigmoid(&input).unwrap();
        let mut read = Box::pin(output.read());
        if step % 2 == 0 {
            is_done(&mut read);
        }
        drop(read);
        // Recorded and never submitted.
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let target = sigmoid(&input).unwrap();
        let inputs = UnaryInputs { input: input.slice().unwrap() };
        let outputs = UnaryOutputs { output: target.slice().unwrap() };
        Sigmoid::new(&[1000]).unwrap().record(&mut gpu.record(&mut encoder), &inputs, &outputs, None).unwrap();
        drop(encoder);
    }
    let expected = wgdnn::reference::sigmoid(&random(&[1000], 1)).unwrap();
    let near = |tensor: &Tensor| {
        let got = tensor.read_blocking().unwrap();
        got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 2e-7)
    };
    assert!(near(&sigmoid(&input).unwrap()));

    // The Gpu before its tensors, and a read-back that has begun.
    let output = sigmoid(&input).unwrap();
    let unread = sigmoid(&input).unwrap();
    let mut read = Box::pin(unread.read());
    let is_done = is_done(&mut read);
    drop(gpu);
    assert!(near(&output));
    drop(output);
    drop(input);
    assert!(is_done || pollster::block_on(read).is_ok());

    // And everything with calls pending.
    let gpu = portable_gpu();
    let pending = sigmoid(&Tensor::from_array(&gpu, &random(&[10], 1)).unwrap()).unwrap();
    drop(gpu);
    drop(pending);
}
