//! What wgpu is asked to do, as it logs it itself: to show that recording asks for nothing but recording.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    /// What is logged by this thread while somebody looks: target and text.
    static LINES: RefCell<Option<Vec<(String, String)>>> = const { RefCell::new(None) };
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let target = metadata.target();
        (target.starts_with("wgpu_core") || target.starts_with("wgdnn")) && LINES.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = (record.target().to_owned(), record.args().to_string());
            LINES.with_borrow_mut(|lines| lines.get_or_insert_default().push(line));
        }
    }

    fn flush(&self) {}
}

/// What is logged by this thread during `work`.
pub fn lines<R>(work: impl FnOnce() -> R) -> (R, Vec<(String, String)>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    LINES.set(Some(Vec::new()));
    let result = work();
    (result, LINES.take().unwrap())
}

/// The names of the calls into wgpu-core that `work` makes on this thread.
pub fn calls<R>(work: impl FnOnce() -> R) -> (R, Vec<String>) {
    let (result, lines) = lines(work);
    let texts = lines.into_iter().filter(|(target, _)| target.starts_with("wgpu_core")).map(|(_, text)| text);
    // "Device::create_buffer -> Id(1,2)" and the like; what has no "::" is no call, but for the end of a pass.
    let name = |text: &String| {
        let text = text.replace("Finished encoding compute pass", "ComputePass::end");
        text.split(' ').next().unwrap().split('(').next().unwrap().to_owned()
    };
    (result, texts.map(|text| name(&text)).filter(|name| name.contains("::")).collect())
}

/// What recording may ask for: the commands, and bind groups where buffers are new, with which old ones go, and what they
/// held.
const RECORDING: [&str; 6] = [
    "ComputePass::dispatch",
    "Pass::set_bind_group",
    "Pass::set_pipeline",
    "Device::create_bind_group",
    "BindGroup::drop",
    "Buffer::drop",
];

/// Runs what records, on an operator that is warmed up, and refuses everything else: submits, polls, maps, writes, and
/// new pipelines, modules and buffers.
#[track_caller]
pub fn expect_recording_only<R>(work: impl FnOnce() -> R) -> (R, Vec<String>) {
    let (result, calls) = calls(work);
    for call in &calls {
        assert!(RECORDING.contains(&&**call), "recording calls {call}");
    }
    (result, calls)
}

#[test]
fn recording_again_on_the_same_buffers_makes_nothing_at_all() {
    use crate::harness::{gpu, random};
    use wgdnn::wgpu::{BufferDescriptor, BufferUsages};
    use wgdnn::{Conv2d, Conv2dInputs, Conv2dOutputs, Operator, Tensor, sigmoid};

    // The count itself: an eager call makes buffers, and a read-back submits, maps and polls.
    let ((), eager) = calls(|| {
        let output = sigmoid(&Tensor::from_array(gpu(), &random(&[77, 1001], 3)).unwrap()).unwrap();
        output.read_blocking().unwrap();
    });
    for call in ["Device::create_buffer", "Queue::submit", "Buffer::map_async", "Device::poll", "ComputePass::dispatch"]
    {
        assert!(eager.iter().any(|name| name == call), "{call} is not in {eager:?}");
    }

    let conv = Conv2d::new(&[1, 3, 11, 13], &[5, 3, 3, 3], None, &Default::default()).unwrap();
    let ((), warming) = calls(|| conv.warm_up(gpu()).unwrap());
    assert!(warming.iter().all(|call| call != "Queue::submit" && call != "Device::poll"), "{warming:?}");
    let buffer = |size| {
        let usage = BufferUsages::STORAGE;
        gpu().device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    };
    let (input, weight, output) = (buffer(4 * 3 * 11 * 13), buffer(4 * 5 * 3 * 9), buffer(4 * 5 * 9 * 11));
    let inputs = Conv2dInputs::new(input.slice(..), weight.slice(..));
    let outputs = Conv2dOutputs::new(output.slice(..));
    for time in 1..=5 {
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let (result, calls) =
            expect_recording_only(|| conv.record(&mut gpu().record(&mut encoder), &inputs, &outputs, None));
        assert_eq!(result, Ok(()));
        let binds = calls.iter().any(|call| call == "Device::create_bind_group");
        assert_eq!(binds, time <= 2, "the {time}. time: {calls:?}");
        // wgpu runs through a pass's commands when the encoder is finished.
        let (_, calls) = self::calls(|| encoder.finish());
        assert_eq!(calls.iter().filter(|call| *call == "ComputePass::dispatch").count(), 1, "{calls:?}");
    }
}

