//! Properties of random problems: the GPU against the CPU reference, bit for bit on whole numbers, and what must hold
//! between calls.

use ndarray::{ArrayD, Axis, concatenate};
use proptest::prelude::*;
use wgdnn::{
    AvgPool2dParams, BatchNormArguments, BatchNormParams, Conv2dParams, ConvTranspose2dParams, CrossEntropyParams,
    CrossEntropyTarget, FlattenParams, MaxPool2dParams, MseLossParams, Padding, Reduction, RoiPoolParams,
};

use crate::cases::{Call, CaseArray, CaseBoxes, difference};
use crate::harness::{gpu, random, random_integers};

/// Random problems per operator and run.
const PROBLEMS: u32 = 300;

fn config() -> ProptestConfig {
    // A failure prints its problem, smallest first; nothing is written into the repository.
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(PROBLEMS) }
}

fn pair(range: std::ops::Range<usize>) -> impl Strategy<Value = [usize; 2]> {
    [range.clone(), range]
}

/// What a call gives on the GPU.
fn eager(call: &Call) -> ArrayD<f32> {
    floats(call.run_eager(gpu()).unwrap_or_else(|refusal| panic!("{refusal}")))
}

fn floats(mut outputs: crate::cases::Outputs) -> ArrayD<f32> {
    match outputs.remove("output") {
        Some(CaseArray::F32(output)) => output,
        other => panic!("no output but {other:?}"),
    }
}

/// Holds all outputs of a call on the GPU, by every algorithm, against the CPU reference; refusals must agree too.
fn agree(call: &Call, atol: f64) -> Result<(), TestCaseError> {
    let reference = call.run_reference();
    for (algorithm, call) in call.by_every_algorithm() {
        let (reference, got) = match (&reference, call.run_eager(gpu())) {
            (Ok(reference), Ok(got)) => (reference, got),
            (reference, got) => {
                prop_assert_eq!(reference.clone().err(), got.err());
                continue;
            }
        };
        for (name, expected) in reference {
            match (&got[name], expected) {
                (CaseArray::F32(got), CaseArray::F32(expected)) => {
                    prop_assert_eq!(got.shape(), expected.shape());
                    let largest = difference(got, expected).largest;
                    prop_assert!(largest <= atol, "{}, {}: {} above {}", algorithm, name, largest, atol);
                }
                (got, expected) => prop_assert_eq!(got, expected),
            }
        }
    }
    Ok(())
}

prop_compose! {
    /// (N,C,H,W), now and then with an empty batch.
    fn image()(batch in 0..4_usize, channels in 1..4_usize, size in pair(1..20)) -> Vec<usize> {
        vec![batch, channels, size[0], size[1]]
    }
}

prop_compose! {
    fn max_pool2d()(
        shape in image(), kernel_size in pair(1..6), stride in prop::option::of(pair(1..5)), half in pair(0..3),
        dilation in pair(1..4), ceil_mode: bool, return_indices: bool, seed: u64,
    ) -> Call {
        let padding = [half[0].min(kernel_size[0] / 2), half[1].min(kernel_size[1] / 2)];
        let params = MaxPool2dParams { kernel_size, stride, padding, dilation, ceil_mode, return_indices };
        Call::MaxPool2d { input: random_integers(&shape, seed), params }
    }
}

prop_compose! {
    fn avg_pool2d()(
        shape in image(), kernel_size in pair(1..6), stride in prop::option::of(pair(1..5)), half in pair(0..3),
        ceil_mode: bool, count_include_pad: bool, divisor_override in prop::option::of(-8..8_i64), seed: u64,
    ) -> Call {
        let padding = [half[0].min(kernel_size[0] / 2), half[1].min(kernel_size[1] / 2)];
        let params = AvgPool2dParams { kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override };
        Call::AvgPool2d { input: random_integers(&shape, seed), params }
    }
}

