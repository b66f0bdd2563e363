//! A workload ready to run: its inputs on the device, its calls, and the expected results.

use std::cell::OnceCell;
use std::error::Error;

use wgdnn::cases::workload::Workload;
use wgdnn::cases::{Call, CaseArray, Outputs, Refusal, difference, key_of};
use wgdnn::operator::{AnyTensorValue, FloatOrInteger, Name};
use wgdnn::{Gpu, Result};

/// A workload's calls, which run one after the other, and what the CPU gives for them.
pub struct Subject {
    calls: Vec<Call>,
    expected: OnceCell<std::result::Result<Outputs, Refusal>>,
}

/// What a workload makes.
pub type Made = Vec<(Name, AnyTensorValue)>;

/// The calls on inputs that are on the device.
pub type Bound = Box<dyn Fn() -> Result<Made>>;

/// How far the output that is relatively farthest from the reference is from it.
#[derive(Debug, Default)]
pub struct Check {
    pub max_abs_err: f64,
    /// The reference's largest magnitude.
    pub ref_max: f64,
}

/// An algorithm's name in a form that ignores the usual variations in spelling.
fn plain(name: &str) -> String {
    name.replace(['-', '_'], "").to_lowercase()
}

impl Subject {
    /// Draws a workload's inputs, for a call by an algorithm if one is named.
    pub fn new(workload: &Workload, algorithm: Option<&str>) -> std::result::Result<Self, Refusal> {
        let mut calls = workload.calls()?;
        if let Some(name) = algorithm {
            for call in &mut calls {
                let mut each = call.by_every_algorithm().into_iter();
                let found = each.find(|(algorithm, _)| plain(algorithm) == plain(name));
                *call = found.ok_or_else(|| Refusal::Unsupported(format!("the algorithm {name}")))?.1;
            }
        }
        Ok(Subject { calls, expected: OnceCell::new() })
    }

    /// The names of all algorithms that these workloads can be computed by.
    pub fn algorithms(workloads: &[Workload]) -> Vec<String> {
        let calls = workloads.iter().filter_map(|workload| workload.planned().ok()).flatten();
        let mut names: Vec<_> = calls.flat_map(|call| call.by_every_algorithm()).map(|(name, _)| name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Whether an algorithm of this name is one of these.
    pub fn is_one_of(name: &str, algorithms: &[String]) -> bool {
        algorithms.iter().any(|algorithm| plain(algorithm) == plain(name))
    }

    /// Its plan on this device, as one line.
    pub fn plan(&self, gpu: &Gpu) -> String {
        let plans = self.calls.iter().map(|call| call.operator().plan_on(gpu.capabilities()));
        plans.collect::<Vec<_>>().join("; ")
    }

    /// Uploads the inputs.
    pub fn upload(&self, gpu: &Gpu) -> Result<Bound> {
        let bind = |call: &Call| call.operator().bind_by_name(call.upload(gpu)?);
        let calls = self.calls.iter().map(bind).collect::<Result<Vec<_>>>()?;
        Ok(Box::new(move || {
            let mut made = Vec::new();
            for call in &calls {
                made.extend(call()?);
            }
            Ok(made)
        }))
    }

    /// Compares what was made with what the CPU makes.
    pub fn check(&self, made: &Made) -> std::result::Result<Check, Box<dyn Error>> {
        let expected = self.expected.get_or_init(|| {
            let mut outputs = Outputs::new();
            for call in &self.calls {
                outputs.extend(call.run_reference()?);
            }
            Ok(outputs)
        });
        let expected = expected.as_ref().map_err(ToString::to_string)?;
        let mut checks = Vec::new();
        for (name, tensor) in made {
            let FloatOrInteger::Float(tensor) = tensor else { continue };
            let output = tensor.read_blocking()?;
            match expected.get(&key_of(*name)) {
                Some(CaseArray::F32(expected)) if output.shape() == expected.shape() => checks.push(Check {
                    max_abs_err: difference(&output, expected).largest,
                    ref_max: expected.iter().fold(0.0, |largest, &x| f64::from(x.abs()).max(largest)),
                }),
                _ => return Err(format!("{name} is not of the reference's shape").into()),
            }
        }
        let relative = |check: &Check| check.max_abs_err / check.ref_max.max(1e-30);
        let worst = checks.into_iter().max_by(|a, b| relative(a).total_cmp(&relative(b)));
        worst.ok_or_else(|| "it made nothing of floats".into())
    }
}
