//! A caller's own device, buffers and encoders: what is checked, and that nothing happens behind the caller's back.

use ndarray::array;
use wgdnn::wgpu;
use wgdnn::{
    Error, Gpu, GpuOptions, MseLoss, MseLossInputs, MseLossOutputs, MseLossParams, Operator, PackedWeight, Reduction,
    Sigmoid, Tensor, UnaryInputs, UnaryOutputs, conv2d, sigmoid,
};

use crate::harness::{bits, gpu, portable_gpu, random};

fn buffer(gpu: &Gpu, bytes: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("test"),
        size: bytes,
        usage,
        mapped_at_creation: false,
    })
}

/// Records sigmoid of 16 elements on these buffers.
fn record_sigmoid(input: wgpu::BufferSlice<'_>, output: wgpu::BufferSlice<'_>) -> Result<(), Error> {
    let operator = Sigmoid::new(&[16]).unwrap();
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    operator.record(&mut gpu().record(&mut encoder), &UnaryInputs { input }, &UnaryOutputs { output }, None)
}

#[track_caller]
fn expect_invalid(result: Result<(), Error>, argument_wanted: &str) {
    match result {
        Err(Error::InvalidArgument { operator: "sigmoid", argument, .. }) => assert_eq!(argument, argument_wanted),
        other => panic!("{other:?}"),
    }
}

#[test]
fn buffers_are_checked_before_anything_is_recorded() {
    let storage = wgpu::BufferUsages::STORAGE;
    let good = buffer(gpu(), 1024, storage);
    let other = buffer(gpu(), 1024, storage);
    let small = buffer(gpu(), 60, storage);
    let foreign = buffer(gpu(), 1024, wgpu::BufferUsages::VERTEX);
    assert_eq!(record_sigmoid(good.slice(..), other.slice(..)), Ok(()));
    expect_invalid(record_sigmoid(small.slice(..), other.slice(..)), "input");
    expect_invalid(record_sigmoid(good.slice(..), small.slice(..)), "output");
    expect_invalid(record_sigmoid(good.slice(4..), other.slice(..)), "input");
    expect_invalid(record_sigmoid(good.slice(..32), other.slice(..)), "input");
    expect_invalid(record_sigmoid(foreign.slice(..), other.slice(..)), "input");
    expect_invalid(record_sigmoid(good.slice(..256), good.slice(512..)), "output");
}

/// wgpu tracks whole buffers: it takes ranges of one that are all written, and no others.
#[test]
fn written_ranges_of_one_buffer_may_not_overlap() {
    use wgdnn::{MaxPool2d, MaxPool2dInputs, MaxPool2dOutputs, MaxPool2dParams};

    let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
    let pool = MaxPool2d::new(&[1, 1, 4, 4], &params).unwrap();
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let both = buffer(gpu(), 1024, usage);
    let image = Tensor::from_slice(gpu(), &Vec::from_iter((0..16).map(|x| x as f32)), &[1, 1, 4, 4]).unwrap();
    let record = |input: wgpu::BufferSlice<'_>, output: wgpu::BufferSlice<'_>, indices: wgpu::BufferSlice<'_>| {
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let outputs = MaxPool2dOutputs { indices: Some(indices), ..MaxPool2dOutputs::new(output) };
        pool.record(&mut gpu().record(&mut encoder), &MaxPool2dInputs::new(input), &outputs, None)?;
        gpu().queue().submit([encoder.finish()]);
        Ok::<_, Error>(())
    };
    record(image.slice().unwrap(), both.slice(..16), both.slice(512..528)).unwrap();
    let output = Tensor::<f32>::from_buffer(gpu(), both.clone(), 0, &[4]).unwrap();
    assert_eq!(output.read_vec_blocking().unwrap(), [5.0, 7.0, 13.0, 15.0]);
    let indices = Tensor::<i32>::from_buffer(gpu(), both.clone(), 512, &[4]).unwrap();
    assert_eq!(indices.read_vec_blocking().unwrap(), [5, 7, 13, 15]);
    let text = |result: Result<(), Error>| result.unwrap_err().to_string();
    assert_eq!(
        text(record(image.slice().unwrap(), both.slice(..), both.slice(..))),
        "max_pool2d: output: expected a range that no other argument overlaps, got the buffer of indices"
    );
    // Read and written, even apart.
    assert_eq!(
        text(record(both.slice(256..), both.slice(..16), image.slice().unwrap())),
        "max_pool2d: output: expected a buffer that no other argument uses, got the buffer of input"
    );
}

