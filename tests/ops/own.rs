//! A caller's own dispatches: among the eager calls, and in encoders of the caller's.

use ndarray::{Array1, ArrayD, array};
use wgdnn::wgpu;
use wgdnn::{
    AnyTensor, Conv2dParams, CrossEntropyTarget, Error, Gpu, Result, Tensor, conv2d, cross_entropy, reference, sigmoid,
};

use crate::harness::{gpu, portable_gpu, random};

/// output = max(x + y, 0), and the same onto what is there.
const SHADER: &str = "
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn add_relu(@builtin(global_invocation_id) id: vec3u) {
    if id.x < arrayLength(&output) {
        output[id.x] = max(x[id.x] + y[id.x], 0.0);
    }
}

@group(0) @binding(0) var<storage, read_write> numbers: array<i32>;

@compute @workgroup_size(1)
fn nines() {
    numbers[0] = 9;
}

@group(0) @binding(0) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(64)
fn negate(@builtin(global_invocation_id) id: vec3u) {
    if id.x < arrayLength(&values) {
        values[id.x] = -values[id.x];
    }
}
";

pub fn pipeline(gpu: &Gpu, entry_point: &str) -> wgpu::ComputePipeline {
    let source = wgpu::ShaderSource::Wgsl(SHADER.into());
    let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(entry_point),
        layout: None,
        module: &module,
        entry_point: Some(entry_point),
        compilation_options: Default::default(),
        cache: None,
    })
}

fn dispatch(
    gpu: &Gpu,
    pass: &mut wgpu::ComputePass<'_>,
    pipeline: &wgpu::ComputePipeline,
    bindings: &[wgpu::BindingResource<'_>],
    workgroups: u32,
) {
    let numbered = bindings.iter().cloned().zip(0..);
    let entries: Vec<_> = numbered.map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource }).collect();
    let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    pass.set_pipeline(pipeline);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(workgroups, 1, 1);
}

/// max(x + y, 0) in the eager stream.
pub fn add_relu(add: &wgpu::ComputePipeline, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let gpu = x.gpu();
    let output = Tensor::empty(gpu, x.shape())?;
    let workgroups = x.len().div_ceil(64) as u32;
    gpu.record_own("add_relu", &[x, y], &[&output], |pass, bindings| {
        dispatch(gpu, pass, add, bindings, workgroups);
        Ok(())
    })?;
    Ok(output)
}

#[track_caller]
fn expect_invalid<T: std::fmt::Debug>(result: Result<T>, argument_wanted: &str, text: &str) {
    match result {
        Err(Error::InvalidArgument { operator: "record_own", argument, actual, .. }) => {
            assert_eq!(argument, argument_wanted);
            assert!(actual.contains(text), "{actual}");
        }
        other => panic!("{other:?}"),
    }
}

/// Residual blocks, as in ResNet, whose sums and relus are the caller's own: nothing is submitted between them, also
/// where buffers are used again.
#[test]
fn own_dispatches_are_in_order_with_eager_calls() {
    let gpu = portable_gpu();
    let add = pipeline(&gpu, "add_relu");
    let (image, kernel) = (random(&[1, 2, 9, 9], 1), random(&[2, 2, 3, 3], 2));
    let params = Conv2dParams { padding: [1, 1].into(), ..Default::default() };
    let weight = Tensor::from_array(&gpu, &kernel).unwrap();
    let (blocks, mut expected) = (12, image.clone());
    for _ in 0..blocks {
        let convolved = reference::conv2d(&expected, &kernel, None, &params).unwrap();
        expected = (convolved + &expected).mapv(|x| x.max(0.0));
    }
    let run = || {
        let mut features = Tensor::from_array(&gpu, &image).unwrap();
        for _ in 0..blocks {
            features = add_relu(&add, &conv2d(&features, &weight, None, &params).unwrap(), &features).unwrap();
        }
        features
    };
    for _ in 0..3 {
        let (output, calls) = crate::api::calls(run);
        assert!(calls.iter().all(|call| call != "Queue::submit"), "{calls:?}");
        let got = output.read_blocking().unwrap();
        assert!(
            got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() <= 1e-4 * expected.abs().max(1.0))
        );
    }
    // More of them than are gathered.
    let mut value = Tensor::from_array(&gpu, &array![0.5, -0.25]).unwrap();
    let zero = Tensor::from_array(&gpu, &array![0.0, 1.0]).unwrap();
    for _ in 0..300 {
        value = add_relu(&add, &value, &zero).unwrap();
    }
    assert_eq!(value.read_blocking().unwrap(), array![0.5, 299.75].into_dyn());
    // In place, again and again.
    let negate = pipeline(&gpu, "negate");
    for round in 1..=5 {
        gpu.record_own("negate", &[], &[&value], |pass, bindings| {
            dispatch(&gpu, pass, &negate, bindings, 1);
            Ok(())
        })
        .unwrap();
        if round % 2 == 0 {
            gpu.submit().unwrap();
        }
    }
    assert_eq!(value.read_blocking().unwrap(), array![-0.5, -299.75].into_dyn());
}

