//! The gradients of cross_entropy, alone and in one pass with the loss.

use ndarray::{ArrayD, array};
use wgdnn::cases::{Call, CaseArray};
use wgdnn::operator::Gradient;
use wgdnn::{CrossEntropy, CrossEntropyInputs, CrossEntropyParams, CrossEntropyTarget, Error, Reduction, Tensor};

use crate::barriers::Problem;
use crate::gradients::backward_of;
use crate::harness::{
    Outputs, expect_within, golden_of, gpu, gpu_taken_for_hardware, planted_faults, random, validating_gpus,
};
use crate::splitting::expect_cut;

type Inputs = CrossEntropyInputs<ArrayD<f32>, ArrayD<i32>>;

/// Scores of this shape, weights, and a class for each row, in turn, or probabilities.
fn inputs(shape: &[usize], is_probability: bool) -> Inputs {
    let mut rows = shape.to_vec();
    let classes = rows.remove(1);
    let mut next = 0;
    let target = match is_probability {
        true => CrossEntropyTarget::Probabilities(random(shape, 3).mapv(f32::abs)),
        false => CrossEntropyTarget::Classes(ArrayD::from_shape_simple_fn(rows, || {
            next += 1;
            (next * 7919 % classes) as i32
        })),
    };
    let weight = Some(random(&[classes], 2).mapv(|x| x + 1.5));
    CrossEntropyInputs { weight, ..CrossEntropyInputs::new(random(shape, 1).mapv(|x| x * 5.0), target) }
}

fn smoothed(reduction: Reduction) -> CrossEntropyParams {
    CrossEntropyParams { label_smoothing: 0.1, reduction, ..Default::default() }
}

/// A call that returns the gradient too.
pub fn with_gradient(inputs: Inputs, params: &CrossEntropyParams) -> Call {
    let target = match &inputs.target {
        CrossEntropyTarget::Classes(array) => CrossEntropyTarget::Classes(array.shape()),
        CrossEntropyTarget::Probabilities(array) => CrossEntropyTarget::Probabilities(array.shape()),
    };
    let weight = inputs.weight.as_ref().map(|weight| weight.shape());
    let operator = CrossEntropy::new(inputs.input.shape(), target, weight, params).unwrap();
    Call::of_operator(operator.with_gradient().unwrap(), inputs)
}