#[test]
fn a_missing_workspace_is_an_error() {
    let operator = MseLoss::new(&[4], &[4], &MseLossParams { reduction: Reduction::Sum }).unwrap();
    assert!(operator.workspace_size(gpu()) > 0);
    let buffers: Vec<_> = (0..3).map(|_| buffer(gpu(), 1024, wgpu::BufferUsages::STORAGE)).collect();
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let result = operator.record(
        &mut gpu().record(&mut encoder),
        &MseLossInputs::new(buffers[0].slice(..), buffers[1].slice(..)),
        &MseLossOutputs { output: buffers[2].slice(..) },
        None,
    );
    assert!(matches!(result, Err(Error::InvalidArgument { argument: "workspace", .. })), "{result:?}");
    let bytes = format!("at least {} bytes", operator.workspace_size(gpu()));
    assert!(result.unwrap_err().to_string().contains(&bytes));
}

/// A device as a caller makes it: WebGPU's default limits, no features, handlers of its own.
fn callers_device() -> (wgpu::Device, wgpu::Queue) {
    let adapter = pollster::block_on(Gpu::adapters()).into_iter().next().unwrap();
    let descriptor = wgpu::DeviceDescriptor { label: Some("caller"), ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).unwrap()
}

#[test]
fn operators_run_on_a_callers_device() {
    let (device, queue) = callers_device();
    let gpu = Gpu::from_wgpu(device.clone(), queue);
    assert_eq!(gpu.limits().max_storage_buffer_binding_size, 128 << 20);
    let output = sigmoid(&Tensor::from_array(&gpu, &array![0.0]).unwrap()).unwrap();
    assert_eq!(output.read_blocking().unwrap(), array![0.5].into_dyn());

    // A tensor over a buffer of the caller's, from an offset on.
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
    let buffer = buffer(&gpu, 512, usage);
    let zeros = Tensor::<f32>::from_buffer(&gpu, buffer.clone(), 256, &[64]).unwrap();
    assert!(sigmoid(&zeros).unwrap().read_blocking().unwrap().iter().all(|&x| x == 0.5));
    assert!(Tensor::<f32>::from_buffer(&gpu, buffer.clone(), 4, &[1]).is_err());
    assert!(Tensor::<f32>::from_buffer(&gpu, buffer, 256, &[65]).is_err());
}

#[test]
fn a_tensor_that_cannot_be_read_back_says_so() {
    let buffer = buffer(gpu(), 64, wgpu::BufferUsages::STORAGE);
    let tensor = Tensor::<f32>::from_buffer(gpu(), buffer, 0, &[16]).unwrap();
    assert!(matches!(tensor.read_blocking(), Err(Error::InvalidArgument { argument: "buffer", .. })));
}

#[test]
fn tensors_of_two_devices_do_not_mix() {
    let other = portable_gpu();
    let input = Tensor::from_array(gpu(), &random(&[1, 1, 4, 4], 1)).unwrap();
    let weight = Tensor::from_array(&other, &random(&[1, 1, 2, 2], 2)).unwrap();
    let result = conv2d(&input, &weight, None, &Default::default());
    assert!(matches!(result, Err(Error::InvalidArgument { argument: "weight", .. })));
    assert!(result.unwrap_err().to_string().contains("another device"));
}

