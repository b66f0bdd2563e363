//! What tensors do beside being operators' arguments: zeros, other shapes, new contents, read-backs.

use ndarray::{ArrayD, array};
use wgdnn::wgpu::{self, BufferUsages};
use wgdnn::{Conv2dParams, CrossEntropyTarget, Element, Error, Gpu, Result, Tensor, conv2d, cross_entropy, sigmoid};

use crate::harness::{gpu, portable_gpu, random};
use crate::own::{add_relu, pipeline};

#[track_caller]
fn expect_invalid<T: std::fmt::Debug>(result: Result<T>, wanted: &str) {
    match result {
        Err(Error::InvalidArgument { operator: "tensor", argument, .. }) => assert_eq!(argument, wanted),
        other => panic!("{other:?}"),
    }
}

fn read<T: Element>(tensor: &Tensor<T>) -> Vec<T> {
    tensor.read_vec_blocking().unwrap()
}

#[test]
fn zeros_are_zeros_in_buffers_that_were_used() {
    let gpu = portable_gpu();
    let mut kept = Vec::new();
    for round in 0..20 {
        // Pending calls use the buffers that are dropped here, and must not find zeros in them.
        let ones = Tensor::from_slice(&gpu, &[1.0; 100], &[100]).unwrap();
        kept.push(sigmoid(&sigmoid(&ones).unwrap()).unwrap());
        drop(ones);
        let zeros = Tensor::<f32>::zeros(&gpu, &[4, 25]).unwrap();
        assert_eq!(zeros.shape(), [4, 25]);
        kept.push(sigmoid(&sigmoid(&zeros).unwrap()).unwrap());
        if round % 3 == 0 {
            assert_eq!(read(&zeros), [0.0; 100]);
        }
    }
    for pair in kept.chunks_exact(2) {
        let [of_one, of_zero] = [1.0, 0.0_f32].map(|x| 1.0 / (1.0 + (-1.0 / (1.0 + (-x).exp())).exp()));
        assert!(read(&pair[0]).iter().all(|x| (x - of_one).abs() < 1e-6));
        assert!(read(&pair[1]).iter().all(|x| (x - of_zero).abs() < 1e-6));
    }
    assert_eq!(read(&Tensor::<i32>::zeros(&gpu, &[3]).unwrap()), [0; 3]);
    assert_eq!(read(&Tensor::<f32>::zeros(&gpu, &[]).unwrap()), [0.0]);
    assert_eq!(read(&Tensor::<f32>::zeros(&gpu, &[2, 0]).unwrap()), [0.0; 0]);
    let huge = Tensor::<f32>::zeros(&gpu, &[1 << 40]);
    assert!(matches!(huge, Err(Error::LimitExceeded { operator: "tensor", argument: "shape", .. })), "{huge:?}");
}

#[test]
fn reshaped_tensors_share_their_buffer() {
    let tensor = Tensor::from_slice(gpu(), &[1, 2, 3, 4, 5, 6], &[2, 3]).unwrap();
    let reshaped = tensor.reshape(&[3, 1, 2]).unwrap();
    assert_eq!((reshaped.shape(), tensor.shape()), (&[3, 1, 2][..], &[2, 3][..]));
    reshaped.write(&[6, 5, 4, 3, 2, 1]).unwrap();
    assert_eq!(tensor.read_blocking().unwrap(), array![[6, 5, 4], [3, 2, 1]].into_dyn());
    for shape in [&[][..], &[5], &[2, 3, 2], &[0, 6]] {
        expect_invalid(tensor.reshape(shape), "shape");
    }
    let text = tensor.reshape(&[7]).unwrap_err().to_string();
    assert_eq!(text, "tensor: shape: expected a shape of 6 elements, as [2, 3] has, got [7]");
    assert!(matches!(tensor.reshape(&[usize::MAX, 2]), Err(Error::LimitExceeded { argument: "shape", .. })));
    // None of no elements are as many as others.
    assert_eq!(Tensor::<f32>::zeros(gpu(), &[0, 3]).unwrap().reshape(&[7, 0]).unwrap().shape(), [7, 0]);
    assert_eq!(Tensor::from_slice(gpu(), &[1.0], &[]).unwrap().reshape(&[1, 1]).unwrap().shape(), [1, 1]);
}

#[test]
fn reads_are_row_major_of_any_type() {
    let values = random(&[3, 5, 7], 1);
    let tensor = Tensor::from_array(gpu(), &values.t()).unwrap();
    assert_eq!(tensor.shape(), [7, 5, 3]);
    let expected: Vec<f32> = values.t().iter().copied().collect();
    assert_eq!(read(&tensor), expected);
    assert_eq!(pollster::block_on(tensor.read_vec()).unwrap(), expected);
    assert_eq!(ArrayD::from_shape_vec(vec![7, 5, 3], expected).unwrap(), tensor.read_blocking().unwrap());
    assert_eq!(read(&Tensor::from_slice(gpu(), &[i32::MIN, -1, i32::MAX], &[3]).unwrap()), [i32::MIN, -1, i32::MAX]);
}