/// An encoder of the caller's that reads and writes tensors, with eager calls before and behind, and no submit of ours.
#[test]
fn own_encoders_are_in_order_behind_a_slice() {
    let gpu = portable_gpu();
    let add = pipeline(&gpu, "add_relu");
    let weight = Tensor::from_array(&gpu, &ArrayD::from_elem(&[1, 1, 3, 3][..], -3.0)).unwrap();
    let ones = Tensor::from_array(&gpu, &ArrayD::ones(&[1, 1, 3, 3][..])).unwrap();
    for _ in 0..5 {
        // -27 before the relu, 0 behind it.
        let x = conv2d(&ones, &weight, None, &Default::default()).unwrap();
        let zero = Tensor::from_array(&gpu, &ArrayD::zeros(&[1, 1, 1, 1][..])).unwrap();
        let relu: Tensor = Tensor::empty(&gpu, x.shape()).unwrap();
        let slices = [&x, &zero, &relu].map(|tensor| tensor.slice().unwrap());
        let bindings = slices.map(|slice| wgpu::BindingResource::try_from(slice).unwrap());
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        dispatch(&gpu, &mut encoder.begin_compute_pass(&Default::default()), &add, &bindings, 1);
        gpu.queue().submit([encoder.finish()]);
        assert_eq!(sigmoid(&relu).unwrap().read_blocking().unwrap()[[0, 0, 0, 0]], 0.5);
        assert_eq!(x.read_blocking().unwrap()[[0, 0, 0, 0]], -27.0);

        // And one that overwrites what a pending call reads.
        let before = sigmoid(&x).unwrap();
        gpu.queue().write_buffer(x.slice().unwrap().buffer(), 0, &[0; 4]);
        assert!(before.read_blocking().unwrap()[[0, 0, 0, 0]] < 1e-6);
        assert_eq!(sigmoid(&x).unwrap().read_blocking().unwrap()[[0, 0, 0, 0]], 0.5);
    }
    // With nothing pending it does nothing.
    let (_, calls) = crate::api::calls(|| weight.slice().unwrap());
    assert!(calls.is_empty(), "{calls:?}");
}