#[test]
fn two_gpus_on_one_device_are_told_apart_and_called_so() {
    let one = portable_gpu();
    let two = Gpu::from_wgpu(one.device().clone(), one.queue().clone());
    assert!(one.is_same(&one.clone()) && !one.is_same(&two));
    let input = Tensor::from_array(&one, &random(&[1, 1, 4, 4], 1)).unwrap();
    let weight = Tensor::from_array(&two, &random(&[1, 1, 2, 2], 2)).unwrap();
    let error = conv2d(&input, &weight, None, &Default::default()).unwrap_err().to_string();
    assert!(error.contains("another Gpu on the same device: make one Gpu and clone it"), "{error}");
}

#[test]
fn errors_about_foreign_buffers_name_the_argument() {
    let other = portable_gpu();
    let storage = wgpu::BufferUsages::STORAGE;
    let [input, output, destroyed] = [(); 3].map(|()| buffer(gpu(), 64, storage));
    destroyed.destroy();
    let foreign = buffer(&other, 64, storage);
    expect_invalid(record_sigmoid(foreign.slice(..), output.slice(..)), "input");
    expect_invalid(record_sigmoid(input.slice(..), foreign.slice(..)), "output");
    expect_invalid(record_sigmoid(destroyed.slice(..), output.slice(..)), "input");
    expect_invalid(record_sigmoid(input.slice(..), destroyed.slice(..)), "output");
    for (buffer, text) in [(foreign, "Device"), (destroyed, "destroyed")] {
        let error = Tensor::<f32>::from_buffer(gpu(), buffer, 0, &[16]).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument { operator: "tensor", argument: "buffer", .. }), "{error}");
        assert!(error.to_string().contains(text) && error.to_string().len() < 250, "{error}");
    }
    // Destroyed, or mapped, behind a tensor's back.
    let usage = storage | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
    let destroyed = buffer(gpu(), 64, usage);
    let tensor = Tensor::<f32>::from_buffer(gpu(), destroyed.clone(), 0, &[16]).unwrap();
    destroyed.destroy();
    expect_invalid(sigmoid(&tensor).map(drop), "input");
    let error = tensor.read_blocking().unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { operator: "tensor", argument: "buffer", .. }), "{error}");
    let mapped = gpu().device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("mapped"),
        size: 64,
        usage,
        mapped_at_creation: true,
    });
    let error = Tensor::<f32>::from_buffer(gpu(), mapped, 0, &[16]).unwrap().read_blocking().unwrap_err();
    assert!(error.to_string().starts_with("tensor: buffer: ") && error.to_string().contains("mapped"), "{error}");
    // On a lost device every buffer is wrong, and none to blame.
    other.device().destroy();
    let buffers = [(); 2].map(|()| buffer(&other, 64, storage));
    let mut encoder = other.device().create_command_encoder(&Default::default());
    let inputs = UnaryInputs { input: buffers[0].slice(..) };
    let outputs = UnaryOutputs { output: buffers[1].slice(..) };
    let result = Sigmoid::new(&[16]).unwrap().record(&mut other.record(&mut encoder), &inputs, &outputs, None);
    assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
}

/// What a program prints of ours is short.
#[test]
fn debug_texts_are_short() {
    let tensor = Tensor::from_array(gpu(), &random(&[1, 3, 4, 4], 1)).unwrap();
    let weight = Tensor::from_array(gpu(), &random(&[2, 3, 3, 3], 1)).unwrap();
    let weight = PackedWeight::new(&weight, &Default::default()).unwrap();
    let text = format!("{tensor:?}");
    assert!(text.contains("[1, 3, 4, 4]") && text.contains("f32"), "{text}");
    assert!(text.contains(&gpu().adapter_info().name), "{text}");
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let recorder = format!("{:?}", gpu().record(&mut encoder));
    for text in [text, format!("{:?}", gpu()), format!("{weight:?}"), recorder] {
        assert!(text.len() < 300, "{} characters: {text}", text.len());
    }
}

