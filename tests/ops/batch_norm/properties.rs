//! Random problems of batch_norm.

use super::*;
use crate::harness::random;
use crate::properties::{agree, config, eager, rounding};
use ndarray::{ArrayD, Axis};
use proptest::prelude::*;
use wgdnn::cases::Call;

prop_compose! {
    fn problem()(
        batch in 1..5_usize, channels in 1..6_usize, rest in prop::collection::vec(1..9_usize, 0..3),
        training: bool, has in [any::<bool>(), any::<bool>(), any::<bool>()], momentum in 0.0..1.0_f64,
        mean in -1e4..1e4_f32, seed: u64,
    ) -> (BatchNormInputs<ArrayD<f32>>, BatchNormParams) {
        let vector = |is: bool, of: u64| is.then(|| random(&[channels], seed ^ of));
        let has_running = has[0] || !training;
        let input = random(&[&[batch, channels][..], &rest].concat(), seed).mapv(|x| x + mean);
        let inputs = BatchNormInputs {
            running_mean: vector(has_running, 1),
            running_var: vector(has_running, 2).map(|var| var.mapv(|x| x.abs() + 0.1)),
            weight: vector(has[1], 3),
            bias: vector(has[2], 4),
            ..BatchNormInputs::new(input)
        };
        (inputs, BatchNormParams { training, momentum, ..Default::default() })
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_is_its_reference((inputs, params) in problem()) {
        // The largest are running means, of up to 10,000; outputs have their own property below.
        agree(Call::new::<BatchNorm>(inputs, &params), rounding(5e3))?;
    }

    #[test]
    fn it_gives_mean_0_and_variance_1(
        batch in 8..40_usize, channels in 1..4_usize, inner in 1..30_usize, mean in -1e3..1e3_f32,
        spread in 0.5..100.0_f32, seed: u64,
    ) {
        let input = random(&[batch, channels, inner], seed).mapv(|x| x * spread + mean);
        let params = BatchNormParams { training: true, eps: 1e-12, ..Default::default() };
        let output = eager(&Call::new::<BatchNorm>(BatchNormInputs::new(input), &params).unwrap());
        for channel in output.axis_iter(Axis(1)) {
            let values = channel.mapv(f64::from);
            let mean = values.mean().unwrap();
            let variance = values.mapv(|x| (x - mean).powi(2)).mean().unwrap();
            let is_right = mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6;
            prop_assert!(is_right, "mean {}, variance {}", mean, variance);
        }
    }

    #[test]
    fn saved_statistics_are_those_of_the_reference((inputs, params) in problem()) {
        let shapes = BatchNormInputs {
            running_mean: inputs.running_mean.as_ref().map(|array| array.shape()),
            running_var: inputs.running_var.as_ref().map(|array| array.shape()),
            weight: inputs.weight.as_ref().map(|array| array.shape()),
            bias: inputs.bias.as_ref().map(|array| array.shape()),
            ..BatchNormInputs::new(inputs.input.shape())
        };
        let operator = BatchNorm::new(&shapes, &BatchNormParams { training: true, ..params });
        prop_assume!(operator.is_ok());
        let operator = operator.unwrap().with_saved_statistics().unwrap();
        // Means of up to 10,000, and inverse deviations of up to 316.
        agree(Ok(Call::of_operator(operator, inputs)), rounding(5e3))?;
    }
}