/// convolution, batch norm, sigmoid, pooling and flatten, planned from one another's shapes.
#[test]
fn a_sequence_of_operators_is_one_pass() {
    use crate::harness::{gpu, random};
    use wgdnn::wgpu::{Buffer, BufferUsages, util::DeviceExt};
    use wgdnn::{
        BatchNorm, BatchNormInputs, BatchNormOutputs, BatchNormParams, Conv2d, Conv2dInputs, Conv2dOutputs, Flatten,
        MaxPool2d, MaxPool2dInputs, MaxPool2dOutputs, MaxPool2dParams, Operator, Sigmoid, Tensor, UnaryInputs,
        UnaryOutputs, reference,
    };

    let (image, kernel) = (random(&[2, 3, 12, 12], 1), random(&[4, 3, 3, 3], 2));
    let conv = Conv2d::new(image.shape(), kernel.shape(), None, &Default::default()).unwrap();
    let training = BatchNormParams { training: true, ..Default::default() };
    let norm = BatchNorm::new(&BatchNormInputs::new(conv.output_shape()), &training).unwrap();
    let sigmoid = Sigmoid::new(norm.output_shape()).unwrap();
    let pool = MaxPool2d::new(conv.output_shape(), &MaxPool2dParams::new([2, 2])).unwrap();
    let flat = Flatten::new(pool.output_shape(), &Default::default()).unwrap();
    gpu().warm_up(&[&conv, &norm, &sigmoid, &pool, &flat]).unwrap();

    let buffer = |contents: &[u8]| {
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
        let descriptor = wgdnn::wgpu::util::BufferInitDescriptor { label: None, contents, usage };
        gpu().device().create_buffer_init(&descriptor)
    };
    let empty = |shape: &[usize]| buffer(&vec![0; 4 * shape.iter().product::<usize>()]);
    let bytes = |array: &ndarray::ArrayD<f32>| array.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<_>>();
    let (input, weight) = (buffer(&bytes(&image)), buffer(&bytes(&kernel)));
    let features: [Buffer; 3] = std::array::from_fn(|_| empty(conv.output_shape()));
    let (workspace, output) = (empty(&[norm.workspace_size(gpu()) as usize / 4]), empty(flat.output_shape()));

    let mut last = Vec::new();
    for _ in 0..3 {
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let record = |encoder: &mut wgdnn::wgpu::CommandEncoder| -> wgdnn::Result<()> {
            let recorder = &mut gpu().record(encoder);
            let [a, b, c] = features.each_ref().map(|buffer| buffer.slice(..));
            let (input, weight) = (input.slice(..), weight.slice(..));
            conv.record(recorder, &Conv2dInputs::new(input, weight), &Conv2dOutputs::new(a), None)?;
            let workspace = Some(workspace.slice(..));
            norm.record(recorder, &BatchNormInputs::new(a), &BatchNormOutputs::new(b), workspace)?;
            sigmoid.record(recorder, &UnaryInputs { input: b }, &UnaryOutputs { output: c }, None)?;
            pool.record(recorder, &MaxPool2dInputs { input: c }, &MaxPool2dOutputs::new(output.slice(..)), None)
        };
        let (result, recording) = expect_recording_only(|| record(&mut encoder));
        assert_eq!(result, Ok(()));
        let (commands, finishing) = calls(|| encoder.finish());
        gpu().queue().submit([commands]);
        last = [recording, finishing].concat();
    }
    assert_eq!(last.iter().filter(|call| *call == "ComputePass::end").count(), 1, "{last:?}");
    assert!(last.iter().all(|call| call != "Device::create_bind_group"), "{last:?}");
    // One of convolution, three of batch norm, one of sigmoid, one of pooling.
    assert_eq!(last.iter().filter(|call| *call == "ComputePass::dispatch").count(), 6, "{last:?}");

    let expected = reference::conv2d(&image, &kernel, None, &Default::default()).unwrap();
    let expected = reference::batch_norm(&BatchNormInputs::new(&expected as _), &training).unwrap().output;
    let expected = reference::sigmoid(&expected).unwrap();
    let expected = reference::max_pool2d(&expected, &MaxPool2dParams::new([2, 2])).unwrap().output;
    let expected = reference::flatten(&expected, &Default::default()).unwrap();
    let got: Tensor = Tensor::from_buffer(gpu(), output, 0, flat.output_shape()).unwrap();
    let got = got.read_blocking().unwrap();
    assert!(got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-5));
}

#[test]
fn pipelines_and_submissions_are_logged() {
    use crate::harness::{portable_gpu, random};
    use wgdnn::{Tensor, sigmoid};

    let gpu = portable_gpu();
    let ((), lines) = lines(|| {
        let output = sigmoid(&Tensor::from_array(&gpu, &random(&[3], 3)).unwrap()).unwrap();
        output.read_blocking().unwrap();
    });
    for text in ["made pipeline sigmoid::elements in ", "submit 1 calls"] {
        let is_logged = lines.iter().any(|(target, line)| target.starts_with("wgdnn") && line.starts_with(text));
        assert!(is_logged, "{text:?} is not logged");
    }
}