/// Calls that go several rounds through every loop with a barrier.
pub fn problems() -> Vec<Problem> {
    let mut problems = Vec::new();
    let shapes: [(&[usize], &[&str]); 2] =
        [(&[6, 4096], &["cross_entropy_gradient_in_blocks"]), (&[3, 40, 30], &["cross_entropy_gradient"])];
    for (shape, files) in shapes {
        for is_probability in [false, true] {
            let params = smoothed(Reduction::Mean);
            problems.push(Problem { call: with_gradient(inputs(shape, is_probability), &params), files });
            let forward = Call::new::<CrossEntropy>(inputs(shape, is_probability), &params).unwrap();
            let names: &[&'static str] = if is_probability { &["grad_input", "grad_target"] } else { &["grad_input"] };
            for &name in names {
                let call = backward_of(&forward, 1, Gradient::Write, Some(name.into())).unwrap();
                problems.push(Problem { call, files });
            }
        }
    }
    let many = Call::new::<CrossEntropy>(inputs(&[5001, 3], false), &smoothed(Reduction::Mean)).unwrap();
    let call = backward_of(&many, 1, Gradient::Write, None).unwrap();
    problems.push(Problem { call, files: &["cross_entropy_factor"] });
    problems
}

/// Numbers of classes around those that invocations share, in blocks of 4 and not.
#[test]
fn every_rest_of_the_classes() {
    for count in [1, 3, 4, 31, 32, 33, 36, 63, 64, 1000, 1001, 4096, 4100] {
        for (shape, is_probability) in [(vec![5, count], false), (vec![2, count, 3], false), (vec![5, count], true)] {
            for reduction in [Reduction::None, Reduction::Mean] {
                let call = Call::new::<CrossEntropy>(inputs(&shape, is_probability), &smoothed(reduction)).unwrap();
                let atol = if is_probability && reduction == Reduction::None { 4e-4 } else { 4e-6 };
                expect_within(&backward_of(&call, 1, Gradient::Write, None).unwrap(), atol);
            }
            let both = with_gradient(inputs(&shape, is_probability), &smoothed(Reduction::Mean));
            expect_within(&both, if is_probability { 2e-3 } else { 4e-6 });
        }
    }
}

#[test]
fn many_classes_and_many_rows() {
    for (shape, atol) in
        [(&[2, 100_000][..], 1e-7), (&[3, 32_000, 2], 1e-7), (&[2, 3, 700, 800], 1e-12), (&[1_000_000, 2], 1e-12)]
    {
        let both = with_gradient(inputs(shape, false), &smoothed(Reduction::Mean)).run_eager(gpu()).unwrap();
        let expected = with_gradient(inputs(shape, false), &smoothed(Reduction::Mean)).run_reference().unwrap();
        let [CaseArray::F32(both), CaseArray::F32(expected)] = [&both["grad_input"], &expected["grad_input"]] else {
            panic!("no floats")
        };
        let difference = wgdnn::cases::difference(both, expected);
        assert!(difference.largest <= atol, "{shape:?}: {difference:?}");
    }
}

#[test]
fn it_is_cut_to_a_devices_bindings() {
    for (shape, is_probability) in
        [(&[27, 3, 7][..], false), (&[27, 3, 7], true), (&[101, 12], false), (&[101, 12], true)]
    {
        let call = Call::new::<CrossEntropy>(inputs(shape, is_probability), &smoothed(Reduction::None)).unwrap();
        for how in [Gradient::Write, Gradient::Accumulate] {
            expect_cut(&backward_of(&call, 1, how, None).unwrap(), 1e-5);
        }
    }
}

/// The sum with what is there is rounded once more, on the GPU and by the reference, which may part there.
#[test]
fn what_is_added_to_many_rows_is_validated() {
    let call = Call::new::<CrossEntropy>(inputs(&[1000, 10], false), &Default::default()).unwrap();
    for seed in 0..8 {
        crate::gradients::agree(&call, seed).unwrap();
    }
}

#[test]
fn small_gradients_keep_their_digits() {
    // p - 1 is -1.5e-8; of p next to 1 it would be 0.
    let inputs =
        CrossEntropyInputs::new(array![[18.0_f32, 0.0]].into_dyn(), CrossEntropyTarget::Classes(array![0].into_dyn()));
    let outputs = with_gradient(inputs, &Default::default()).run_eager(gpu()).unwrap();
    let CaseArray::F32(gradient) = &outputs["grad_input"] else { panic!("no floats") };
    let expected = (-18.0_f64).exp() / (1.0 + (-18.0_f64).exp());
    for (got, expected) in gradient.iter().zip([-expected, expected]) {
        assert!((f64::from(*got) / expected - 1.0).abs() < 1e-6, "{got} is not {expected}");
    }
}

/// Every golden case with a reduction: loss and gradient at once are what the passes alone compute, bit for bit.
#[test]
fn one_pass_gives_what_two_give() {
    let mut count = 0;
    for case in golden_of("cross_entropy").into_iter().filter(|case| !case.is_error) {
        let (operator, arrays) = Call::typed::<CrossEntropy>(case).unwrap();
        let forward = Call::of_operator(operator.clone(), arrays);
        // As benchmarks find it.
        let both = forward.returning(&["grad_input"]).unwrap();
        assert_eq!(both.is_some(), operator.with_gradient().is_ok(), "{}", case.id);
        let Some(both) = both else { continue };
        let one = ("grad_output".into(), wgdnn::operator::FloatOrInteger::Float(ndarray::arr0(1.0).into_dyn()));
        let backward = forward.backward(&[("grad_input".into(), Gradient::Write)], &Outputs::new(), &[one]).unwrap();
        for gpu in [gpu(), gpu_taken_for_hardware()] {
            let (both, forward) = (both.run_eager(gpu).unwrap(), forward.run_eager(gpu).unwrap());
            let backward = backward.run_eager(gpu).unwrap();
            for (name, expected) in forward.iter().chain(&backward) {
                assert_eq!(bits(&both[name]), bits(expected), "{}: {name}", case.id);
            }
        }
        count += 1;
    }
    assert!(count > 150, "{count} cases");
}

/// The bits of an array's elements. Every NaN is one.
fn bits(array: &CaseArray) -> Vec<u32> {
    let CaseArray::F32(array) = array else { panic!("no floats") };
    array.iter().map(|x| if x.is_nan() { u32::MAX } else { x.to_bits() }).collect()
}

#[test]
fn a_gradient_of_losses_that_are_not_reduced_is_refused() {
    let params = CrossEntropyParams { reduction: Reduction::None, ..Default::default() };
    let operator = CrossEntropy::new(&[2, 3], CrossEntropyTarget::Classes(&[2]), None, &params).unwrap();
    let error = operator.with_gradient().unwrap_err();
    assert!(matches!(error, Error::InvalidArgument { argument: "reduction", .. }), "{error}");
}

/// What PyTorch 2.11 gives where a mean divides by 0, and where a weight is infinite.
#[test]
fn weights_that_add_up_to_0_or_infinity() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let scores = array![[0.5, 1.0, -1.0], [2.0, 0.0, 1.0]].into_dyn();
    for (target, weight, reduction, label_smoothing, expected) in [
        ([0, 2], [0.0, 1.0, 0.0], Reduction::Mean, 0.0, [nan; 6]),
        ([0, -100], [0.0, 1.0, 0.0], Reduction::Mean, 0.0, [nan, nan, nan, 0.0, 0.0, 0.0]),
        ([-100, -100], [0.0, 1.0, 2.0], Reduction::Mean, 0.1, [0.0; 6]),
        ([0, 2], [1.0, 0.0, -1.0], Reduction::Mean, 0.0, [nan, inf, inf, -inf, -inf, nan]),
        ([0, -100], [inf, 1.0, 2.0], Reduction::Sum, 0.0, [nan, inf, inf, 0.0, 0.0, 0.0]),
        ([0, -100], [inf, 1.0, 2.0], Reduction::Sum, 0.1, [nan, inf, inf, nan, nan, nan]),
        ([0, 2], [inf, 1.0, 2.0], Reduction::Sum, 0.1, [nan, inf, inf, nan, inf, inf]),
    ] {
        let inputs = CrossEntropyInputs {
            weight: Some(ndarray::arr1(&weight).into_dyn()),
            ..CrossEntropyInputs::new(scores.clone(), CrossEntropyTarget::Classes(ndarray::arr1(&target).into_dyn()))
        };
        let call = with_gradient(inputs, &CrossEntropyParams { reduction, label_smoothing, ..Default::default() });
        for outputs in [call.run_reference(), call.run_eager(gpu()), call.run_eager(gpu_taken_for_hardware())] {
            let outputs = outputs.unwrap();
            let CaseArray::F32(gradient) = &outputs["grad_input"] else { panic!("no floats") };
            let is_right = |(got, expected): (&f32, f32)| *got == expected || got.is_nan() && expected.is_nan();
            assert!(gradient.iter().zip(expected).all(is_right), "{gradient} is not {expected:?}");
        }
    }
}

