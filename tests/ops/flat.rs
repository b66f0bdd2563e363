//! Tensors that share one buffer, and optimisers that go over all of them.

use serde_json::{Value, json};
use wgdnn::cases::{Call, Case, CaseArray, read_arrays};
use wgdnn::{Error, FlatTensors, Gpu, Tensor, relu_};

use crate::harness::{golden_folder, gpu, random};

const SHAPES: [&[usize]; 5] = [&[3, 5], &[], &[0, 7], &[1], &[2, 2, 3]];

#[test]
fn parts_are_ranges_of_the_whole() {
    let flat = FlatTensors::zeros(gpu(), &SHAPES).unwrap();
    assert_eq!(flat.whole().shape(), [FlatTensors::elements(gpu(), &SHAPES).unwrap()]);
    let mut expected = vec![0.0; flat.whole().len()];
    let alignment = gpu().limits().min_storage_buffer_offset_alignment.max(16) as usize / 4;
    let mut at = 0;
    for (part, shape) in flat.parts().iter().zip(SHAPES) {
        assert_eq!(part.shape(), shape);
        let numbers: Vec<f32> = (0..part.len()).map(|x| (at + x) as f32 + 1.0).collect();
        part.write(&numbers).unwrap();
        expected[at..at + numbers.len()].copy_from_slice(&numbers);
        assert_eq!(part.read_vec_blocking().unwrap(), numbers);
        at += part.len().max(1).next_multiple_of(alignment);
    }
    assert_eq!(flat.whole().read_vec_blocking().unwrap(), expected);
    // A call on a part leaves the others as they are, and clones and other shapes are parts too.
    flat[0].write(&[-1.0; 15]).unwrap();
    relu_(&flat[0].clone().reshape(&[15]).unwrap()).unwrap();
    expected[..15].fill(0.0);
    assert_eq!(flat.whole().read_vec_blocking().unwrap(), expected);
    let offset = |index: usize| flat[index].slice().unwrap().offset() as usize / 4;
    let second = 15_usize.next_multiple_of(alignment);
    assert_eq!([0, 1, 2, 3].map(offset), [0, second, second + alignment, second + 2 * alignment]);
}

#[test]
fn what_cannot_be_is_refused() {
    let nothing: [&[usize]; 0] = [];
    assert_eq!(FlatTensors::zeros(gpu(), &nothing).unwrap().whole().shape(), [0]);
    let error = FlatTensors::zeros(gpu(), &[&[3][..], &[1 << 20, 1 << 20]]).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { argument: "shapes", item: Some(1), .. }), "{error}");
    let error = FlatTensors::zeros(gpu(), &[&[1 << 28][..], &[1 << 27], &[1 << 28]]).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { argument: "shapes", item: Some(2), .. }), "{error}");
    let whole = Tensor::zeros(gpu(), &[7]).unwrap();
    let error = FlatTensors::over(&whole, &[[1000]]).unwrap_err().to_string();
    assert!(error.starts_with("flat_tensors: whole: expected shape [10"), "{error}");
}

/// In a buffer of the caller's, from an offset on.
#[test]
fn a_buffer_of_ones_own() {
    use wgdnn::wgpu::{BufferDescriptor, BufferUsages};

    let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
    let elements = FlatTensors::elements(gpu(), &SHAPES).unwrap();
    let size = 256 + 4 * elements as u64;
    let descriptor = BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
    let buffer = gpu().device().create_buffer(&descriptor);
    let whole = Tensor::from_buffer(gpu(), buffer, 256, &[elements]).unwrap();
    let flat = FlatTensors::over(&whole, &SHAPES).unwrap();
    flat[4].write(&[2.5; 12]).unwrap();
    let begin = (flat[4].slice().unwrap().offset() - 256) as usize / 4;
    assert_eq!(whole.read_vec_blocking().unwrap()[begin..begin + 12], [2.5; 12]);
}

