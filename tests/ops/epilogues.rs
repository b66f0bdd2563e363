//! Operators that add a residual to their output and apply an activation to it: fused, they give what the operators one
//! after the other give.

mod operators;
mod properties;

use std::collections::BTreeSet;

use ndarray::ArrayD;
use wgdnn::cases::{Call, Case, CaseArray, Expected};
use wgdnn::operator::{AnyOperator, FloatOrInteger, Name};
use wgdnn::{
    Activation, AdapterClass, Approximate, BatchNorm, Capabilities, Conv2d, Conv2dInputs, Conv2dParams,
    ConvTranspose2d, ConvTranspose2dInputs, ConvTranspose2dParams, Error, Gpu, Linear, LinearInputs, Operator, wgpu,
};

use self::operators::{HasEpilogue, activate};
use crate::harness::{golden_of, gpu, gpu_taken_for_hardware, random};
use crate::splitting::device_with_binding;

/// Those that most cases have: they are one pipeline for each kernel.
const SLOPES: [Activation; 3] = [
    Activation::LeakyRelu { negative_slope: 0.25 },
    Activation::Prelu { num_parameters: 1 },
    // A slope for each channel.
    Activation::Prelu { num_parameters: 0 },
];

/// All others.
const ACTIVATIONS: [Activation; 8] = [
    Activation::Relu,
    Activation::Relu6,
    Activation::Hardswish,
    Activation::Silu,
    Activation::Gelu { approximate: Approximate::None },
    Activation::Gelu { approximate: Approximate::Tanh },
    Activation::Tanh,
    Activation::Sigmoid,
];

/// An activation that makes whole numbers, or halves, of whole numbers.
pub const EXACT: Activation = Activation::LeakyRelu { negative_slope: 0.5 };

/// A call with an epilogue, and what it must give.
struct Fused {
    call: Call,
    case: Case,
    has_residual: bool,
}

/// A golden case's operator with an epilogue. `turn` chooses among them.
fn fused<O: HasEpilogue>(case: &Case, turn: usize) -> Option<Fused>
where
    O::Params: serde::de::DeserializeOwned,
{
    let (mut operator, mut inputs) = Call::typed::<O>(case).unwrap();
    let plain = operator.output(&inputs);
    let has_residual = O::HAS_RESIDUAL && !turn.is_multiple_of(3);
    let chosen = match turn.checked_sub(ACTIVATIONS.len()) {
        None => ACTIVATIONS[turn],
        Some(turn) => SLOPES[turn / 3 % SLOPES.len()],
    };
    let mut activation = (turn % 3 < 2 || turn < ACTIVATIONS.len()).then_some(chosen);
    if activation.is_none() && !has_residual {
        return None;
    }
    if let Some(Activation::Prelu { num_parameters: 0 }) = activation {
        activation = Some(Activation::Prelu { num_parameters: operator.channels() });
    }
    let weight = match activation {
        Some(Activation::Prelu { num_parameters }) => Some(random(&[num_parameters], 3)),
        _ => None,
    };
    let residual = has_residual.then(|| random(plain.shape(), 4));
    let sum = residual.as_ref().map_or(plain.clone(), |residual| &plain + residual);
    let expected = match activation {
        // A row of features is no (N,C).
        Some(activation @ Activation::Prelu { .. }) if O::NAME == "linear" => {
            let rows = sum.len() / operator.channels().max(1);
            let matrix = sum.clone().into_shape_with_order(vec![rows, operator.channels()]).unwrap();
            activate(activation, &matrix, weight.as_ref()).into_shape_with_order(sum.shape()).unwrap()
        }
        // An image alone has no N.
        Some(activation @ Activation::Prelu { .. }) if sum.ndim() == 3 && O::HAS_RESIDUAL => {
            let batch = sum.clone().insert_axis(ndarray::Axis(0));
            activate(activation, &batch, weight.as_ref()).remove_axis_of_one()
        }
        Some(activation) => activate(activation, &sum, weight.as_ref()),
        None => sum.clone(),
    };
    if has_residual {
        operator = operator.added();
    }
    if let Some(activation) = activation {
        operator = operator.activated(activation).ok()?;
    }
    O::set(&mut inputs, residual, weight);
    let bound = case.outputs["output"].atol;
    let largest = sum.iter().filter(|x| x.is_finite()).fold(0.0, |largest: f64, x| f64::from(x.abs()).max(largest));
    let expected = Expected {
        array: std::sync::Arc::new(CaseArray::F32(expected)),
        // The sum is rounded once more before the activation than in the fused call, and the activation rounds too.
        atol: 2.0 * bound + 4e-7 * (largest + 1.0),
        rmse_float32: None,
    };
    let case = Case { outputs: [("output".to_owned(), expected)].into(), ..case.clone() };
    Some(Fused { call: Call::of_operator(operator, inputs), case, has_residual })
}