#[test]
fn targets_that_only_the_gpu_knows_give_nan() {
    use wgdnn::{MaxPool2dParams, cross_entropy_backward, max_pool2d};
    // The index of the maximum, 3, made on the GPU: with 2 classes it is none.
    let image = Tensor::from_array(gpu(), &array![[[0.0, 1.0], [2.0, 3.0]]]).unwrap();
    let params = MaxPool2dParams { return_indices: true, ..MaxPool2dParams::new([2, 2]) };
    let indices = max_pool2d(&image, &params).unwrap().indices.unwrap();
    let indices = wgdnn::flatten(&indices, &Default::default()).unwrap();
    let logits = Tensor::from_array(gpu(), &array![[1.0, 2.0]]).unwrap();
    let grad_output = Tensor::from_slice(gpu(), &[1.0], &[]).unwrap();
    for reduction in [Reduction::Mean, Reduction::Sum] {
        let params = CrossEntropyParams { reduction, ..Default::default() };
        let target = CrossEntropyTarget::Classes(&indices);
        let gradients = cross_entropy_backward(&grad_output, &logits, target, None, &params).unwrap();
        assert!(gradients.grad_input.unwrap().read_blocking().unwrap().iter().all(|x| x.is_nan()));
    }
}

/// A call that also gives its gradient, on devices that hold it against the reference.
pub fn agrees_with_gradient(
    inputs: Inputs,
    params: &CrossEntropyParams,
) -> Result<(), proptest::prelude::TestCaseError> {
    if params.reduction != Reduction::None {
        for gpu in validating_gpus() {
            let result = with_gradient(inputs.clone(), params).run_eager(gpu);
            proptest::prop_assert!(result.is_ok(), "{}", result.unwrap_err());
        }
    }
    Ok(())
}

planted_faults!(
    "cross_entropy",
    [
        ("cross_entropy_factor", "class_index == params.ignore_index", "class_index == -1000"),
        ("cross_entropy_factor", "return weight[class_index];", "return 1.0;"),
        ("cross_entropy_factor", "workspace[params.factor + 1u] = sum.x;", ""),
        ("cross_entropy_gradient", "let counts = !is_ignored(class_index);", "let counts = true;"),
        ("cross_entropy_gradient", "own *= 1.0 - params.label_smoothing;", ""),
        ("cross_entropy_gradient", "gradients -= share * class_weights(row, step);", ""),
        (
            "cross_entropy_gradient",
            "smoothed_block(load_given(row, step));\n        store",
            "load_given(row, step);\n        store"
        ),
        ("cross_entropy_gradient", "(1.0 - params.label_smoothing) * factor_of(row)", "factor_of(row)"),
        (
            "cross_entropy_gradient",
            "(maximum - load_classes(row, step)) + log_sum",
            "maximum - load_classes(row, step)"
        ),
        ("cross_entropy_gradient", "workspace[params.row_factors + row.index]", "workspace[params.row_factors]"),
        ("cross_entropy_gradient_in_blocks", "(step * LANES + row.lane) * 4u", "(step * LANES + row.lane)"),
    ]
);
