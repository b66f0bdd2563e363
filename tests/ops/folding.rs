//! An inference batch norm, folded into what comes before it, gives what it gives after it.

use ndarray::ArrayD;
use wgdnn::{BatchNormInputs, BatchNormParams, Conv2dParams, ConvTranspose2dParams, Error, FoldedBatchNorm, reference};

use crate::harness::random;

/// A batch norm of this many channels.
fn norm(channels: usize) -> FoldedBatchNorm<ArrayD<f32>> {
    let of = |seed| random(&[channels], seed);
    FoldedBatchNorm {
        weight: Some(of(3)),
        bias: Some(of(4)),
        eps: 1e-3,
        ..FoldedBatchNorm::new(of(1), of(2).mapv(|x| x.abs() + 0.1))
    }
}

fn by_reference(norm: &FoldedBatchNorm<ArrayD<f32>>) -> FoldedBatchNorm<&dyn reference::AsArray<f32>> {
    FoldedBatchNorm {
        running_mean: &norm.running_mean,
        running_var: &norm.running_var,
        weight: norm.weight.as_ref().map(|array| array as _),
        bias: norm.bias.as_ref().map(|array| array as _),
        eps: norm.eps,
        transposed: norm.transposed,
    }
}

/// What a batch norm gives after an operator.
fn normalized(x: &ArrayD<f32>, norm: &FoldedBatchNorm<ArrayD<f32>>) -> ArrayD<f32> {
    let of = by_reference(norm);
    let inputs = BatchNormInputs {
        running_mean: Some(of.running_mean),
        running_var: Some(of.running_var),
        weight: of.weight,
        bias: of.bias,
        ..BatchNormInputs::new(x as _)
    };
    reference::batch_norm(&inputs, &BatchNormParams { eps: norm.eps, ..Default::default() }).unwrap().output
}

#[track_caller]
fn expect_near(folded: &ArrayD<f32>, unfolded: &ArrayD<f32>) {
    let largest = unfolded.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    for (folded, unfolded) in folded.iter().zip(unfolded) {
        assert!((folded - unfolded).abs() <= 1e-6 * largest, "{folded} and {unfolded} of {largest}");
    }
}

/// A weight, a bias, and the operator on both.
type Problem<'a> = (Vec<usize>, Option<usize>, Box<dyn Fn(&ArrayD<f32>, Option<&ArrayD<f32>>) -> ArrayD<f32> + 'a>);

#[test]
fn folded_is_unfolded() {
    let image = random(&[2, 6, 7, 8], 7);
    let rows = random(&[5, 9], 8);
    let conv = |groups: usize| -> Problem<'_> {
        let params = Conv2dParams { groups, padding: [1, 1].into(), ..Default::default() };
        let image = &image;
        let run = move |weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>| {
            reference::conv2d(image, weight, bias.map(|bias| bias as _), &params).unwrap()
        };
        (vec![4, 6 / groups, 3, 3], None, Box::new(run))
    };
    let transposed = |groups: usize| -> Problem<'_> {
        let params = ConvTranspose2dParams { groups, stride: [2, 2], ..Default::default() };
        let image = &image;
        let run = move |weight: &ArrayD<f32>, bias: Option<&ArrayD<f32>>| {
            reference::conv_transpose2d(image, weight, bias.map(|bias| bias as _), &params).unwrap()
        };
        (vec![6, 4 / groups, 3, 3], Some(groups), Box::new(run))
    };
    let linear: Problem<'_> = (
        vec![4, 9],
        None,
        Box::new(|weight, bias| reference::linear(&rows, weight, bias.map(|bias| bias as _)).unwrap()),
    );
    for (shape, groups, run) in [conv(1), conv(2), transposed(1), transposed(2), linear] {
        let norm = FoldedBatchNorm { transposed: groups, ..norm(4) };
        let weight = random(&shape, 5);
        for bias in [None, Some(random(&[4], 6))] {
            let given = bias.as_ref().map(|bias| bias as &dyn reference::AsArray<f32>);
            let (folded, folded_bias) = reference::fold_batch_norm(&weight, given, &by_reference(&norm)).unwrap();
            let unfolded = normalized(&run(&weight, bias.as_ref()), &norm);
            expect_near(&run(&folded, Some(&folded_bias)), &unfolded);
        }
    }
}

/// Tensors are folded to the bits of arrays, in one go or waiting.
#[cfg(feature = "gpu-core")]
#[test]
fn tensors_fold_as_arrays() {
    use crate::harness::gpu;
    use wgdnn::{Tensor, fold_batch_norm_blocking};

    let (weight, bias, norm) = (random(&[4, 3, 3, 3], 5), random(&[4], 6), norm(4));
    let expected = reference::fold_batch_norm(&weight, Some(&bias), &by_reference(&norm)).unwrap();
    let upload = |array: &ArrayD<f32>| Tensor::from_array(gpu(), array).unwrap();
    let [mean, var] = [&norm.running_mean, &norm.running_var].map(upload);
    let [scale, shift] = [&norm.weight, &norm.bias].map(|array| upload(array.as_ref().unwrap()));
    let of = FoldedBatchNorm {
        weight: Some(&scale),
        bias: Some(&shift),
        eps: norm.eps,
        ..FoldedBatchNorm::new(&mean, &var)
    };
    let (folded, folded_bias) = fold_batch_norm_blocking(&upload(&weight), Some(&upload(&bias)), &of).unwrap();
    assert_eq!(folded.read_blocking().unwrap(), expected.0);
    assert_eq!(folded_bias.read_blocking().unwrap(), expected.1);
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |shape: &[usize], norm: FoldedBatchNorm<ArrayD<f32>>, bias: Option<usize>| {
        let bias = bias.map(|length| random(&[length], 1));
        let bias = bias.as_ref().map(|bias| bias as &dyn reference::AsArray<f32>);
        match reference::fold_batch_norm(&random(shape, 1), bias, &by_reference(&norm)) {
            Err(error @ Error::InvalidArgument { operator: "fold_batch_norm", .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let text = refused(&[4], norm(4), None);
    assert_eq!(text, "fold_batch_norm: weight: expected 2 dimensions or more, got shape [4]");
    let text = refused(&[4, 3], norm(3), None);
    assert_eq!(text, "fold_batch_norm: running_mean: expected shape [4], got shape [3]");
    assert!(refused(&[4, 3], norm(4), Some(3)).contains("bias: expected shape [4], got shape [3]"));
    let transposed = |groups| FoldedBatchNorm { transposed: Some(groups), ..norm(4) };
    assert!(
        refused(&[6, 2], transposed(4), None).contains("transposed: expected a divisor of 6 input channels, got 4")
    );
    for groups in [usize::MAX, 1 << 60] {
        assert!(refused(&[0, 3, 1, 1], transposed(groups), None).contains("transposed"));
    }
    assert!(refused(&[6, 2], transposed(0), None).contains("transposed"));
    for eps in [-1.0, f64::NAN] {
        assert!(refused(&[4, 3], FoldedBatchNorm { eps, ..norm(4) }, None).contains("eps"));
    }
}