/// No lock is held while a caller records: other threads call operators meanwhile, also ones that the caller waits for.
#[test]
fn own_dispatches_of_several_threads_are_each_in_order() {
    let gpu = portable_gpu();
    let add = pipeline(&gpu, "add_relu");
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let (gpu, add) = (&gpu, &add);
            scope.spawn(move || {
                for step in 0..60 {
                    let array = random(&[70], seed * 100 + step);
                    let x = Tensor::from_array(gpu, &array).unwrap();
                    let sum = add_relu(add, &sigmoid(&x).unwrap(), &x).unwrap();
                    let got = sigmoid(&sum).unwrap().read_blocking().unwrap();
                    let expected = reference::sigmoid(&array).unwrap() + &array;
                    let expected = reference::sigmoid(&expected.mapv(|x| x.max(0.0))).unwrap();
                    assert!(got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-6));
                }
            });
        }
    });
    // Validated calls wait for the GPU, before and behind.
    gpu.set_validation(true);
    let x = Tensor::from_array(&gpu, &array![0.0]).unwrap();
    let output: Tensor = Tensor::empty(&gpu, &[1]).unwrap();
    let half = gpu.record_own("add_relu", &[&x, &x], &[&output], |pass, bindings| {
        dispatch(&gpu, pass, &add, bindings, 1);
        let read = || sigmoid(&x).and_then(|half| half.read_blocking());
        std::thread::scope(|scope| scope.spawn(read).join().unwrap())
    });
    assert_eq!(half.unwrap()[0], 0.5);
    assert_eq!(sigmoid(&output).unwrap().read_blocking().unwrap()[0], 0.5);
}

#[test]
fn misuse_of_own_dispatches_is_an_error_and_touches_no_other_call() {
    let gpu = portable_gpu();
    let add = pipeline(&gpu, "add_relu");
    let upload = |array: &ArrayD<f32>| Tensor::from_array(&gpu, array).unwrap();
    let [x, y, z] = [1.0, 2.0, 3.0].map(|value| upload(&array![value].into_dyn()));
    let beside = sigmoid(&upload(&array![0.0].into_dyn())).unwrap();
    let nothing = |_: &mut wgpu::ComputePass<'_>, _: &[wgpu::BindingResource<'_>]| Ok(());
    let record = |reads: &[&dyn AnyTensor], writes: &[&dyn AnyTensor]| gpu.record_own("own", reads, writes, nothing);

    let elsewhere = Tensor::from_array(crate::harness::gpu(), &array![1.0]).unwrap();
    expect_invalid(record(&[&x, &elsewhere], &[]), "reads", "another device, at 1");
    expect_invalid(record(&[], &[&elsewhere]), "writes", "another device, at 0");
    expect_invalid(record(&[&x, &y], &[&z, &y]), "writes", "at 1 the buffer of reads at 1");
    expect_invalid(record(&[], &[&z, &z]), "writes", "at 1 the buffer of writes at 0");
    record(&[&x, &x], &[]).unwrap();

    // What wgpu finds wrong with the commands, or with what is made for them.
    let result = gpu.record_own("too many", &[&x, &y], &[&z], |pass, bindings| {
        dispatch(&gpu, pass, &add, bindings, 1 << 20);
        Ok(())
    });
    expect_invalid(result, "record", "\"too many\"");
    let result = gpu.record_own("too few", &[&x], &[&z], |pass, bindings| {
        dispatch(&gpu, pass, &add, bindings, 1);
        Ok(())
    });
    expect_invalid(result, "record", "\"too few\"");
    // What the closure returns; nothing of it runs.
    let result: Result<()> = gpu.record_own("given up", &[&x, &y], &[&z], |pass, bindings| {
        dispatch(&gpu, pass, &add, bindings, 1);
        Err(Error::MissingFeature { operation: "own", feature: "none" })
    });
    assert!(matches!(result, Err(Error::MissingFeature { .. })), "{result:?}");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        gpu.record_own("panics", &[], &[&z], |_, _| -> Result<()> { panic!("as planned") })
    }));
    assert!(panicked.is_err());
    // Operators, submits, reads and further dispatches inside come before.
    let output: Tensor = Tensor::empty(&gpu, &[1]).unwrap();
    let inner = gpu.record_own("outer", &[&x, &y], &[&output], |pass, bindings| {
        dispatch(&gpu, pass, &add, bindings, 1);
        gpu.submit()?;
        assert_eq!(x.read_blocking()?[0], 1.0);
        let sum = add_relu(&add, &x, &z)?;
        sigmoid(&sum)?;
        Ok(sum)
    });
    assert_eq!(inner.unwrap().read_blocking().unwrap()[0], 4.0);
    assert_eq!(output.read_blocking().unwrap()[0], 3.0);
    assert_eq!((beside.read_blocking().unwrap()[0], z.read_blocking().unwrap()[0]), (0.5, 3.0));

    // Calls that fail together.
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC;
    let descriptor = wgpu::BufferDescriptor { label: None, size: 4, usage, mapped_at_creation: false };
    let buffer = gpu.device().create_buffer(&descriptor);
    let foreign = Tensor::from_buffer(&gpu, buffer.clone(), 0, &[1]).unwrap();
    let sum = add_relu(&add, &foreign, &x).unwrap();
    buffer.destroy();
    for result in [sum.read_blocking().map(drop), add_relu(&add, &x, &sum).map(drop), record(&[], &[&sum])] {
        assert!(matches!(result, Err(Error::Validation { .. })), "{result:?}");
    }
    assert!(matches!(sum.slice(), Err(Error::Validation { .. })));
    assert_eq!(add_relu(&add, &x, &z).unwrap().read_blocking().unwrap()[0], 4.0);
    gpu.device().destroy();
    let results =
        [record(&[&x], &[]), x.slice().map(drop), add_relu(&add, &x, &z).and_then(|sum| sum.read_blocking()).map(drop)];
    assert!(matches!(results[2], Err(Error::DeviceLost { .. })), "{results:?}");
    assert!(matches!(record(&[&x], &[]), Err(Error::DeviceLost { .. })));
    assert!(matches!(x.slice(), Err(Error::DeviceLost { .. })));
}