/// Writes between eager calls and dispatches of the caller's own, which nobody reads meanwhile.
#[test]
fn writes_are_in_order_among_calls() {
    let gpu = portable_gpu();
    let add = pipeline(&gpu, "add_relu");
    let input = Tensor::<f32>::empty(&gpu, &[64]).unwrap();
    let one = Tensor::from_slice(&gpu, &[1.0; 64], &[64]).unwrap();
    let mut sums = Vec::new();
    for round in 0..200 {
        input.write(&[round as f32; 64]).unwrap();
        let sum = add_relu(&add, &input, &one).unwrap();
        let features = sigmoid(&input.reshape(&[8, 8]).unwrap()).unwrap();
        // Over what a call has just written.
        let over = sigmoid(&input).unwrap();
        over.write(&[-1.0; 64]).unwrap();
        sums.push((sum, features, sigmoid(&over).unwrap()));
    }
    for (round, (sum, features, over)) in sums.iter().enumerate() {
        assert_eq!(read(sum), [round as f32 + 1.0; 64]);
        let expected = 1.0 / (1.0 + (-(round as f32)).exp());
        assert!(read(features).iter().all(|x| (x - expected).abs() < 1e-6), "{round}");
        assert!(read(over).iter().all(|x| (x - 0.268_941_4).abs() < 1e-6), "{round}");
    }
}

/// More than passes through the staging buffers at once.
#[test]
fn large_contents_are_written_whole() {
    let gpu = portable_gpu();
    let elements = (20 << 20) / 4 + 3;
    let tensor = Tensor::<i32>::zeros(&gpu, &[elements]).unwrap();
    for factor in [3, 7] {
        let data: Vec<i32> = (0..elements as i32).map(|index| index * factor).collect();
        tensor.write(&data).unwrap();
        assert!(read(&tensor) == data);
    }
}

#[test]
fn writes_of_another_size_change_nothing() {
    let tensor = Tensor::from_slice(gpu(), &[1.0, 2.0], &[2]).unwrap();
    for data in [&[][..], &[0.0], &[0.0; 3]] {
        expect_invalid(tensor.write(data), "data");
    }
    assert_eq!(read(&tensor), [1.0, 2.0]);
    Tensor::<f32>::zeros(gpu(), &[0]).unwrap().write(&[]).unwrap();
}

#[test]
fn class_indices_that_are_written_are_known() {
    let gpu = gpu();
    let logits = Tensor::from_array(gpu, &random(&[1, 3], 1)).unwrap();
    let loss = |classes: &Tensor<i32>| {
        let loss = cross_entropy(&logits, CrossEntropyTarget::Classes(classes), None, &Default::default())?;
        loss.read_vec_blocking()
    };
    let zero = Tensor::<i32>::zeros(gpu, &[1]).unwrap();
    assert!(loss(&zero).unwrap()[0].is_finite());
    let classes = Tensor::from_slice(gpu, &[7], &[1]).unwrap();
    let refused = |result| matches!(result, Err(Error::InvalidArgument { argument: "target", .. }));
    assert!(refused(loss(&classes)));
    classes.write(&[2]).unwrap();
    assert!(loss(&classes).unwrap()[0].is_finite());
    classes.write(&[3]).unwrap();
    assert!(refused(loss(&classes)));
    // Once a caller has the buffer, its contents are unknown, whatever was written last.
    classes.slice().unwrap();
    assert!(loss(&classes).unwrap()[0].is_nan());
    classes.write(&[8]).unwrap();
    assert!(loss(&classes).unwrap()[0].is_nan());
}

fn buffer(gpu: &Gpu, usage: BufferUsages) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size: 1024, usage, mapped_at_creation: false })
}

