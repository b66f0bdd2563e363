//! Operators whose output replaces an input in its own buffer.

use wgdnn::cases::{Call, Outputs, Refusal, compare};
use wgdnn::operator::{FloatOrInteger, Name};
use wgdnn::{Gpu, Operator, Relu, Tensor, UnaryInputs, relu_};

use crate::harness::{golden, gpu, gpu_taken_for_hardware};

/// The inputs that may be the output's own buffer.
fn candidates(call: &Call, gpu: &Gpu) -> Vec<Name> {
    let slots = call.operator().slots_on(gpu.capabilities());
    slots.into_iter().filter(|slot| slot.slot.may_be_output()).map(|slot| slot.name).collect()
}

/// What an eager call leaves in the tensor that it replaces.
fn eagerly(call: &Call, gpu: &Gpu, name: Name) -> Result<Outputs, Refusal> {
    let tensors = call.upload(gpu)?;
    call.operator().call_in_place_by_name(tensors.clone())?;
    let Some((_, FloatOrInteger::Float(tensor))) = tensors.into_iter().find(|(other, _)| *other == name) else {
        panic!("{name} is no float");
    };
    Ok([("output".to_owned(), tensor.read_blocking()?.into())].into())
}

/// Every golden case of an operator that works in place, eagerly and recorded.
#[test]
fn golden_cases_in_place() {
    let mut ran = std::collections::BTreeMap::<&str, usize>::new();
    let mut wrong = Vec::new();
    for case in golden().iter().filter(|case| !case.is_error) {
        let call = Call::of_case(case).unwrap();
        let mut case = case.clone();
        // Gradients are made by another call.
        case.outputs.retain(|name, _| name == "output");
        for gpu in [gpu(), gpu_taken_for_hardware()] {
            let candidates = candidates(&call, gpu);
            let Some(&first) = candidates.first() else { continue };
            *ran.entry(call.op()).or_default() += 1;
            let recorded = candidates.iter().map(|&name| crate::recorded::run_with(&call, gpu, &[name]));
            for outputs in [eagerly(&call, gpu, first)].into_iter().chain(recorded) {
                if let Err(reason) = compare(&case, &outputs.unwrap()) {
                    wrong.push(format!("{}: {reason}", case.id));
                }
            }
        }
    }
    assert!(ran.len() >= 9 && ran.values().all(|&count| count >= 100), "{ran:?}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn clones_and_reshaped_tensors_hold_the_output() {
    let x = Tensor::from_array(gpu(), &ndarray::array![-1.0, 1.0]).unwrap();
    let (clone, column) = (x.clone(), x.reshape(&[2, 1]).unwrap());
    relu_(&x).unwrap();
    for tensor in [x, clone, column] {
        assert_eq!(tensor.read_vec_blocking().unwrap(), [0.0, 1.0]);
    }
}

#[test]
fn a_call_in_place_that_is_wrong_changes_nothing() {
    let x = Tensor::from_array(gpu(), &ndarray::array![-1.0, 1.0]).unwrap();
    let error = Relu::new(&[3]).unwrap().call_in_place(&UnaryInputs { input: &x }).unwrap_err();
    assert_eq!(error.to_string(), "relu: input: expected shape [3], got shape [2]");
    assert_eq!(x.read_vec_blocking().unwrap(), [-1.0, 1.0]);
    let flat = wgdnn::Flatten::new(&[2], &Default::default()).unwrap();
    let error = flat.call_in_place(&UnaryInputs { input: &x }).unwrap_err();
    assert!(error.to_string().starts_with("flatten: output: expected an input of the output's shape"), "{error}");
}

/// The same buffer from another offset on, or a slice of it that is too short, is another argument.
#[test]
fn only_the_same_range_is_in_place() {
    use wgdnn::UnaryOutputs;

    let buffer: Tensor = Tensor::zeros(gpu(), &[256]).unwrap();
    let buffer = buffer.slice().unwrap().buffer().clone();
    let relu = Relu::new(&[16]).unwrap();
    let record = |input: wgdnn::wgpu::BufferSlice<'_>, output: wgdnn::wgpu::BufferSlice<'_>| {
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        relu.record(&mut gpu().record(&mut encoder), &UnaryInputs { input }, &UnaryOutputs { output }, None)
    };
    record(buffer.slice(..), buffer.slice(..64)).unwrap();
    let error = record(buffer.slice(256..320), buffer.slice(..64)).unwrap_err().to_string();
    assert_eq!(error, "relu: output: expected a buffer that no other argument uses, got the buffer of input");
    let error = record(buffer.slice(..32), buffer.slice(..64)).unwrap_err().to_string();
    assert_eq!(error, "relu: input: expected a buffer of at least 64 bytes, got 32 bytes");
}

/// With validation on, the input is read before it is replaced.
#[test]
fn calls_in_place_are_validated() {
    let gpu = Gpu::new_blocking().unwrap();
    gpu.set_validation(true);
    let x = Tensor::from_array(&gpu, &ndarray::array![-1.0, 1.0]).unwrap();
    relu_(&x).unwrap();
    assert_eq!(x.read_vec_blocking().unwrap(), [0.0, 1.0]);
    gpu.substitute_shader(
        "relu_in_place",
        wgdnn::kernels()
            .iter()
            .find(|kernel| kernel.module == "relu_in_place")
            .unwrap()
            .source()
            .replace("input_element(at)", "7u"),
    );
    let x = Tensor::from_array(&gpu, &ndarray::array![-1.0, 1.0]).unwrap();
    assert!(matches!(relu_(&x), Err(wgdnn::Error::Mismatch { operator: "relu", .. })));
}
