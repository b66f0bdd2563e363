//! Cut to fit a device's bindings.

use wgdnn::cases::Call;
use wgdnn::{Conv2d, Conv2dAlgorithm, Conv2dInputs, Conv2dParams, Gpu, Operator, Tensor};

use crate::harness::{gpu, random};
use crate::splitting::{device_with_binding, expect_cut};

/// The workspace of transformed tiles is used again by every part, and by every so many tiles of one.
#[test]
fn transformed_tiles_are_the_same_in_parts() {
    let [input, weight] = [random(&[24, 64, 64, 70], 1), random(&[2, 64, 3, 3], 2)];
    let run = |gpu: &Gpu, algorithm| {
        let operator = Conv2d::new(input.shape(), weight.shape(), None, &Conv2dParams::default()).unwrap();
        let [input, weight] = [&input, &weight].map(|array| Tensor::from_array(gpu, array).unwrap());
        let inputs = Conv2dInputs::new(&input, &weight);
        operator.with_algorithm(algorithm).unwrap().call(&inputs).unwrap().output.read_blocking().unwrap()
    };
    let outputs = [18 << 20, 1 << 27].map(|bytes| run(&device_with_binding(bytes), Conv2dAlgorithm::Winograd4x4));
    assert!(outputs[0] == outputs[1]);
    let expected = run(gpu(), Conv2dAlgorithm::Patches);
    assert!(outputs[0].iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-4));
}

#[test]
fn it_is_cut_to_a_devices_bindings() {
    let inputs = Conv2dInputs::new(random(&[5, 3, 11, 13], 3), random(&[2, 3, 3, 3], 2));
    expect_cut(&Call::new::<Conv2d>(inputs, &Default::default()).unwrap(), 2e-6);
    let new = Conv2dInputs::new(random(&[27, 2, 6, 5], 1), random(&[3, 2, 3, 3], 2));
    let inputs = Conv2dInputs { bias: Some(random(&[3], 3)), ..new };
    expect_cut(&Call::new::<Conv2d>(inputs, &Default::default()).unwrap(), 2e-6);
}