/// wgpu counts uses by buffer, so this is refused rather than undefined.
#[test]
fn one_part_cannot_be_read_while_another_is_written() {
    let flat = FlatTensors::zeros(gpu(), &[[4], [4]]).unwrap();
    let error = wgdnn::add_(&flat[0], &flat[1], &Default::default()).unwrap_err().to_string();
    assert!(error.contains("expected a buffer that no other argument uses"), "{error}");
}

/// An update of a parameter by an optimiser, by the names of its case.
fn step(op: &str, params: &Value, inputs: &[(&str, CaseArray)]) -> Call {
    let inputs = inputs.iter().map(|(name, array)| ((*name).to_owned(), vec![std::sync::Arc::new(array.clone())]));
    let params = params.as_object().unwrap().clone();
    let case = Case {
        id: "step".into(),
        op: op.into(),
        params,
        inputs: inputs.collect(),
        lists: Default::default(),
        outputs: Default::default(),
        is_error: false,
    };
    Call::of_case(&case).unwrap()
}

/// 50 steps of torch.optim, as tests/golden/optimizers.py made them: within 4 times the error of PyTorch's own float32.
#[test]
fn fifty_steps_are_pytorchs() {
    use safetensors::SafeTensors;

    let file = std::fs::read(golden_folder("").join("optimizers.safetensors")).unwrap();
    let arrays = read_arrays(&file).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    let metadata = metadata.metadata().as_ref().unwrap();
    let configurations: Vec<Value> = serde_json::from_str(&metadata["configurations"]).unwrap();
    assert!(configurations.len() >= 14);
    let float = |name: &str| match &*arrays[name] {
        CaseArray::F32(array) => array.clone(),
        other => panic!("{name}: {other:?}"),
    };
    let (grads, scalar) = (float("grads"), |x: f64| CaseArray::F32(ndarray::arr0(x as f32).into_dyn()));
    for configuration in &configurations {
        let [name, op] = ["name", "op"].map(|key| configuration[key].as_str().unwrap());
        let params = &configuration["params"];
        let zeros = || CaseArray::F32(float("param") * 0.0);
        let mut state = vec![("param", CaseArray::F32(float("param")))];
        match op {
            "sgd" if params["momentum"].as_f64().unwrap_or(0.0) == 0.0 => {}
            "sgd" => state.extend([("momentum_buffer", zeros()), ("step", scalar(0.0))]),
            _ => state.extend([("exp_avg", zeros()), ("exp_avg_sq", zeros()), ("step", scalar(0.0))]),
        }
        for (index, grad) in grads.outer_iter().enumerate() {
            let mut inputs = state.clone();
            inputs.push(("grad", CaseArray::F32(grad.to_owned())));
            inputs.push(("lr", scalar(configuration["lr"].as_f64().unwrap())));
            let mut outputs = step(op, params, &inputs).run_eager(gpu()).unwrap();
            for (name, array) in &mut state {
                *array = outputs.remove(*name).unwrap();
            }
            for (of, array) in &state {
                let key = format!("{of}/{}", index + 1);
                let Some(expected) = arrays.get(&format!("{name}/{key}")) else { continue };
                let (CaseArray::F32(expected), CaseArray::F32(got)) = (&**expected, array) else { panic!("{key}") };
                let theirs = configuration["error_float32"][&key].as_f64().unwrap();
                let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(f64::from(x.abs())));
                let bound = (4.0 * theirs).max(largest / f64::from(1 << 23));
                let error = wgdnn::cases::difference(got, expected).largest;
                assert!(error <= bound, "{name}, {key}: {error:e}, PyTorch's float32 {theirs:e}");
            }
        }
    }
}

