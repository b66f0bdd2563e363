//! Random problems with a residual, which the golden cases have not.

use ndarray::ArrayD;
use proptest::prelude::*;
use wgdnn::cases::Call;
use wgdnn::{
    Conv2d, Conv2dInputs, Conv2dParams, ConvTranspose2d, ConvTranspose2dInputs, ConvTranspose2dParams, Linear,
    LinearInputs,
};

use crate::harness::random_integers;
use crate::properties::{agree, config, pair};

proptest! {
    #![proptest_config(config())]

    /// `agree` adds an activation to each.
    #[test]
    fn they_are_their_references(
        op in prop::sample::select(vec!["conv2d", "conv_transpose2d", "linear"]),
        batch in 0..4_usize,
        groups in 1..3_usize,
        [from, to] in pair(1..9),
        size in pair(1..9),
        kernel in pair(1..4),
        stride in pair(1..3),
        has_bias: bool,
        seed in 0..1_u64 << 60,
    ) {
        let integers = |shape: &[usize], add: u64| random_integers(shape, seed + add);
        let bias = has_bias.then(|| integers(&[groups * to], 1));
        let bias_shape = bias.as_ref().map(ArrayD::shape);
        let call = match op {
            "conv2d" => {
                let shape = [batch, groups * from, size[0] + kernel[0], size[1] + kernel[1]];
                let (input, weight) = (integers(&shape, 2), integers(&[groups * to, from, kernel[0], kernel[1]], 3));
                let params = Conv2dParams { stride, groups, padding: [1, 0].into(), ..Default::default() };
                let operator = Conv2d::new(&shape, weight.shape(), bias_shape, &params).unwrap().with_residual();
                let residual = Some(integers(operator.output_shape(), 4));
                Call::of_operator(operator, Conv2dInputs { bias, residual, ..Conv2dInputs::new(input, weight) })
            }
            "conv_transpose2d" => {
                let shape = [batch, groups * from, size[0], size[1]];
                let (input, weight) = (integers(&shape, 2), integers(&[groups * from, to, kernel[0], kernel[1]], 3));
                let params = ConvTranspose2dParams { stride, groups, ..Default::default() };
                let operator = ConvTranspose2d::new(&shape, weight.shape(), bias_shape, &params).unwrap().with_residual();
                let residual = Some(integers(operator.output_shape(), 4));
                let inputs = ConvTranspose2dInputs::new(input, weight);
                Call::of_operator(operator, ConvTranspose2dInputs { bias, residual, ..inputs })
            }
            _ => {
                let shape = [batch, size[0], from * kernel[0] * size[1]];
                let (input, weight) = (integers(&shape, 2), integers(&[groups * to, shape[2]], 3));
                let operator = Linear::new(&shape, weight.shape(), bias_shape).unwrap().with_residual();
                let residual = Some(integers(operator.output_shape(), 4));
                Call::of_operator(operator, LinearInputs { bias, residual, ..LinearInputs::new(input, weight) })
            }
        };
        agree(Ok(call), 0.0)?;
    }
}