prop_compose! {
    fn conv2d()(
        batch in 0..3_usize, groups in 1..4_usize, channels in pair(1..5), size in pair(1..16), kernel in pair(1..5),
        stride in pair(1..4), padding in prop_oneof![
            pair(0..4).prop_map(Padding::Explicit), Just(Padding::Same), Just(Padding::Valid)
        ],
        dilation in pair(1..4), has_bias: bool, seed: u64,
    ) -> Call {
        let outputs = groups * channels[1];
        Call::Conv2d {
            input: random_integers(&[batch, groups * channels[0], size[0], size[1]], seed),
            weight: random_integers(&[outputs, channels[0], kernel[0], kernel[1]], seed ^ 1),
            bias: has_bias.then(|| random_integers(&[outputs], seed ^ 2)),
            params: Conv2dParams { stride, padding, dilation, groups, ..Default::default() },
        }
    }
}

prop_compose! {
    fn conv_transpose2d()(
        batch in 0..3_usize, groups in 1..4_usize, channels in pair(1..5), size in pair(1..10), kernel in pair(1..5),
        stride in pair(1..5), padding in pair(0..3), output_padding in pair(0..3), dilation in pair(1..4),
        has_bias: bool, seed: u64,
    ) -> Call {
        let inputs = groups * channels[0];
        Call::ConvTranspose2d {
            input: random_integers(&[batch, inputs, size[0], size[1]], seed),
            weight: random_integers(&[inputs, channels[1], kernel[0], kernel[1]], seed ^ 1),
            bias: has_bias.then(|| random_integers(&[groups * channels[1]], seed ^ 2)),
            params: ConvTranspose2dParams { stride, padding, output_padding, groups, dilation, ..Default::default() },
        }
    }
}

fn shape() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..8_usize, 0..5)
}

fn reduction() -> impl Strategy<Value = Reduction> {
    prop_oneof![Just(Reduction::None), Just(Reduction::Mean), Just(Reduction::Sum)]
}

prop_compose! {
    fn roi_pool()(
        shape in image(), boxes in prop::collection::vec((0..3_usize, [-8.0..40.0_f32, -8.0..40.0, -8.0..40.0, -8.0..40.0]), 0..4),
        output_size in pair(1..8), scale in prop_oneof![Just(1.0), Just(0.5), Just(0.0625), Just(2.0)], seed: u64,
    ) -> Call {
        let rows = boxes.iter().flat_map(|(image, corners)| {
            let image = *image % shape[0].max(1);
            [image as f32, corners[0], corners[1], corners[2], corners[3]]
        });
        let boxes = ArrayD::from_shape_vec(vec![boxes.len(), 5], rows.collect()).unwrap();
        let params = RoiPoolParams { output_size, spatial_scale: scale };
        Call::RoiPool { input: random(&shape, seed), boxes: CaseBoxes::Indexed(boxes), params }
    }
}

prop_compose! {
    fn batch_norm()(
        batch in 1..5_usize, channels in 1..6_usize, rest in prop::collection::vec(1..9_usize, 0..3), training: bool,
        has in [any::<bool>(), any::<bool>(), any::<bool>()], momentum in 0.0..1.0_f64, mean in -1e4..1e4_f32, seed: u64,
    ) -> Call {
        let vector = |is: bool, of: u64| is.then(|| random(&[channels], seed ^ of));
        let has_running = has[0] || !training;
        let input = random(&[&[batch, channels][..], &rest].concat(), seed).mapv(|x| x + mean);
        Call::BatchNorm {
            input,
            arguments: BatchNormArguments {
                running_mean: vector(has_running, 1),
                running_var: vector(has_running, 2).map(|var| var.mapv(|x| x.abs() + 0.1)),
                weight: vector(has[1], 3),
                bias: vector(has[2], 4),
            },
            params: BatchNormParams { training, momentum, ..Default::default() },
        }
    }
}

