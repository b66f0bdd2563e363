//! Random problems.

use ndarray::ArrayD;
use proptest::prelude::*;
use wgdnn::cases::Call;
use wgdnn::{Conv2d, Conv2dInputs, Conv2dParams, Padding};

use crate::harness::random_integers;
use crate::properties::{agree, config, eager, pair};

prop_compose! {
    fn problem()(
        batch in 0..3_usize, groups in 1..4_usize, channels in pair(1..5), size in pair(1..16), kernel in pair(1..5),
        stride in pair(1..4), padding in prop_oneof![
            pair(0..4).prop_map(Padding::Explicit), Just(Padding::Same), Just(Padding::Valid)
        ],
        dilation in pair(1..4), has_bias: bool, seed: u64,
    ) -> (Conv2dInputs<ArrayD<f32>>, Conv2dParams) {
        let outputs = groups * channels[1];
        let input = random_integers(&[batch, groups * channels[0], size[0], size[1]], seed);
        let weight = random_integers(&[outputs, channels[0], kernel[0], kernel[1]], seed ^ 1);
        let bias = has_bias.then(|| random_integers(&[outputs], seed ^ 2));
        (Conv2dInputs { bias, ..Conv2dInputs::new(input, weight) }, Conv2dParams { stride, padding, dilation, groups })
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_is_its_reference((inputs, params) in problem()) {
        agree(Call::new::<Conv2d>(inputs, &params), 0.0)?;
    }

    #[test]
    fn it_is_linear((inputs, params) in problem()) {
        let Conv2dInputs { input, weight, .. } = inputs;
        let conv = |input: ArrayD<f32>| Call::new::<Conv2d>(Conv2dInputs::new(input, weight.clone()), &params);
        prop_assume!(conv(input.clone()).is_ok());
        let conv = |input: ArrayD<f32>| eager(&conv(input).unwrap());
        let other = random_integers(input.shape(), 99);
        let apart = conv(input.clone()) * 2.0 + conv(other.clone());
        prop_assert_eq!(conv(input * 2.0 + other), apart);
    }
}