#[test]
fn callers_buffers_need_the_usage_and_a_device() {
    let gpu = portable_gpu();
    let over = |usage| Tensor::<f32>::from_buffer(&gpu, buffer(&gpu, usage), 256, &[16]).unwrap();
    let storage = BufferUsages::STORAGE;
    expect_invalid(over(storage | BufferUsages::COPY_SRC).write(&[0.0; 16]), "buffer");
    let write_only = over(storage | BufferUsages::COPY_DST);
    write_only.write(&[0.0; 16]).unwrap();
    expect_invalid(write_only.read_vec_blocking(), "buffer");
    expect_invalid(pollster::block_on(write_only.read_vec()), "buffer");

    // Nothing beside the tensor's own elements is written.
    let whole = buffer(&gpu, storage | BufferUsages::COPY_DST | BufferUsages::COPY_SRC);
    let [all, part] = [(0, 256), (256, 16)]
        .map(|(offset, elements)| Tensor::<f32>::from_buffer(&gpu, whole.clone(), offset, &[elements]).unwrap());
    all.write(&[1.0; 256]).unwrap();
    part.write(&[2.0; 16]).unwrap();
    let expected: Vec<_> = (0..256).map(|at| if (64..80).contains(&at) { 2.0 } else { 1.0 }).collect();
    assert_eq!(read(&all), expected);

    // A destroyed one fails alone.
    let other = Tensor::from_slice(&gpu, &[0.0], &[1]).unwrap();
    let pending = sigmoid(&other).unwrap();
    whole.destroy();
    expect_invalid(part.write(&[3.0; 16]), "buffer");
    assert_eq!(read(&pending), [0.5]);
}

/// What a failed call was to write is as good as new once it is written.
#[test]
fn a_write_ends_a_failure() {
    let gpu = portable_gpu();
    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC;
    let destroyed = buffer(&gpu, usage);
    let foreign = Tensor::from_buffer(&gpu, destroyed.clone(), 0, &[1]).unwrap();
    let output: Tensor = sigmoid(&foreign).unwrap();
    destroyed.destroy();
    assert!(matches!(output.read_vec_blocking(), Err(Error::Validation { .. })));
    assert!(matches!(sigmoid(&output), Err(Error::Validation { .. })));
    output.write(&[0.0]).unwrap();
    assert_eq!(read(&sigmoid(&output).unwrap()), [0.5]);
}

#[test]
fn lost_devices_say_so() {
    let gpu = portable_gpu();
    let tensor = Tensor::from_slice(&gpu, &[1.0], &[1]).unwrap();
    gpu.device().destroy();
    let read = tensor.read_vec_blocking();
    assert!(matches!(read, Err(Error::DeviceLost { .. })), "{read:?}");
    for result in [
        tensor.write(&[2.0]),
        Tensor::<f32>::zeros(&gpu, &[3]).map(drop),
        pollster::block_on(tensor.read_vec()).map(drop),
    ] {
        assert!(matches!(result, Err(Error::DeviceLost { .. })), "{result:?}");
    }
    // Before anything else has found it out.
    for call in
        [|tensor: &Tensor| tensor.write(&[2.0]), |tensor: &Tensor| Tensor::<f32>::zeros(tensor.gpu(), &[3]).map(drop)]
    {
        let gpu = portable_gpu();
        let tensor = Tensor::from_slice(&gpu, &[1.0], &[1]).unwrap();
        gpu.device().destroy();
        let results = [call(&tensor), tensor.read_vec_blocking().map(drop)];
        assert!(matches!(results[1], Err(Error::DeviceLost { .. })), "{results:?}");
        assert!(matches!(results[0], Ok(()) | Err(Error::DeviceLost { .. })), "{results:?}");
    }
}

/// A profile has the names that calls were made under, and the shapes of what a caller's own dispatches use.
#[test]
fn profiles_have_names() {
    let gpu = Gpu::new_blocking().unwrap();
    let add = pipeline(&gpu, "add_relu");
    let input = Tensor::<f32>::zeros(&gpu, &[1, 2, 4, 4]).unwrap();
    let weight = Tensor::<f32>::zeros(&gpu, &[3, 2, 1, 1]).unwrap();
    let other = portable_gpu();
    let ((), timings) = gpu
        .profile(|| {
            sigmoid(&input).unwrap();
            gpu.named("layer1", || {
                gpu.named(&format!("block{}", 2), || conv2d(&input, &weight, None, &Conv2dParams::default()).unwrap());
                // A name of another device's calls, and a panic, change nothing.
                other.named("other", || add_relu(&add, &input, &input).unwrap());
                let panicked = std::panic::AssertUnwindSafe(|| gpu.named("panic", || panic!("as planned")));
                assert!(std::panic::catch_unwind(panicked).is_err());
                sigmoid(&input).unwrap();
            });
            sigmoid(&input).unwrap();
        })
        .unwrap();
    let names: Vec<_> = timings.iter().map(|timing| (timing.operator, timing.name.as_deref())).collect();
    let expected = [
        ("sigmoid", None),
        ("conv2d", Some("layer1/block2")),
        ("add_relu", Some("layer1")),
        ("sigmoid", Some("layer1")),
        ("sigmoid", None),
    ];
    assert_eq!(names, expected);
    let shape = vec![1, 2, 4, 4];
    assert_eq!(timings[2].shapes, [("reads", shape.clone()), ("reads", shape.clone()), ("writes", shape)]);
}