prop_compose! {
    fn cross_entropy()(
        batch in 0..5_usize, classes in 1..70_usize, rest in prop::collection::vec(1..5_usize, 0..3),
        is_probability: bool, has_weight: bool, reduction in reduction(),
        label_smoothing in prop_oneof![Just(0.0), 0.0..1.0_f64], ignored in prop::option::of(0..70_i64), seed: u64,
    ) -> Call {
        let shape = [&[batch, classes][..], &rest].concat();
        let rows = [&[batch][..], &rest].concat();
        let target = if is_probability {
            CrossEntropyTarget::Probabilities(random(&shape, seed ^ 1).mapv(f32::abs))
        } else {
            let last = classes as f32 - 1.0;
            let classes = random(&rows, seed ^ 1).mapv(|x| ((x + 1.0) / 2.0 * last).round() as i64);
            CrossEntropyTarget::Classes(classes)
        };
        let ignore_index = if is_probability { -100 } else { ignored.unwrap_or(-100) };
        Call::CrossEntropy {
            input: random(&shape, seed).mapv(|x| x * 8.0),
            target,
            weight: has_weight.then(|| random(&[classes], seed ^ 2).mapv(|x| x + 1.5)),
            params: CrossEntropyParams { ignore_index, reduction, label_smoothing },
        }
    }
}