/// 100 parameters of mixed sizes take as many dispatches as one, and all are updated.
#[test]
fn a_hundred_parameters_take_few_dispatches() {
    let shapes: Vec<Vec<usize>> = (1..=100).map(|x| vec![x * x % 37 + 1, x % 7 + 1]).collect();
    let [params, grads, first, second] = [0; 4].map(|_| FlatTensors::zeros(gpu(), &shapes).unwrap());
    for (index, (param, grad)) in params.parts().iter().zip(grads.parts()).enumerate() {
        param.write(random(param.shape(), index as u64).as_slice().unwrap()).unwrap();
        grad.write(random(grad.shape(), 1000 + index as u64).as_slice().unwrap()).unwrap();
    }
    let (lr, steps) = (Tensor::from_slice(gpu(), &[0.1], &[]).unwrap(), Tensor::zeros(gpu(), &[]).unwrap());
    let shape = params.whole().shape().to_vec();
    let before: Vec<_> = params.parts().iter().map(|part| part.read_vec_blocking().unwrap()).collect();
    let float =
        |name: &'static str, tensor: &Tensor| (name.into(), wgdnn::operator::FloatOrInteger::Float(tensor.clone()));
    for (op, params_json) in [("sgd", json!({"momentum": 0.9})), ("adam", json!({"weight_decay": 0.01}))] {
        let zeros = CaseArray::F32(ndarray::ArrayD::zeros(&shape[..]));
        let scalar = CaseArray::F32(ndarray::arr0(0.0).into_dyn());
        let states: &[&str] = if op == "sgd" { &["momentum_buffer"] } else { &["exp_avg", "exp_avg_sq"] };
        let mut inputs: Vec<_> = ["param", "grad"].iter().chain(states).map(|name| (*name, zeros.clone())).collect();
        inputs.extend([("lr", scalar.clone()), ("step", scalar)]);
        let call = step(op, &params_json, &inputs);
        let dispatches = call.operator().dispatch_count_on(gpu().capabilities()).unwrap();
        assert!(dispatches <= 4, "{op}: {dispatches}");
        let mut tensors = vec![float("param", params.whole()), float("grad", grads.whole())];
        tensors.extend(states.iter().zip([&first, &second]).map(|(name, state)| float(name, state.whole())));
        tensors.extend([float("lr", &lr), float("step", &steps)]);
        call.operator().call_by_name(tensors).unwrap();
    }
    for (before, param) in before.iter().zip(params.parts()) {
        let after = param.read_vec_blocking().unwrap();
        assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{:?}", param.shape());
    }
    // What lies between stays 0.
    let (whole, used) =
        (params.whole().read_vec_blocking().unwrap(), params.parts().iter().map(Tensor::len).sum::<usize>());
    assert_eq!(whole.iter().filter(|x| **x == 0.0).count(), whole.len() - used);
}

/// What fails to be written is an error to read, also where other parts were written since, until the whole is written.
#[test]
fn parts_remember_failures_and_forget_successes() {
    use wgdnn::wgpu::{BufferDescriptor, BufferUsages};

    let gpu = Gpu::new_blocking().unwrap();
    let flat = FlatTensors::zeros(&gpu, &[[4], [4]]).unwrap();
    for _ in 0..1000 {
        relu_(&flat[0]).unwrap();
        gpu.submit().unwrap();
        relu_(&flat[1]).unwrap();
    }
    assert_eq!(flat[0].read_vec_blocking().unwrap(), [0.0; 4]);

    let usage = BufferUsages::STORAGE;
    let buffer =
        gpu.device().create_buffer(&BufferDescriptor { label: None, size: 256, usage, mapped_at_creation: false });
    let other = Tensor::from_buffer(&gpu, buffer.clone(), 0, &[4]).unwrap();
    wgdnn::add_(&flat[0], &other, &Default::default()).unwrap();
    buffer.destroy();
    assert!(gpu.submit().is_err());
    flat[1].write(&[1.0; 4]).unwrap();
    for tensor in [&flat[0], &flat[1], flat.whole()] {
        assert!(tensor.read_vec_blocking().is_err());
    }
    flat.whole().write(&vec![2.0; flat.whole().len()]).unwrap();
    for tensor in [&flat[0], &flat[1], flat.whole()] {
        assert!(tensor.read_vec_blocking().unwrap().iter().all(|x| *x == 2.0));
    }
}
