//! Devices that are lost, memory that runs out, and things that are dropped when they should not be.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ndarray::{ArrayD, array};
use wgdnn::wgpu::{self, BufferUsages};
use wgdnn::{
    BatchNormArguments, BatchNormParams, Conv2dParams, CrossEntropyTarget, Error, Gpu, GpuOptions, MaxPool2dParams,
    Reduction, Result, Sigmoid, SigmoidBuffers, Tensor, batch_norm, conv2d, cross_entropy, flatten, max_pool2d,
    sigmoid,
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
                let buffers = SigmoidBuffers { input: image.slice()?, output: output.slice(..) };
                Sigmoid::new(&[72])?.record(&mut gpu.record(encoder), &buffers)?;
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
        let buffers = SigmoidBuffers { input: input.slice().unwrap(), output: target.slice().unwrap() };
        Sigmoid::new(&[1000]).unwrap().record(&mut gpu.record(&mut encoder), &buffers).unwrap();
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

/// Runs an ignored test of this binary alone in a process, under a limit of its address space if one is given.
#[track_caller]
pub fn run_alone(test: &str, kibibytes: Option<u64>) -> String {
    let program = std::env::current_exe().unwrap();
    let limit = kibibytes.map_or("unlimited".to_owned(), |kibibytes| kibibytes.to_string());
    let output = Command::new("sh")
        .args(["-c", "ulimit -v $1; shift; exec \"$@\"", "sh", &limit])
        .arg(program)
        .args(["--ignored", "--exact", "--nocapture", "--test-threads=1", test])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {}\n{text}", output.status);
    text
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_memory_is_an_error_and_the_device_goes_on() {
    // Enough to start with; what is left is used up by the test itself.
    let text = run_alone("faults::alone_uses_up_all_memory", Some(3 << 20));
    assert!(text.contains("out of memory at 20 points"), "{text}");
}

/// Fills the memory with tensors of 20 sizes, and each time comes back from it.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs alone, under a limit of memory"]
fn alone_uses_up_all_memory() {
    // All of the adapter's limits: single tensors may be large.
    let gpu = Gpu::with_options_blocking(&GpuOptions::default()).unwrap();
    let small = Tensor::from_array(&gpu, &array![0.0]).unwrap();
    sigmoid(&small).unwrap().read_blocking().unwrap();
    let mut points = 0;
    let data = vec![1.0_f32; 100 << 20];
    for step in 0..20 {
        // From 40 to 400 MiB.
        let elements = (10 << 20) + step * 4_966_000;
        let mut held = Vec::new();
        let error = loop {
            match Tensor::from_slice(&gpu, &data[..elements], &[elements]) {
                Ok(tensor) => held.push(tensor),
                Err(error) => break error,
            }
            assert!(held.len() < 1000, "memory does not end");
        };
        assert!(matches!(error, Error::OutOfMemory { .. }), "step {step}, {} tensors: {error}", held.len());
        drop(held);
        let output = sigmoid(&small).unwrap();
        assert_eq!(output.read_blocking().unwrap()[0], 0.5, "step {step}");
        points += 1;
    }
    println!("out of memory at {points} points");
}

#[cfg(target_os = "linux")]
#[test]
fn the_last_byte_gone_is_no_lost_device() {
    run_alone("faults::alone_uses_up_the_last_byte", Some(9 << 18));
}

/// The caller's own buffers take all there is, down to the smallest, on a device whose handler panics.
#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs alone, under a limit of memory"]
fn alone_uses_up_the_last_byte() {
    for make in [portable_gpu, callers_gpu] {
        let gpu = make();
        let small = Tensor::from_array(&gpu, &array![0.0]).unwrap();
        sigmoid(&small).unwrap().read_blocking().unwrap();
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let mut held = Vec::new();
        for size in (8..28).rev().map(|bits| 1_u64 << bits) {
            let mut before = usize::MAX;
            while before != held.len() && held.len() < 20_000 {
                before = held.len();
                let inner = gpu.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
                let usage = BufferUsages::STORAGE;
                let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
                let buffer = gpu.device().create_buffer(&descriptor);
                if pollster::block_on(inner.pop()).is_none() {
                    held.push(buffer);
                }
            }
        }
        drop(pollster::block_on(scope.pop()));
        for elements in [1_000, 100_000, 3_000_000] {
            let result = Tensor::from_slice(&gpu, &vec![1.0; elements], &[elements]);
            assert!(matches!(result, Ok(_) | Err(Error::OutOfMemory { .. })), "{elements}: {result:?}");
        }
        let result = sigmoid(&small);
        assert!(matches!(result, Ok(_) | Err(Error::OutOfMemory { .. })), "{result:?}");
        drop(held);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        let output = sigmoid(&small).unwrap();
        assert_eq!(output.read_blocking().unwrap()[0], 0.5);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_iterations_keep_no_memory() {
    let text = run_alone("faults::alone_runs_ten_thousand_iterations", None);
    let grown = text.lines().find(|line| line.contains("KiB more after")).expect("a figure");
    println!("{grown}");
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "runs alone, so that nothing else takes memory"]
fn alone_runs_ten_thousand_iterations() {
    let gpu = portable_gpu();
    let weight = Tensor::from_array(&gpu, &random(&[4, 3, 3, 3], 1)).unwrap();
    let images: Vec<_> = (0..7).map(|n| random(&[1 + n % 2, 3, 8 + n, 9], n as u64)).collect();
    let iteration = |step: usize| {
        let image = Tensor::from_array(&gpu, &images[step % images.len()]).unwrap();
        let features = conv2d(&image, &weight, None, &Conv2dParams::default()).unwrap();
        let params = BatchNormParams { training: true, ..Default::default() };
        let normal = batch_norm(&features, &BatchNormArguments::default(), &params).unwrap();
        let pooled = max_pool2d(&sigmoid(&normal).unwrap(), &MaxPool2dParams::new([2, 2])).unwrap().output;
        let classes = Tensor::from_array(&gpu, &ndarray::Array1::zeros(pooled.shape()[0])).unwrap();
        let logits = flatten(&pooled, &wgdnn::FlattenParams { start_dim: 1, end_dim: -1 }).unwrap();
        let params = wgdnn::CrossEntropyParams { reduction: Reduction::Mean, ..Default::default() };
        let loss = cross_entropy(&logits, CrossEntropyTarget::Classes(&classes), None, &params).unwrap();
        match step % 5 {
            0 => drop(loss.read_blocking().unwrap()),
            1 => drop(pollster::block_on(loss.read()).unwrap()),
            2 => drop(loss.read()),
            3 => gpu.submit().unwrap(),
            _ => {}
        }
    };
    (0..200).for_each(iteration);
    let before = crate::keeping::resident();
    (200..10_000).for_each(iteration);
    let grown = crate::keeping::resident() - before;
    println!("{grown} KiB more after 10,000 iterations than after 200");
    assert!(grown < 1024, "{grown} KiB more");
}