/// wgpu errors of the program's own calls.
#[test]
fn a_programs_own_wgpu_errors_are_its_own() {
    let gpu = portable_gpu();
    let blunder = || drop(buffer(&gpu, 64, wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::MAP_WRITE));
    let works = || {
        let output = sigmoid(&Tensor::from_array(&gpu, &array![0.0]).unwrap()).unwrap();
        assert_eq!(output.read_blocking().unwrap()[0], 0.5);
    };
    // Told at once, whose they are; no call of ours fails for them.
    let ((), lines) = crate::api::lines(blunder);
    let ours: Vec<_> = lines.iter().filter(|(target, _)| target.starts_with("wgdnn")).collect();
    assert!(ours.len() == 1 && ours[0].1.contains("the program made itself"), "{lines:?}");
    gpu.submit().unwrap();
    works();
    // A handler of the program's takes them.
    let (sender, receiver) = std::sync::mpsc::channel();
    gpu.device()
        .on_uncaptured_error(std::sync::Arc::new(move |error: wgpu::Error| sender.send(error.to_string()).unwrap()));
    blunder();
    assert!(receiver.try_recv().unwrap().contains("MAP_WRITE"));
    works();
    // Our own still come back as values, and the loss of the device too.
    let destroyed = buffer(&gpu, 64, wgpu::BufferUsages::STORAGE);
    destroyed.destroy();
    assert!(Tensor::<f32>::from_buffer(&gpu, destroyed, 0, &[16]).is_err());
    assert!(receiver.try_recv().is_err());
    gpu.device().destroy();
    let result = Tensor::from_array(&gpu, &array![0.0]).and_then(|tensor| tensor.read_blocking());
    assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
}

#[test]
fn an_unknown_adapter_is_an_error_that_names_those_there_are() {
    let options = GpuOptions::default().adapter("no such adapter");
    let error = Gpu::with_options_blocking(&options).unwrap_err();
    assert!(error.to_string().contains(&gpu().adapter_info().name), "{error}");
}

#[test]
fn a_lost_device_is_a_typed_error() {
    let gpu = portable_gpu();
    let input = Tensor::from_array(&gpu, &array![1.0]).unwrap();
    let output = sigmoid(&input).unwrap();
    gpu.device().destroy();
    for result in [output.read_blocking().map(drop), sigmoid(&input).map(drop), gpu.submit()] {
        assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
    }
}

#[test]
fn a_callers_lost_device_is_a_typed_error() {
    let (device, queue) = callers_device();
    let gpu = Gpu::from_wgpu(device.clone(), queue);
    let input = Tensor::from_array(&gpu, &array![1.0]).unwrap();
    device.destroy();
    assert!(matches!(input.read_blocking(), Err(Error::DeviceLost { .. })));
    // This one may be noticed only when it is read.
    let result = sigmoid(&input).and_then(|output| output.read_blocking());
    assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
}

#[test]
fn a_failed_submission_shows_in_its_own_tensors_and_no_others() {
    let gpu = portable_gpu();
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let input = Tensor::from_array(&gpu, &array![0.0]).unwrap();
    let before = sigmoid(&input).unwrap();
    gpu.submit().unwrap();
    let destroyed = buffer(&gpu, 64, usage);
    let beside = sigmoid(&input).unwrap();
    let of_destroyed = sigmoid(&Tensor::from_buffer(&gpu, destroyed.clone(), 0, &[16]).unwrap()).unwrap();
    destroyed.destroy();
    // Both were submitted together, so neither ran; that must not look like zeros.
    for tensor in [&of_destroyed, &beside] {
        assert!(matches!(tensor.read_blocking(), Err(Error::Validation { .. })));
        assert!(matches!(sigmoid(tensor), Err(Error::Validation { .. })));
    }
    assert_eq!(before.read_blocking().unwrap()[0], 0.5);
    assert_eq!(sigmoid(&input).unwrap().read_blocking().unwrap()[0], 0.5);
}

