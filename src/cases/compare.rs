//! Compares results with what was expected.

use ndarray::ArrayD;

use super::{Call, Case, CaseArray, Outputs, Refusal};

/// How far an array of floats is from the expected one.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// The largest absolute difference; infinite if a NaN or an infinity is out of place.
    pub largest: f64,
    /// The index of that element, in row-major order.
    pub index: usize,
    /// The root mean square of the differences.
    pub rmse: f64,
}

/// The difference of one value from another.
fn distance(got: f32, expected: f32) -> f64 {
    if got == expected || (got.is_nan() && expected.is_nan()) {
        0.0
    } else if got.is_finite() && expected.is_finite() {
        (f64::from(got) - f64::from(expected)).abs()
    } else {
        f64::INFINITY
    }
}

/// Compares arrays of one shape.
pub fn difference(got: &ArrayD<f32>, expected: &ArrayD<f32>) -> Difference {
    let mut difference = Difference::default();
    let mut squares = 0.0;
    for (index, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let distance = distance(got, expected);
        squares += distance * distance;
        if distance > difference.largest {
            difference.largest = distance;
            difference.index = index;
        }
    }
    difference.rmse = (squares / got.len().max(1) as f64).sqrt();
    difference
}

/// Compares the results of a case with the expected ones. Returns what is wrong.
pub fn compare(case: &Case, outputs: &Outputs) -> Result<(), String> {
    for (name, expected) in &case.outputs {
        let Some(got) = outputs.get(name.as_str()) else {
            return Err(format!("{name}: nothing came out"));
        };
        if got.shape() != expected.array.shape() {
            return Err(format!("{name}: expected shape {:?}, got {:?}", expected.array.shape(), got.shape()));
        }
        let wrong = |index: usize, got: String, expected: String, difference: f64| {
            Err(format!("{name}[{index}]: expected {expected}, got {got}, difference {difference:e}"))
        };
        match (got, &*expected.array) {
            (CaseArray::F32(got), CaseArray::F32(array)) => {
                let worst = difference(got, array);
                if worst.largest > expected.atol {
                    let at = |array: &ArrayD<f32>| array.iter().nth(worst.index).map_or(0.0, |&x| x);
                    let (got, expected) = (at(got).to_string(), at(array).to_string());
                    return wrong(worst.index, got, expected, worst.largest);
                }
            }
            (CaseArray::I64(got), CaseArray::I64(array)) => {
                let differs = got.iter().zip(array).enumerate().find(|(_, (got, expected))| got != expected);
                if let Some((index, (got, expected))) = differs {
                    let difference = got.abs_diff(*expected) as f64;
                    return wrong(index, got.to_string(), expected.to_string(), difference);
                }
            }
            _ => return Err(format!("{name}: floats beside integers")),
        }
    }
    Ok(())
}

/// The outcome of a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Passed,
    Failed(String),
    /// It needs something that this crate does not have.
    Unsupported(String),
}

/// Runs a case, forward and, if it has a gradient, backward, and compares its results with the expected ones.
pub fn judge(case: &Case, run: impl Fn(&Call) -> Result<Outputs, Refusal>) -> Verdict {
    let both = |call: Call| {
        let mut outputs = run(&call)?;
        if let Some(backward) = call.backward_of_case(case, &outputs)? {
            outputs.extend(run(&backward)?);
        }
        Ok(outputs)
    };
    match (Call::of_case(case).and_then(both), case.is_error) {
        (Err(Refusal::Unsupported(reason)), _) => Verdict::Unsupported(reason),
        (Err(Refusal::BadInput(_)), true) => Verdict::Passed,
        (Err(refusal), _) => Verdict::Failed(refusal.to_string()),
        (Ok(_), true) => Verdict::Failed("expected to be refused, but gave a result".into()),
        (Ok(outputs), false) => match compare(case, &outputs) {
            Ok(()) => Verdict::Passed,
            Err(reason) => Verdict::Failed(reason),
        },
    }
}