/// Class indices are checked as they were uploaded, until somebody else may have written them.
#[test]
fn own_writes_make_class_indices_unknown() {
    let gpu = gpu();
    let logits = Tensor::from_array(gpu, &random(&[1, 3], 1)).unwrap();
    let loss =
        |classes: &Tensor<i32>| cross_entropy(&logits, CrossEntropyTarget::Classes(classes), None, &Default::default());
    let classes = || Tensor::from_array(gpu, &Array1::from_elem(1, 7)).unwrap();
    let written = classes();
    assert!(matches!(loss(&written), Err(Error::InvalidArgument { argument: "target", .. })));
    let nines = pipeline(gpu, "nines");
    gpu.record_own("nines", &[], &[&written], |pass, bindings| {
        dispatch(gpu, pass, &nines, bindings, 1);
        Ok(())
    })
    .unwrap();
    assert_eq!(written.read_blocking().unwrap()[0], 9);
    assert!(loss(&written).unwrap().read_blocking().unwrap().first().unwrap().is_nan());
    let read = classes();
    gpu.record_own("nothing", &[&read], &[], |_, _| Ok(())).unwrap();
    assert!(loss(&read).is_err());
    let shown = classes();
    gpu.queue().write_buffer(shown.slice().unwrap().buffer(), 0, &1_i32.to_ne_bytes());
    assert!(loss(&shown).unwrap().read_blocking().unwrap().first().unwrap().is_finite());
}

#[test]
fn a_profile_has_own_dispatches_under_their_label() {
    let gpu = Gpu::new_blocking().unwrap();
    let add = pipeline(&gpu, "add_relu");
    let x = Tensor::from_array(&gpu, &random(&[1000], 1)).unwrap();
    let work = || {
        let sum = add_relu(&add, &sigmoid(&x).unwrap(), &x).unwrap();
        let failed: Result<()> =
            gpu.record_own("failed", &[], &[], |_, _| Err(Error::MissingFeature { operation: "", feature: "" }));
        assert!(failed.is_err());
        add_relu(&add, &sigmoid(&sum).unwrap(), &sum).unwrap()
    };
    let expected = work().read_blocking().unwrap();
    let (output, timings) = gpu.profile(work).unwrap();
    let labels: Vec<_> = timings.iter().map(|timing| timing.operator).collect();
    assert_eq!(labels, ["sigmoid", "add_relu", "sigmoid", "add_relu"]);
    assert!(timings.iter().all(|timing| !timing.time.is_zero()), "{timings:?}");
    assert_eq!(output.read_blocking().unwrap(), expected);
}
