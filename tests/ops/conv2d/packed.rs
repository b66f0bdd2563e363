//! Weights that are packed once.

use ndarray::ArrayD;
use wgdnn::cases::{Call, Case, CaseArray, Outputs, read_params};
use wgdnn::wgpu::{Buffer, BufferDescriptor, BufferUsages};
use wgdnn::{
    Conv2d, Conv2dAlgorithm, Conv2dInputs, Conv2dOutputs, Conv2dParams, Error, Gpu, Operator, PackWeight,
    PackWeightInputs, PackWeightOutputs, Packed, PackedWeight, Padding, Tensor, conv2d_packed,
};

use crate::harness::{faulty, golden_of, gpu, portable_gpu, random, random_integers};
use crate::recorded;

/// A golden case's operator and arrays.
fn of_case(case: &Case) -> (Conv2d, Conv2dInputs<ArrayD<f32>>) {
    let params: Conv2dParams = read_params("conv2d", &case.params).unwrap();
    let array = |name: &str| match &*case.inputs.get(name)?[0] {
        CaseArray::F32(array) => Some(array.clone()),
        CaseArray::I64(_) => panic!("{name} has integers"),
    };
    let new = Conv2dInputs::new(array("input").unwrap(), array("weight").unwrap());
    let inputs = Conv2dInputs { bias: array("bias"), ..new };
    let bias = inputs.bias.as_ref().map(|bias| bias.shape());
    (Conv2d::new(inputs.input.shape(), inputs.weight.shape(), bias, &params).unwrap(), inputs)
}

/// A call whose weight is packed, and what it gives recorded.
fn run_packed(operator: &Conv2d, inputs: &Conv2dInputs<ArrayD<f32>>, gpu: &Gpu) -> Outputs {
    let call = Call::of_operator(operator.clone().with_packed_weight(), inputs.clone());
    recorded::run(&call, gpu).unwrap()
}

