//! Random problems.

use ndarray::ArrayD;
use proptest::prelude::*;
use wgdnn::cases::Call;
use wgdnn::{
    Conv2d, Conv2dInputs, Conv2dParams, ConvTranspose2d, ConvTranspose2dInputs, ConvTranspose2dParams, Padding,
};

use crate::harness::random_integers;
use crate::properties::{agree, config, eager, pair};

prop_compose! {
    fn problem()(
        batch in 0..3_usize, groups in 1..4_usize, channels in pair(1..5), size in pair(1..10), kernel in pair(1..5),
        stride in pair(1..5), padding in pair(0..3), output_padding in pair(0..3), dilation in pair(1..4),
        has_bias: bool, seed: u64,
    ) -> (ConvTranspose2dInputs<ArrayD<f32>>, ConvTranspose2dParams) {
        let inputs = groups * channels[0];
        let input = random_integers(&[batch, inputs, size[0], size[1]], seed);
        let weight = random_integers(&[inputs, channels[1], kernel[0], kernel[1]], seed ^ 1);
        let bias = has_bias.then(|| random_integers(&[groups * channels[1]], seed ^ 2));
        let inputs = ConvTranspose2dInputs { bias, ..ConvTranspose2dInputs::new(input, weight) };
        (inputs, ConvTranspose2dParams { stride, padding: padding.into(), output_padding, groups, dilation })
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_is_its_reference((inputs, params) in problem()) {
        agree(Call::new::<ConvTranspose2d>(inputs, &params), 0.0)?;
    }

    #[test]
    fn it_is_the_adjoint_of_convolution(
        groups in 1..4_usize, channels in pair(1..4), size in pair(1..9), kernel in pair(1..5), stride in pair(1..4),
        padding in pair(0..3), dilation in pair(1..4), seed: u64,
    ) {
        // <conv(x), y> = <x, conv_transpose(y)>, with x as large as what the latter gives.
        let weight = random_integers(&[groups * channels[1], channels[0], kernel[0], kernel[1]], seed);
        let y = random_integers(&[2, groups * channels[1], size[0], size[1]], seed ^ 1);
        let params = ConvTranspose2dParams { stride, padding: padding.into(), groups, dilation, ..Default::default() };
        let inputs = ConvTranspose2dInputs::new(y.clone(), weight.clone());
        let transposed = Call::new::<ConvTranspose2d>(inputs, &params);
        prop_assume!(transposed.is_ok());
        let transposed = eager(&transposed.unwrap());
        let x = random_integers(transposed.shape(), seed ^ 2);
        let params = Conv2dParams { stride, padding: Padding::Explicit(padding), dilation, groups };
        let conv = eager(&Call::new::<Conv2d>(Conv2dInputs::new(x.clone(), weight), &params).unwrap());
        prop_assert_eq!(conv.shape(), y.shape());
        prop_assert_eq!((conv * y).mapv(f64::from).sum(), (x * transposed).mapv(f64::from).sum());
    }
}
