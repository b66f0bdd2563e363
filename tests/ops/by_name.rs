//! Operators that are called, recorded and computed by the names of their arguments.

use std::slice::from_ref;

use ndarray::ArrayD;
use wgdnn::operator::{AnyArray, AnyTensorValue, FloatOrInteger, Name};
use wgdnn::{
    Activation, AnyOperator, Cat, CatParams, Conv2d, Conv2dParams, CrossEntropy, CrossEntropyInputs,
    CrossEntropyTarget, Gpu, Tensor,
};

use crate::harness::gpu;

fn floats(shape: &[usize]) -> AnyArray {
    FloatOrInteger::Float(ArrayD::ones(shape))
}

fn tensor(gpu: &Gpu, array: &AnyArray) -> AnyTensorValue {
    match array {
        FloatOrInteger::Float(array) => FloatOrInteger::Float(Tensor::from_array(gpu, array).unwrap()),
        FloatOrInteger::Integer(array) => FloatOrInteger::Integer(Tensor::from_array(gpu, array).unwrap()),
    }
}

/// What the CPU and the GPU say of the same arguments: an error of both, or none.
#[track_caller]
fn expect(operator: &dyn AnyOperator, inputs: &[(Name, AnyArray)], says: Option<&str>) {
    let on_cpu = operator.compute_by_name(inputs.to_vec()).map(drop);
    let tensors = inputs.iter().map(|(name, array)| (*name, tensor(gpu(), array))).collect();
    let on_gpu = operator.call_by_name(tensors).map(drop);
    for result in [on_cpu, on_gpu] {
        match (result, says) {
            (Ok(()), None) => {}
            (Err(error), Some(says)) => assert!(error.to_string().contains(says), "{error}, expected {says}"),
            (result, says) => panic!("{result:?}, expected {says:?}"),
        }
    }
}

#[test]
fn arguments_are_those_that_were_planned() {
    let new = |bias| Conv2d::new(&[1, 2, 4, 4], &[3, 2, 3, 3], bias, &Conv2dParams::default()).unwrap();
    let (input, weight) = (("input".into(), floats(&[1, 2, 4, 4])), ("weight".into(), floats(&[3, 2, 3, 3])));
    let bias = ("bias".into(), floats(&[3]));
    let both = [input.clone(), weight.clone()];
    let with = |more: &[(Name, AnyArray)]| [&both[..], more].concat();
    expect(&new(None), &both, None);
    expect(&new(None).with_packed_weight(), &both, None);
    expect(&new(Some(&[3])), &with(from_ref(&bias)), None);
    expect(&new(Some(&[3])), &both, Some("bias"));
    expect(&new(None), &with(from_ref(&bias)), Some("bias"));
    expect(&new(None), from_ref(&input), Some("weight"));
    expect(&new(None), &with(from_ref(&input)), Some("input"));
    expect(&new(None), &with(&[("inputs".into(), floats(&[1]))]), Some("conv2d: inputs"));
    expect(&new(None), &[("inputs".into(), floats(&[1])), weight.clone()], Some("conv2d: inputs"));
    expect(&new(None), &[("input".into(), floats(&[1, 2, 4, 5])), weight.clone()], Some("shape [1, 2, 4, 4]"));
    let integers = FloatOrInteger::Integer(ArrayD::ones(vec![1, 2, 4, 4]));
    expect(&new(None), &[("input".into(), integers), weight.clone()], Some("floats"));
    expect(&new(None).with_residual(), &both, Some("residual"));
    let prelu = new(None).with_activation(Activation::Prelu { num_parameters: 3 }).unwrap();
    expect(&prelu, &both, Some("activation_weight"));
    expect(&prelu, &with(&[("activation_weight".into(), floats(&[3]))]), None);
    assert_eq!(AnyOperator::output_shape(&prelu), [1, 3, 2, 2]);
    assert!(prelu.dispatch_count_on(gpu().capabilities()).unwrap() >= 1);
}

#[test]
fn lists_have_as_many_tensors_as_planned() {
    let cat = Cat::new(&[&[1, 2], &[1, 3]], &CatParams { dim: 1 }).unwrap();
    let tensor = |index, length| (Name { field: "tensors", index: Some(index) }, floats(&[1, length]));
    expect(&cat, &[tensor(0, 2), tensor(1, 3)], None);
    expect(&cat, &[tensor(0, 2)], Some("tensors[1]"));
    expect(&cat, &[tensor(0, 2), tensor(1, 3), tensor(2, 1)], Some("tensors[2]"));
    expect(&cat, &[tensor(0, 2), tensor(2, 3)], Some("tensors[1]"));
    expect(&cat, &[tensor(0, 2), tensor(1, 2)], Some("tensors[1]"));
}

/// Also in a typed call, whose targets may be either.
#[test]
fn integers_are_no_floats() {
    use wgdnn::Operator;

    let new = |target| CrossEntropy::new(&[2, 5], target, None, &Default::default()).unwrap();
    let classes = new(CrossEntropyTarget::Classes(&[2]));
    let input = ("input".into(), floats(&[2, 5]));
    let of = |target| [input.clone(), ("target".into(), target)];
    expect(&classes, &of(FloatOrInteger::Integer(ArrayD::ones(vec![2]))), None);
    expect(&classes, &of(floats(&[2])), Some("integers"));
    let likely = new(CrossEntropyTarget::Probabilities(&[2, 5]));
    expect(&likely, &of(floats(&[2, 5])), None);
    expect(&likely, &of(FloatOrInteger::Integer(ArrayD::ones(vec![2, 5]))), Some("floats"));

    let [scores, target] = [&[2, 5][..], &[2]].map(|shape| Tensor::zeros(gpu(), shape).unwrap());
    let inputs = CrossEntropyInputs::new(&scores, CrossEntropyTarget::Probabilities(&target));
    assert!(classes.call(&inputs).unwrap_err().to_string().contains("integers"));
}

#[test]
fn buffers_are_recorded_by_name() {
    let conv = Conv2d::new(&[1, 2, 4, 4], &[3, 2, 3, 3], None, &Conv2dParams::default()).unwrap();
    let tensors =
        [&[1, 2, 4, 4][..], &[3, 2, 3, 3], &[1, 3, 2, 2]].map(|shape| Tensor::<f32>::zeros(gpu(), shape).unwrap());
    let [input, weight, output] = tensors.each_ref().map(|tensor| tensor.slice().unwrap());
    let record = |buffers: &[(Name, wgdnn::wgpu::BufferSlice<'_>)]| {
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let recorder = &mut gpu().record(&mut encoder);
        conv.record_by_name(recorder, buffers).map_err(|error| error.to_string())
    };
    let all = [("input".into(), input), ("weight".into(), weight), ("output".into(), output)];
    record(&all).unwrap();
    assert!(record(&all[..2]).unwrap_err().contains("output"));
    assert!(record(&[&all[..], &[("indices".into(), output)]].concat()).unwrap_err().contains("indices"));
    assert!(record(&[&all[..], &all[2..]].concat()).unwrap_err().contains("output"));
}