fn bits(outputs: &Outputs) -> Vec<u32> {
    let CaseArray::F32(output) = &outputs["output"] else { panic!("no floats") };
    output.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_packed_weight_gives_the_same_bits() {
    let devices = [gpu().clone(), portable_gpu()];
    let mut packed = 0;
    for case in golden_of("conv2d").into_iter().filter(|case| !case.is_error) {
        let (operator, inputs) = of_case(case);
        for &algorithm in Conv2dAlgorithm::ALL {
            let Ok(operator) = operator.clone().with_algorithm(algorithm) else { continue };
            for gpu in devices.iter().filter(|gpu| operator.pack_weight(gpu).is_some()) {
                let expected = recorded::run(&Call::of_operator(operator.clone(), inputs.clone()), gpu).unwrap();
                let got = run_packed(&operator, &inputs, gpu);
                assert_eq!(bits(&got), bits(&expected), "{}, {algorithm:?}", case.id);
                packed += 1;
            }
        }
    }
    assert!(packed >= 20, "{packed}");
}

#[test]
fn planted_faults_in_kernels_of_packed_weights_are_seen() {
    let inputs = Conv2dInputs::new(random_integers(&[1, 128, 21, 22], 1), random_integers(&[70, 128, 3, 3], 2));
    let operator = Conv2d::new(inputs.input.shape(), inputs.weight.shape(), None, &Default::default()).unwrap();
    let operator = operator.with_algorithm(Conv2dAlgorithm::Winograd4x4).unwrap();
    for fault in [
        ("conv2d_winograd_multiply_packed", "packed_weight[block]", "packed_weight[block & 4095]"),
        ("conv2d_winograd_packed_subgroup", "workspace[at + 3 * step])", "workspace[at + 2 * step])"),
    ] {
        let gpu = if fault.0.ends_with("subgroup") { Gpu::new_blocking().unwrap() } else { portable_gpu() };
        let expected = bits(&run_packed(&operator, &inputs, &gpu));
        gpu.substitute_shader(fault.0, faulty(&fault));
        assert_ne!(bits(&run_packed(&operator, &inputs, &gpu)), expected, "{fault:?}");
    }
}

/// Called eagerly: the same bits, whatever algorithm takes them or does not.
#[test]
fn packed_weights_give_the_same() {
    let call = |input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams, algorithm| {
        let operator = Conv2d::new(input.shape(), weight.shape(), bias.map(Tensor::shape), params)?;
        let inputs = Conv2dInputs { bias, ..Conv2dInputs::new(input, weight) };
        operator.with_algorithm(algorithm)?.call(&inputs)?.output.read_blocking()
    };
    let input = Tensor::from_array(gpu(), &random(&[3, 64, 40, 38], 1)).unwrap();
    let bias = Tensor::from_array(gpu(), &random(&[70], 3)).unwrap();
    for (weight_shape, groups) in [([70, 64, 3, 3], 1), ([70, 32, 3, 3], 2), ([70, 64, 2, 5], 1)] {
        let weight = Tensor::from_array(gpu(), &random(&weight_shape, 2)).unwrap();
        for &algorithm in Conv2dAlgorithm::ALL {
            let params = Conv2dParams { groups, padding: Padding::Explicit([1, 1]), ..Default::default() };
            let expected = call(&input, &weight, Some(&bias), &params, algorithm);
            match (expected, PackedWeight::with_algorithm(&weight, &params, algorithm)) {
                (Ok(expected), Ok(packed)) => {
                    let got = conv2d_packed(&input, &packed, Some(&bias), &params).unwrap();
                    assert_eq!(got.read_blocking(), Ok(expected), "{algorithm:?}, {weight_shape:?}");
                    assert_eq!(packed.weight().shape(), weight_shape);
                }
                (Err(error), Err(refused)) => assert_eq!(error, refused),
                (expected, packed) => panic!("{algorithm:?}: {expected:?} but {packed:?}"),
            }
        }
    }
    // A weight that is packed for some groups is, for others, the weight that it was.
    let weight = Tensor::from_array(gpu(), &random(&[72, 64, 3, 3], 2)).unwrap();
    let wide = Tensor::from_array(gpu(), &random(&[1, 128, 9, 11], 4)).unwrap();
    for &algorithm in Conv2dAlgorithm::ALL {
        let params = |groups| Conv2dParams { groups, ..Default::default() };
        let packed = PackedWeight::with_algorithm(&weight, &params(1), algorithm).unwrap();
        for (input, params) in [(&input, params(1)), (&wide, params(2))] {
            let got = conv2d_packed(input, &packed, None, &params).unwrap();
            let expected = call(input, &weight, None, &params, algorithm).unwrap();
            assert_eq!(got.read_blocking(), Ok(expected), "{algorithm:?}, {params:?}");
        }
    }
}

fn buffer(size: u64) -> Buffer {
    let usage = BufferUsages::STORAGE;
    gpu().device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
}

#[test]
fn buffers_of_packed_weights_are_checked() {
    let new = |algorithm| {
        let operator = Conv2d::new(&[1, 64, 6, 6], &[1, 64, 3, 3], None, &Default::default()).unwrap();
        operator.with_algorithm(algorithm).unwrap()
    };
    let plain = new(Conv2dAlgorithm::Winograd4x4);
    let operator = plain.clone().with_packed_weight();
    let pack = operator.pack_weight(gpu()).unwrap();
    let size = pack.slots(gpu()).outputs.packed_weight.bytes();
    assert!(size >= 36 * 64 * 4);
    // Without the weights, the workspace is smaller.
    assert_eq!(plain.workspace_size(gpu()), operator.workspace_size(gpu()) + size);

    let (input, weight, output) = (buffer(64 * 36 * 4), buffer(64 * 9 * 4), buffer(64));
    let workspace = buffer(plain.workspace_size(gpu()));
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let mut recorder = gpu().record(&mut encoder);
    let mut record = |operator: &Conv2d, packed: Option<&Buffer>, pack: &PackWeight| {
        let packed_weight = packed.map(|buffer| Packed { data: buffer.slice(..), layout: pack.layout() });
        let inputs = Conv2dInputs { packed_weight, ..Conv2dInputs::new(input.slice(..), weight.slice(..)) };
        let outputs = Conv2dOutputs::new(output.slice(..));
        operator.record(&mut recorder, &inputs, &outputs, Some(workspace.slice(..)))
    };
    let refused = |result: wgdnn::Result<()>, wanted: &str| match result {
        Err(Error::InvalidArgument { operator: "conv2d" | "pack_weight", argument, .. }) => {
            assert_eq!(argument, wanted)
        }
        other => panic!("{other:?}"),
    };
    let (enough, short) = (buffer(size), buffer(size - 4));
    assert_eq!(record(&operator, Some(&enough), &pack), Ok(()));
    refused(record(&operator, None, &pack), "packed_weight");
    refused(record(&operator, Some(&short), &pack), "packed_weight");
    refused(record(&operator, Some(&weight), &pack), "packed_weight");
    refused(record(&operator, Some(&workspace), &pack), "workspace");
    // In another layout it is large enough, and wrong.
    let other = new(Conv2dAlgorithm::Winograd4x4).clone();
    let other = Conv2d::new(&[1, 128, 6, 6], &[2, 64, 3, 3], None, &Conv2dParams { groups: 2, ..Default::default() })
        .and_then(|conv| conv.with_algorithm(other.algorithm()));
    let of_groups = other.unwrap().pack_weight(gpu()).unwrap();
    assert_ne!(of_groups.layout(), pack.layout());
    refused(record(&operator, Some(&enough), &of_groups), "packed_weight");
    // Where there is nothing to pack, the buffer is not looked at.
    let direct = new(Conv2dAlgorithm::Direct).with_packed_weight();
    assert_eq!(direct.pack_weight(gpu()), None);
    assert_eq!(record(&direct, Some(&short), &pack), Ok(()));
    assert_eq!(record(&plain, Some(&short), &pack), Ok(()));

    let mut pack_into = |weight: &Buffer, packed: &Buffer| {
        let outputs = PackWeightOutputs::new(packed.slice(..));
        pack.record(&mut recorder, &PackWeightInputs::new(weight.slice(..)), &outputs, None)
    };
    refused(pack_into(&weight, &short), "packed_weight");
    refused(pack_into(&output, &enough), "weight");
    refused(pack_into(&enough, &enough), "packed_weight");
    assert_eq!(pack_into(&weight, &enough), Ok(()));
}

/// A weight of another shape may have as many elements when packed; its layout tells.
#[test]
fn a_packed_weight_of_another_shape_is_refused() {
    let gpu = gpu();
    for algorithm in [Conv2dAlgorithm::Winograd2x2, Conv2dAlgorithm::Winograd4x4] {
        let planned = |[outputs, inputs]: [usize; 2]| {
            let (input, weight) = ([1, inputs, 8, 8], [outputs, inputs, 3, 3]);
            let operator = Conv2d::new(&input, &weight, None, &Conv2dParams::default()).unwrap();
            operator.with_algorithm(algorithm).unwrap().with_packed_weight()
        };
        let (packs, takes) = (planned([128, 64]), planned([64, 128]));
        let Some(pack) = packs.pack_weight(gpu) else { continue };
        let weight = Tensor::from_array(gpu, &random(&[128, 64, 3, 3], 1)).unwrap();
        let data = pack.call(&PackWeightInputs { weight: &weight }).unwrap().packed_weight;
        let (input, weight) = (random(&[1, 128, 8, 8], 2), random(&[64, 128, 3, 3], 3));
        let [input, weight] = [input, weight].map(|array| Tensor::from_array(gpu, &array).unwrap());
        let packed_weight = Some(Packed { data: &data, layout: pack.layout() });
        let error = takes.call(&Conv2dInputs { packed_weight, ..Conv2dInputs::new(&input, &weight) }).unwrap_err();
        assert!(error.to_string().starts_with("conv2d: packed_weight: expected the layout"), "{error}");
    }
}

/// What only the operator that packs can make is no input of a case.
#[test]
fn a_case_has_no_packed_weight() {
    use crate::harness::{call, floats};
    use wgdnn::cases::Refusal;

    let inputs = [("input", floats(&[1, 3, 8, 8])), ("weight", floats(&[2, 3, 3, 3])), ("packed_weight", floats(&[9]))];
    let refusal = call("conv2d", serde_json::json!({}), &inputs).unwrap_err();
    assert!(matches!(refusal, Refusal::BadCase(_)), "{refusal}");
}
