//! A workload ready to run: its inputs on the device, a call, and the expected results.

use std::cell::OnceCell;

use wgdnn::cases::workload::Workload;
use wgdnn::cases::{Call, CaseArray, Outputs, Refusal, difference};
use wgdnn::operator::FloatOrInteger;
use wgdnn::{Gpu, Result, Tensor};

/// A workload's call, and what the CPU gives for it.
pub struct Subject {
    call: Call,
    expected: OnceCell<std::result::Result<Outputs, Refusal>>,
}

/// A call on inputs that are on the device.
pub type Bound = Box<dyn Fn() -> Result<Tensor>>;

/// How far an output is from the reference.
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
        let call = workload.call()?;
        let call = match algorithm {
            None => call,
            Some(name) => {
                let mut each = call.by_every_algorithm().into_iter();
                let found = each.find(|(algorithm, _)| plain(algorithm) == plain(name));
                found.ok_or_else(|| Refusal::Unsupported(format!("the algorithm {name}")))?.1
            }
        };
        Ok(Subject { call, expected: OnceCell::new() })
    }

    /// The names of all algorithms that these workloads can be computed by.
    pub fn algorithms(workloads: &[Workload]) -> Vec<String> {
        let calls = workloads.iter().filter_map(|workload| workload.planned().ok());
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
        self.call.operator().plan_on(gpu.capabilities())
    }

    /// Uploads the inputs.
    pub fn upload(&self, gpu: &Gpu) -> Result<Bound> {
        let call = self.call.operator().bind_by_name(self.call.upload(gpu)?)?;
        Ok(Box::new(move || {
            let outputs = call()?;
            match outputs.into_iter().next() {
                Some((_, FloatOrInteger::Float(output))) => Ok(output),
                _ => unreachable!("every operator's first output is of floats"),
            }
        }))
    }

    /// Compares an output with the CPU's.
    pub fn check(&self, output: CaseArray) -> std::result::Result<Check, String> {
        let expected = self.expected.get_or_init(|| self.call.run_reference());
        let expected = expected.as_ref().map_err(ToString::to_string)?;
        match (output, expected.get("output")) {
            (CaseArray::F32(output), Some(CaseArray::F32(expected))) if output.shape() == expected.shape() => {
                Ok(Check {
                    max_abs_err: difference(&output, expected).largest,
                    ref_max: expected.iter().fold(0.0, |largest, &x| f64::from(x.abs()).max(largest)),
                })
            }
            _ => Err("the output is not of the reference's shape".into()),
        }
    }
}