trait RemoveAxis {
    fn remove_axis_of_one(self) -> Self;
}

impl RemoveAxis for ArrayD<f32> {
    fn remove_axis_of_one(self) -> Self {
        self.index_axis_move(ndarray::Axis(0), 0)
    }
}

fn fused_of(case: &Case, turn: usize) -> Option<Fused> {
    match &*case.op {
        "conv2d" => fused::<Conv2d>(case, turn),
        "conv_transpose2d" => fused::<ConvTranspose2d>(case, turn),
        "linear" => fused::<Linear>(case, turn),
        "batch_norm" => fused::<BatchNorm>(case, turn),
        other => panic!("{other}"),
    }
}

const OPERATORS: [&str; 4] = ["conv2d", "conv_transpose2d", "linear", "batch_norm"];

/// The golden cases that can be fused, all of which have one output.
fn cases(op: &str) -> Vec<&'static Case> {
    let all = golden_of(op).into_iter().filter(|case| !case.is_error && case.outputs.len() == 1);
    all.filter(|case| case.params.get("training").is_none_or(|training| *training == false)).collect()
}

/// Whether the fused plan of a call on such a device says what it must.
fn says_how_it_finishes(plan: &str) -> bool {
    plan.contains("fused with what follows") || plan.contains("more for what follows")
}

