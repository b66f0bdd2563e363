//! `wgdnn kernels FOLDER`: writes the kernels that operators run as files, for browsers and shader checkers to compile.
//! Plans are made for adapters of all classes; none of them needs to be present.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use wgdnn::cases::Call;
use wgdnn::{Activation, AdapterClass, AnyOperator, Capabilities, Result, wgpu};

use super::bench::read_workloads;
use super::check::read_folder;
use super::files;

/// What the command takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where the files go
    folder: PathBuf,
    /// Only kernels for such adapters
    #[arg(long, value_enum)]
    adapter_type: Option<AdapterType>,
    /// Files of workloads; without any, those of benches/workloads.json
    #[arg(long, value_name = "FILE", num_args = 1..)]
    workloads: Vec<PathBuf>,
    /// Folders of conformance cases, for the kernels that no workload runs
    #[arg(long, value_name = "FOLDER", num_args = 1..)]
    cases: Vec<PathBuf>,
}

/// What kernels are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum AdapterType {
    /// A GPU
    Hardware,
    /// Mesa's software adapters
    Llvmpipe,
    /// Another adapter that runs on the CPU
    Cpu,
}

impl AdapterType {
    fn class(self) -> AdapterClass {
        match self {
            AdapterType::Hardware => AdapterClass::Hardware,
            AdapterType::Llvmpipe => AdapterClass::Llvmpipe,
            AdapterType::Cpu => AdapterClass::Cpu,
        }
    }

    /// Optional features have kernels of their own, and so do devices that bind few buffers.
    fn capabilities(self) -> [Capabilities; 3] {
        let features = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_FLOAT32_ATOMIC;
        let limits = wgpu::Limits::defaults();
        let few_buffers = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..limits.clone() };
        [
            Capabilities::new(self.class(), features, limits.clone()),
            Capabilities::new(self.class(), wgpu::Features::empty(), limits),
            Capabilities::new(self.class(), wgpu::Features::empty(), few_buffers),
        ]
    }
}

/// A line of kernels.jsonl: an entry point, compiled with these constants.
#[derive(Serialize)]
struct Line {
    /// The call that runs it first, and its entry point.
    name: String,
    file: String,
    entry_point: &'static str,
    constants: BTreeMap<&'static str, f64>,
    /// The most that any call runs of it.
    workgroups: u32,
    /// The adapters that may run it.
    adapter_types: BTreeSet<AdapterType>,
    /// The adapters that run it if no algorithm is chosen by name.
    automatic_on: BTreeSet<AdapterType>,
}

/// An operator, and what it is called.
struct Planned {
    name: String,
    operator: Box<dyn AnyOperator>,
    is_automatic: bool,
}

/// The kernels that were found.
#[derive(Default)]
struct Kernels {
    modules: BTreeMap<String, String>,
    lines: Vec<Line>,
}

/// Writes the modules, and kernels.jsonl.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> std::result::Result<ExitCode, Box<dyn Error>> {
    let mut of_workloads = Vec::new();
    for workload in read_workloads(&arguments.workloads)? {
        // Some workloads are of operators that do not exist yet.
        if let Ok(calls) = workload.planned() {
            of_workloads.extend(calls.iter().flat_map(|call| planned(&workload.id, call)));
        }
    }
    let mut of_cases = Vec::new();
    for folder in &arguments.cases {
        for case in read_folder(folder)?.iter().filter(|case| !case.is_error) {
            if let Ok(call) = Call::of_case(case) {
                of_cases.extend(planned(&case.id, &call));
                // Operators with an activation have no gradient.
                let backward = call.planned_backward().unwrap_or_default();
                of_cases.extend(backward.iter().flat_map(|call| planned(&format!("{} {}", case.id, call.op()), call)));
            }
        }
    }
    std::fs::create_dir_all(&arguments.folder).map_err(|error| files::wrong(&arguments.folder, &error))?;

    let mut kernels = Kernels::default();
    let types = arguments.adapter_type.map_or(AdapterType::value_variants().to_vec(), |one| vec![one]);
    for (operators, only_new) in [(&of_workloads, false), (&of_cases, true)] {
        for &adapter_type in &types {
            for on in adapter_type.capabilities() {
                for planned in operators {
                    kernels.add(&on, adapter_type, planned, only_new)?;
                }
            }
        }
    }
    for (file, source) in &kernels.modules {
        files::write(&arguments.folder.join(file), source.as_bytes())?;
    }
    let lines = kernels.lines.iter().map(|line| Ok(serde_json::to_string(line)? + "\n"));
    let lines: Vec<String> = lines.collect::<serde_json::Result<_>>()?;
    // Written last, so that everything it names exists.
    files::write(&arguments.folder.join("kernels.jsonl"), lines.concat().as_bytes())?;
    writeln!(out, "{} kernels of {} modules", lines.len(), kernels.modules.len())?;
    Ok(ExitCode::SUCCESS)
}

/// A call's operator by every algorithm that it has, also on packed weights.
fn planned(name: &str, call: &Call) -> Vec<Planned> {
    let mut all = Vec::new();
    // And with an activation, which has kernels of its own.
    let activation = Activation::LeakyRelu { negative_slope: 0.01 };
    if let Ok(Some(activated)) = call.activated(activation) {
        for (algorithm, operator) in activated.operator().all_algorithms() {
            all.push(Planned { name: format!("{name} {algorithm} activated"), operator, is_automatic: false });
        }
    }
    for (algorithm, operator) in call.operator().all_algorithms() {
        let is_automatic = algorithm == "Auto";
        let name = if is_automatic { name.to_owned() } else { format!("{name} {algorithm}") };
        if let Some(operator) = operator.packed() {
            all.push(Planned { name: format!("{name} packed"), operator, is_automatic });
        }
        all.push(Planned { name, operator, is_automatic });
    }
    all
}

impl Kernels {
    /// Adds what such a device runs for an operator. For the many cases, only kernels that have no line yet with other
    /// constants.
    fn add(&mut self, on: &Capabilities, adapter_type: AdapterType, planned: &Planned, only_new: bool) -> Result<()> {
        // Some calls are larger than such a device binds.
        let Ok(dispatches) = planned.operator.dispatches_on(on) else { return Ok(()) };
        for dispatch in dispatches.into_iter().chain(planned.operator.dispatches_in_place_on(on)?) {
            let (kernel, workgroups) = (dispatch.kernel, dispatch.workgroups);
            let (file, entry_point) = (format!("{}.wgsl", kernel.module), kernel.entry_point);
            let constants = dispatch.constants.into_iter().collect();
            let is_this = |line: &Line| {
                line.file == file && line.entry_point == entry_point && (only_new || line.constants == constants)
            };
            let index = self.lines.iter().position(is_this).unwrap_or_else(|| {
                self.modules.entry(file.clone()).or_insert_with(|| kernel.source());
                let name = format!("{} {entry_point}", planned.name);
                let (adapter_types, automatic_on) = Default::default();
                self.lines.push(Line { name, file, entry_point, constants, workgroups, adapter_types, automatic_on });
                self.lines.len() - 1
            });
            let line = &mut self.lines[index];
            line.workgroups = line.workgroups.max(workgroups);
            line.adapter_types.insert(adapter_type);
            if planned.is_automatic {
                line.automatic_on.insert(adapter_type);
            }
        }
        Ok(())
    }
}
