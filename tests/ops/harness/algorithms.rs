//! Runs by every algorithm that an operator has, beside PyTorch and beside the CPU reference.

use std::collections::BTreeMap;
use std::sync::Arc;

use wgdnn::Gpu;

use super::golden::check_expectation;
use super::{Outputs, failures, gpu};
use wgdnn::cases::{Call, Case, CaseArray, Refusal, compare};

/// [`failures`] by every algorithm that the operator has.
pub fn failures_of_all_algorithms(cases: &[&Case], run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> Vec<String> {
    let mut by_name = BTreeMap::<String, Vec<&Case>>::new();
    for case in cases {
        let names = match Call::of_case(case) {
            Ok(call) => call.by_every_algorithm().into_iter().map(|(name, _)| name).collect(),
            Err(_) => vec!["Auto".to_owned()],
        };
        names.into_iter().for_each(|name| by_name.entry(name).or_default().push(case));
    }
    assert!(by_name.contains_key("Auto"));
    let by = |call: &Call, wanted: &str| run(&call.by(wanted).unwrap());
    by_name
        .iter()
        .flat_map(|(name, cases)| {
            // The exceptions, by name alone, as their documentation says: 8 and 5 times PyTorch's error, not 4.
            let factor = match &**name {
                "Winograd4x4" => 2.0,
                "Winograd2x2" => 1.25,
                _ => 1.0,
            };
            let cases: Vec<_> = cases.iter().map(|case| with_bound(case, factor)).collect();
            failures(&cases.iter().collect::<Vec<_>>(), |call| by(call, name))
                .into_iter()
                .map(move |failure| format!("{name}: {failure}"))
        })
        .collect()
}

fn with_bound(case: &Case, factor: f64) -> Case {
    let mut case = case.clone();
    case.outputs.values_mut().for_each(|expected| expected.atol *= factor);
    case
}

/// Holds an eager call against the CPU reference: every output equal to the last bit.
#[track_caller]
pub fn expect_exact(call: &Call) {
    expect_within(call, 0.0);
}

/// Holds an eager call by every algorithm against the CPU reference.
#[track_caller]
pub fn expect_within(call: &Call, atol: f64) {
    expect_within_on(gpu(), call, atol);
}

/// [`expect_within`] on another device than the tests'.
#[track_caller]
pub fn expect_within_on(gpu: &Gpu, call: &Call, atol: f64) {
    let outputs = call.run_reference().unwrap();
    let case = Case {
        id: format!("{call:.0?}").chars().take(40).collect(),
        op: String::new(),
        params: Default::default(),
        inputs: BTreeMap::new(),
        lists: Default::default(),
        outputs: outputs
            .into_iter()
            .map(|(name, array)| {
                (name.to_owned(), wgdnn::cases::Expected { array: Arc::new(array), atol, rmse_float32: None })
            })
            .collect(),
        is_error: false,
    };
    check_expectation(&case).unwrap();
    for (algorithm, call) in call.by_every_algorithm() {
        for (way, outputs) in [("eager", call.run_eager(gpu)), ("recorded", crate::recorded::run(&call, gpu))] {
            let mut outputs = outputs.unwrap();
            // Its transforms round even whole numbers, which must come out when rounded again.
            if atol == 0.0 && is_transformed(&call, gpu) {
                round(&mut outputs);
            }
            if let Err(reason) = compare(&case, &outputs) {
                panic!("{algorithm}, {way}: {reason}");
            }
        }
    }
}

fn is_transformed(call: &Call, gpu: &Gpu) -> bool {
    call.operator().plan_on(gpu.capabilities()).contains("F(4x4, 3x3)")
}

fn round(outputs: &mut Outputs) {
    for output in outputs.values_mut() {
        if let CaseArray::F32(array) = output {
            assert!(array.iter().all(|x| (x - x.round()).abs() < 0.05));
            array.mapv_inplace(f32::round);
        }
    }
}

/// The root mean square error over all cases' float outputs, relative to the size of each output: ours, and that
/// of PyTorch's own float32.
pub fn rmse_beside_pytorch(cases: &[&Case], run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> (f64, f64) {
    let (mut ours, mut theirs, mut count) = (0.0, 0.0, 0.0);
    for case in cases.iter().filter(|case| !case.is_error) {
        let call = Call::of_case(case).unwrap();
        let mut outputs = run(&call).unwrap();
        if let Some(backward) = call.backward_of_case(case, &outputs).unwrap() {
            outputs.extend(run(&backward).unwrap());
        }
        for (name, expected) in &case.outputs {
            let (CaseArray::F32(got), CaseArray::F32(array)) = (&outputs[name.as_str()], &*expected.array) else {
                panic!("{}: {name} is no float", case.id);
            };
            let size = array.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / array.len() as f64;
            if size > 0.0 && size.is_finite() {
                ours += wgdnn::cases::difference(got, array).rmse.powi(2) / size;
                theirs += expected.rmse_float32.unwrap().powi(2) / size;
                count += 1.0;
            }
        }
    }
    assert!(count >= 20.0, "{count} outputs");
    ((ours / count).sqrt(), (theirs / count).sqrt())
}