#[test]
fn a_failed_upload_shows_in_all_that_were_submitted_with_it() {
    let gpu = portable_gpu();
    let victim = Tensor::from_slice(&gpu, &[7.0; 4], &[4]).unwrap();
    let pending = sigmoid(&victim).unwrap();
    let other = Tensor::from_slice(&gpu, &[1.0; 4], &[4]).unwrap();
    // Its buffer, without submitting it.
    let record = |_: &mut wgpu::ComputePass<'_>, bindings: &[wgpu::BindingResource<'_>]| {
        let wgpu::BindingResource::Buffer(binding) = &bindings[0] else { panic!("no buffer") };
        Ok(binding.buffer.clone())
    };
    gpu.record_own("nothing", &[&other], &[], record).unwrap().destroy();
    // It needs more staging than there is, so what is pending has to be submitted, and fails.
    let large = vec![1.0; 5 << 20];
    let result = Tensor::from_slice(&gpu, &large, &[large.len()]);
    assert!(matches!(result, Err(Error::Validation { .. })), "{result:?}");
    for tensor in [&victim, &pending] {
        assert!(matches!(tensor.read_blocking(), Err(Error::Validation { .. })));
        assert!(matches!(sigmoid(tensor), Err(Error::Validation { .. })));
    }
    let again = Tensor::from_slice(&gpu, &large, &[large.len()]).unwrap();
    assert_eq!(again.read_blocking().unwrap().iter().sum::<f32>(), large.len() as f32);
}

#[test]
fn a_failed_read_back_leaves_pending_calls_alone() {
    let gpu = portable_gpu();
    let pending = sigmoid(&Tensor::from_array(&gpu, &array![0.0]).unwrap()).unwrap();
    let destroyed = buffer(&gpu, 64, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let tensor = Tensor::<f32>::from_buffer(&gpu, destroyed.clone(), 0, &[16]).unwrap();
    destroyed.destroy();
    assert!(matches!(tensor.read_blocking(), Err(Error::InvalidArgument { argument: "buffer", .. })));
    expect_invalid(sigmoid(&tensor).map(drop), "input");
    assert_eq!(pending.read_blocking().unwrap()[0], 0.5);
}

#[test]
fn read_backs_can_be_awaited_and_dropped() {
    let input = Tensor::from_array(gpu(), &array![0.0, 0.0]).unwrap();
    drop(input.read());
    let output = sigmoid(&input).unwrap();
    assert_eq!(pollster::block_on(output.read()).unwrap(), array![0.5, 0.5].into_dyn());
}

#[test]
fn calls_from_several_threads_give_right_answers() {
    std::thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                for step in 0..50 {
                    let array = random(&[37], seed * 1000 + step);
                    let output = sigmoid(&Tensor::from_array(gpu(), &array).unwrap()).unwrap();
                    let expected = wgdnn::reference::sigmoid(&array).unwrap();
                    let got = output.read_blocking().unwrap();
                    assert!((got - expected).iter().all(|difference| difference.abs() < 2e-7));
                }
            });
        }
    });
}

#[test]
fn the_same_call_gives_the_same_bits() {
    use wgdnn::cases::Call;
    // Those with gradients run so elsewhere.
    let is_taken = |case: &&wgdnn::cases::Case| !case.is_error && !case.inputs.contains_key("grad_output");
    for case in crate::harness::golden().iter().filter(is_taken) {
        let call = Call::of_case(case).unwrap();
        let runs = crate::recorded::run_on_dirt(&call, gpu(), &crate::recorded::DIRT).unwrap();
        let first = bits(&runs[0]);
        assert!(runs.iter().all(|run| bits(run) == first), "{}", case.id);
    }
}