/// Every golden case by every algorithm, with epilogues in turn: eagerly, recorded, and with the residual in the output's
/// own buffer.
#[track_caller]
fn expect_fused(gpu: &Gpu, step: usize) -> BTreeSet<String> {
    let (mut wrong, mut ran, mut plans) = (Vec::new(), 0, BTreeSet::new());
    for op in OPERATORS {
        for (turn, case) in cases(op).into_iter().step_by(step).enumerate() {
            let Some(Fused { call, case, has_residual }) = fused_of(case, turn) else { continue };
            for (algorithm, call) in call.by_every_algorithm() {
                let plan = call.operator().plan_on(gpu.capabilities());
                assert!(says_how_it_finishes(&plan), "{}: {plan}", case.id);
                plans.insert(format!("{op}: {plan}"));
                let mut case = case.clone();
                if algorithm == "Winograd4x4" {
                    case.outputs.values_mut().for_each(|expected| expected.atol *= 2.0);
                }
                let mut judge = |way: &str, outputs: Result<wgdnn::cases::Outputs, wgdnn::cases::Refusal>| {
                    ran += 1;
                    let compared = outputs.map_err(|error| error.to_string());
                    if let Err(reason) = compared.and_then(|outputs| wgdnn::cases::compare(&case, &outputs)) {
                        wrong.push(format!("{}, {algorithm}, {way}, {plan}: {reason}", case.id));
                    }
                };
                judge("eager", call.run_eager(gpu));
                judge("recorded", crate::recorded::run(&call, gpu));
                if has_residual {
                    let names: [Name; 1] = ["residual".into()];
                    judge("recorded in place", crate::recorded::run_with(&call, gpu, &names));
                    judge("eager in place", in_place(&call, gpu));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {ran} are wrong:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
    assert!(ran > 1000 / step, "{ran}");
    plans
}

fn in_place(call: &Call, gpu: &Gpu) -> Result<wgdnn::cases::Outputs, wgdnn::cases::Refusal> {
    let tensors = call.upload(gpu)?;
    let operator: &dyn AnyOperator = call.operator();
    operator.call_in_place_by_name(tensors.clone())?;
    let residual = tensors.into_iter().find(|(name, _)| *name == "residual".into());
    let Some((_, FloatOrInteger::Float(residual))) = residual else { panic!("no residual") };
    Ok([("output".to_owned(), residual.read_blocking()?.into())].into())
}

#[test]
fn fused_is_one_after_the_other() {
    expect_fused(gpu(), 2);
}

#[test]
fn fused_is_one_after_the_other_by_kernels_of_hardware() {
    expect_fused(gpu_taken_for_hardware(), 5);
}

/// Where a device binds four buffers, a dispatch more does it.
#[test]
fn fused_is_one_after_the_other_on_few_buffers() {
    let options = wgdnn::GpuOptions::default().limits(wgpu::Limits::downlevel_defaults());
    let gpu = Gpu::with_options_blocking(&options).unwrap();
    assert_eq!(gpu.limits().max_storage_buffers_per_shader_stage, 4);
    let plans = expect_fused(&gpu, 5);
    assert!(plans.iter().filter(|plan| !plan.starts_with("batch_norm")).all(|plan| plan.contains("more for what")));
}

/// Validation raises no false alarm, neither where sigmoid makes something of sums that cancel.
#[test]
fn what_is_right_is_validated() {
    let gpu = Gpu::with_options_blocking(&wgdnn::GpuOptions::default()).unwrap();
    gpu.set_validation(true);
    let mut ran = 0;
    for op in OPERATORS {
        for (turn, case) in cases(op).into_iter().step_by(9).enumerate() {
            let Some(Fused { call, .. }) = fused_of(case, turn % ACTIVATIONS.len()) else { continue };
            for (_, call) in call.by_every_algorithm() {
                call.run_eager(&gpu).unwrap_or_else(|refusal| {
                    panic!("{turn} {}: {refusal}", call.operator().plan_on(gpu.capabilities()))
                });
                ran += 1;
            }
        }
    }
    assert!(ran > 100, "{ran}");
    let of = |size: f32, operator: Linear| {
        let inputs = LinearInputs::new(random(&[2000, 1], 1) * size, ndarray::array![[1.0]].into_dyn());
        Call::of_operator(operator.with_activation(Activation::Sigmoid).unwrap(), inputs)
    };
    for size in [1e-3, 1.0, 20.0] {
        of(size, Linear::new(&[2000, 1], &[1, 1], None).unwrap()).run_eager(&gpu).unwrap();
    }
}

/// Sums that are cut into several dispatches, split over k, or cut into parts of a batch are finished once.
#[test]
fn a_sum_that_is_cut_is_finished_once() {
    let negative = |shape: &[usize]| crate::harness::random_integers(shape, 5).mapv(|x| x - 1.0);
    let activation = Activation::LeakyRelu { negative_slope: 0.5 };
    let mut calls = Vec::new();
    // 40,000 channels are more products than an invocation of llvmpipe may loop over.
    for (shape, weight) in [([2, 40_000, 2, 2], [3, 40_000, 1, 1]), ([3, 40, 5, 6], [20, 40, 3, 3])] {
        let conv = Conv2d::new(&shape, &weight, None, &Conv2dParams::default()).unwrap();
        let conv = conv.with_residual().with_activation(activation).unwrap();
        let residual = Some(negative(conv.output_shape()));
        let inputs = Conv2dInputs { residual, ..Conv2dInputs::new(negative(&shape), negative(&weight)) };
        calls.push(Call::of_operator(conv, inputs));
    }
    for (shape, weight) in [([2, 40_000, 2, 2], [40_000, 2, 1, 1]), ([3, 40, 5, 6], [40, 20, 3, 3])] {
        let conv = ConvTranspose2d::new(&shape, &weight, None, &ConvTranspose2dParams::default()).unwrap();
        let conv = conv.with_residual().with_activation(activation).unwrap();
        let residual = Some(negative(conv.output_shape()));
        let inputs =
            ConvTranspose2dInputs { residual, ..ConvTranspose2dInputs::new(negative(&shape), negative(&weight)) };
        calls.push(Call::of_operator(conv, inputs));
    }
    for (shape, weight) in [([3, 150_000], [5, 150_000]), ([20, 1000], [40, 1000])] {
        let linear = Linear::new(&shape, &weight, None).unwrap().with_residual().with_activation(activation).unwrap();
        let residual = Some(negative(linear.output_shape()));
        let inputs = LinearInputs { residual, ..LinearInputs::new(negative(&shape), negative(&weight)) };
        calls.push(Call::of_operator(linear, inputs));
    }
    let mut plans = Vec::new();
    for call in &calls {
        for gpu in [gpu(), gpu_taken_for_hardware()] {
            for (_, call) in call.by_every_algorithm() {
                plans.push(call.operator().plan_on(gpu.capabilities()));
            }
            crate::harness::expect_within_on(gpu, call, 0.0);
            let expected = call.run_reference().unwrap();
            assert_eq!(in_place(call, gpu).unwrap(), expected);
        }
    }
    assert!(plans.iter().any(|plan| plan.contains("parts, 2 dispatches more")), "{plans:#?}");
    assert!(plans.iter().any(|plan| plan.contains("split in") && plan.contains("fused with")), "{plans:#?}");
    // And in parts of the batch, or of the features.
    for (call, bytes) in [(&calls[1], 1 << 15), (&calls[3], 1 << 15), (&calls[5], 1 << 17)] {
        let gpu = device_with_binding(bytes);
        crate::harness::expect_within_on(&gpu, call, 0.0);
        assert_eq!(in_place(call, &gpu).unwrap(), call.run_reference().unwrap());
    }
}

#[test]
fn planted_faults_are_seen() {
    use wgdnn::{Conv2dInputs, LinearInputs};

    let integers = |shape: &[usize], seed| crate::harness::random_integers(shape, seed);
    let (shape, weight) = ([1, 6, 5, 7], [5, 6, 3, 3]);
    let conv = Conv2d::new(&shape, &weight, None, &Default::default()).unwrap().with_residual();
    let conv = conv.with_activation(Activation::Prelu { num_parameters: 5 }).unwrap();
    let conv = conv.with_algorithm(wgdnn::Conv2dAlgorithm::Direct).unwrap();
    let inputs = Conv2dInputs {
        residual: Some(integers(&[1, 5, 3, 5], 3)),
        activation_weight: Some(integers(&[5], 4)),
        ..Conv2dInputs::new(integers(&shape, 1), integers(&weight, 2))
    };
    crate::harness::expect_seen_in(
        &Call::of_operator(conv, inputs),
        &[
            ("conv2d_epilogue", "x += residual[at];", ""),
            ("conv2d_epilogue", "u32(channel) % params.epilogue.y", "0u"),
            ("conv2d_epilogue", "value = start + sum;", "value = start;"),
        ],
    );
    let linear = Linear::new(&[3, 8], &[4, 8], None).unwrap().with_residual();
    let linear = linear.with_activation(Activation::LeakyRelu { negative_slope: 0.5 }).unwrap();
    let inputs = LinearInputs {
        residual: Some(integers(&[3, 4], 3)),
        ..LinearInputs::new(integers(&[3, 8], 1), integers(&[4, 8], 2))
    };
    crate::harness::expect_seen_in(
        &Call::of_operator(linear, inputs),
        &[
            ("linear_epilogue", "finished(value, i32(at), i32(feature))", "finished(value, 0, i32(feature))"),
            ("linear_epilogue", "bitcast<f32>(params.epilogue.x)", "1.0"),
        ],
    );
}

#[test]
fn plans_say_how_they_finish() {
    let on = |limits| Capabilities::new(AdapterClass::Hardware, wgpu::Features::empty(), limits);
    let (many, few) = (on(wgpu::Limits::defaults()), on(wgpu::Limits::downlevel_defaults()));
    let conv = Conv2d::new(&[1, 64, 56, 56], &[64, 64, 3, 3], None, &Default::default()).unwrap();
    assert!(!says_how_it_finishes(&conv.plan(&many).to_string()));
    let conv = conv.with_residual();
    assert!(conv.plan(&many).to_string().ends_with(", fused with what follows"));
    assert!(conv.plan(&few).to_string().ends_with(", a dispatch more for what follows"));
    let conv = conv.with_activation(Activation::Relu).unwrap();
    assert!(conv.plan(&few).to_string().ends_with(", 2 dispatches more for what follows"));
}

#[test]
fn wrong_epilogues_are_refused() {
    let conv = Conv2d::new(&[1, 2, 5, 5], &[4, 2, 3, 3], None, &Default::default()).unwrap();
    let text = |error: Error| error.to_string();
    assert_eq!(
        text(conv.clone().with_activation(Activation::Prelu { num_parameters: 2 }).unwrap_err()),
        "conv2d: activation: expected 1 slope, or one for each of 4 channels, got 2 slopes"
    );
    let steep = Activation::LeakyRelu { negative_slope: f64::NAN };
    let error = text(conv.clone().with_activation(steep).unwrap_err());
    assert_eq!(error, "conv2d: negative_slope: expected a finite float32, got NaN");
    let inputs = wgdnn::BatchNormInputs::new(&[2, 3, 4][..]);
    let params = wgdnn::BatchNormParams { training: true, ..Default::default() };
    let norm = BatchNorm::new(&inputs, &params).unwrap();
    let error = text(norm.with_activation(Activation::Relu).unwrap_err());
    assert_eq!(error, "batch_norm: training: expected false, for an activation, got true");
    // Arguments that were not planned, or planned and not given.
    let tensor = |shape: &[usize]| wgdnn::Tensor::zeros(gpu(), shape).unwrap();
    let (input, weight, residual) = (tensor(&[1, 2, 5, 5]), tensor(&[4, 2, 3, 3]), tensor(&[1, 4, 3, 3]));
    let inputs = wgdnn::Conv2dInputs::new(&input, &weight);
    let with = wgdnn::Conv2dInputs { residual: Some(&residual), ..inputs };
    assert_eq!(text(conv.call(&with).unwrap_err()), "conv2d: residual: expected none, got a tensor");
    let added = conv.with_residual();
    let error = text(added.call(&inputs).unwrap_err());
    assert_eq!(error, "conv2d: residual: expected a tensor of shape [1, 4, 3, 3], got none");
    let with = wgdnn::Conv2dInputs { residual: Some(&weight), ..inputs };
    let error = text(added.call(&with).unwrap_err());
    assert_eq!(error, "conv2d: residual: expected shape [1, 4, 3, 3], got shape [4, 2, 3, 3]");
}
