//! What wgpu is asked to do, as it logs it itself: to show that recording asks for nothing but recording.

use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    /// The calls of this thread that are being counted.
    static CALLS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu_core") && CALLS.with_borrow(Option::is_some)
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            CALLS.with_borrow_mut(|calls| calls.get_or_insert_default().push(text));
        }
    }

    fn flush(&self) {}
}

/// The names of the calls into wgpu-core that `work` makes on this thread.
pub fn calls<R>(work: impl FnOnce() -> R) -> (R, Vec<String>) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    CALLS.set(Some(Vec::new()));
    let result = work();
    let texts = CALLS.take().unwrap();
    // "Device::create_buffer -> Id(1,2)" and the like; what has no "::" is no call.
    let name = |text: &String| text.split(' ').next().unwrap().split('(').next().unwrap().to_owned();
    (result, texts.iter().map(name).filter(|name| name.contains("::")).collect())
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
    use wgdnn::{Conv2d, Conv2dBuffers, Tensor, sigmoid};

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
    let buffers = Conv2dBuffers {
        input: input.slice(..),
        weight: weight.slice(..),
        bias: None,
        output: output.slice(..),
        workspace: None,
    };
    for time in 1..=5 {
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let (result, calls) = expect_recording_only(|| conv.record(&mut gpu().record(&mut encoder), &buffers));
        assert_eq!(result, Ok(()));
        let binds = calls.iter().any(|call| call == "Device::create_bind_group");
        assert_eq!(binds, time <= 2, "the {time}. time: {calls:?}");
        // wgpu runs through a pass's commands when the encoder is finished.
        let (_, calls) = self::calls(|| encoder.finish());
        assert_eq!(calls.iter().filter(|call| *call == "ComputePass::dispatch").count(), 1, "{calls:?}");
    }
}