/// A bound for results that a few hundred f32 of up to `size` go into.
fn rounding(size: f64) -> f64 {
    size * f64::from(f32::EPSILON) * 2.0
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn max_pool2d_is_its_reference(call in max_pool2d()) {
        agree(&call, 0.0)?;
    }

    #[test]
    fn avg_pool2d_is_its_reference(call in avg_pool2d()) {
        // Sums of whole numbers are exact, and then a division is rounded.
        agree(&call, rounding(100.0))?;
    }

    #[test]
    fn conv2d_is_its_reference(call in conv2d()) {
        agree(&call, 0.0)?;
    }

    #[test]
    fn conv_transpose2d_is_its_reference(call in conv_transpose2d()) {
        agree(&call, 0.0)?;
    }

    #[test]
    fn flatten_is_its_reference(shape in shape(), start_dim in -5..5_isize, end_dim in -5..5_isize, seed: u64) {
        agree(&Call::Flatten { input: random(&shape, seed), params: FlattenParams { start_dim, end_dim } }, 0.0)?;
    }

    #[test]
    fn sigmoid_is_its_reference(shape in shape(), scale in 0.1..120.0_f32, seed: u64) {
        agree(&Call::Sigmoid { input: random(&shape, seed).mapv(|x| x * scale) }, rounding(0.5))?;
    }

    #[test]
    fn roi_pool_is_its_reference(call in roi_pool()) {
        agree(&call, 0.0)?;
    }

    #[test]
    fn batch_norm_is_its_reference(call in batch_norm()) {
        // The largest are running means, of up to 10,000; outputs have their own property below.
        agree(&call, rounding(5e3))?;
    }

    #[test]
    fn cross_entropy_is_its_reference(call in cross_entropy()) {
        let rows = match &call {
            Call::CrossEntropy { input, .. } => input.len() as f64,
            _ => 0.0,
        };
        // A loss is up to 20 times a weight of up to 2.5; probabilities add up to classes.
        agree(&call, rounding(50.0 * rows.max(1.0)))?;
    }

    #[test]
    fn mse_loss_is_its_reference(shape in shape(), seed: u64, kept in prop::collection::vec(any::<bool>(), 5), reduction in reduction()) {
        // Dimensions of the target that are not kept are broadcast.
        let other: Vec<usize> = shape.iter().zip(kept).map(|(&length, kept)| if kept { length } else { 1 }).collect();
        let call = Call::MseLoss {
            input: random_integers(&shape, seed),
            target: random_integers(&other, seed ^ 1),
            params: MseLossParams { reduction },
        };
        // Squares of whole numbers and their sums are exact; the mean of up to 64 is rounded.
        agree(&call, if reduction == Reduction::Mean { rounding(64.0) } else { 0.0 })?;
    }

    #[test]
    fn convolution_is_linear(call in conv2d()) {
        let Call::Conv2d { input, weight, params, .. } = call else { unreachable!() };
        let conv = |input: ArrayD<f32>| Call::Conv2d { input, weight: weight.clone(), bias: None, params: params.clone() };
        prop_assume!(conv(input.clone()).run_reference().is_ok());
        let other = random_integers(input.shape(), 99);
        let apart = eager(&conv(input.clone())) * 2.0 + eager(&conv(other.clone()));
        prop_assert_eq!(eager(&conv(input * 2.0 + other)), apart);
    }

    #[test]
    fn transposed_convolution_is_the_adjoint(
        groups in 1..4_usize, channels in pair(1..4), size in pair(1..9), kernel in pair(1..5), stride in pair(1..4),
        padding in pair(0..3), dilation in pair(1..4), seed: u64,
    ) {
        // <conv(x), y> = <x, conv_transpose(y)>, with x as large as what the latter gives.
        let weight = random_integers(&[groups * channels[1], channels[0], kernel[0], kernel[1]], seed);
        let y = random_integers(&[2, groups * channels[1], size[0], size[1]], seed ^ 1);
        let params = ConvTranspose2dParams { stride, padding, groups, dilation, ..Default::default() };
        let transposed = Call::ConvTranspose2d { input: y.clone(), weight: weight.clone(), bias: None, params };
        prop_assume!(transposed.run_reference().is_ok());
        let transposed = eager(&transposed);
        let x = random_integers(transposed.shape(), seed ^ 2);
        let params = Conv2dParams { stride, padding: Padding::Explicit(padding), dilation, groups, ..Default::default() };
        let conv = eager(&Call::Conv2d { input: x.clone(), weight, bias: None, params });
        prop_assert_eq!(conv.shape(), y.shape());
        prop_assert_eq!((conv * y).mapv(f64::from).sum(), (x * transposed).mapv(f64::from).sum());
    }

    #[test]
    fn pooling_commutes_with_a_split_of_the_batch(call in prop_oneof![max_pool2d(), avg_pool2d()], cut in 0..4_usize) {
        let pool = |input: ArrayD<f32>| match &call {
            Call::MaxPool2d { params, .. } => Call::MaxPool2d { input, params: params.clone() },
            Call::AvgPool2d { params, .. } => Call::AvgPool2d { input, params: params.clone() },
            _ => unreachable!(),
        };
        let (Call::MaxPool2d { input, .. } | Call::AvgPool2d { input, .. }) = &call else { unreachable!() };
        prop_assume!(call.run_reference().is_ok());
        let (first, second) = input.view().split_at(Axis(0), cut.min(input.shape()[0]));
        // Not to_owned, whose own checks fail on an empty part.
        let own = |part: ndarray::ArrayViewD<'_, f32>| {
            ArrayD::from_shape_vec(part.raw_dim(), part.iter().copied().collect()).unwrap()
        };
        let parts = [eager(&pool(own(first))), eager(&pool(own(second)))];
        prop_assert_eq!(eager(&call), concatenate![Axis(0), parts[0], parts[1]]);
    }

    #[test]
    fn batch_norm_gives_mean_0_and_variance_1(
        batch in 8..40_usize, channels in 1..4_usize, inner in 1..30_usize, mean in -1e3..1e3_f32, spread in 0.5..100.0_f32,
        seed: u64,
    ) {
        let input = random(&[batch, channels, inner], seed).mapv(|x| x * spread + mean);
        let params = BatchNormParams { training: true, eps: 1e-12, ..Default::default() };
        let output = eager(&Call::BatchNorm { input, arguments: BatchNormArguments::default(), params });
        for channel in output.axis_iter(Axis(1)) {
            let values = channel.mapv(f64::from);
            let mean = values.mean().unwrap();
            let variance = values.mapv(|x| (x - mean).powi(2)).mean().unwrap();
            prop_assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-6, "mean {}, variance {}", mean, variance);
        }
    }
}
