//! `wgdnn kernels FOLDER`: the kernels that operators run, as files, for what compiles them elsewhere: browsers and
//! checkers of shaders.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use ndarray::{ArrayD, IxDyn};
use serde::Serialize;
use wgdnn::{
    AdapterClass, AvgPool2d, AvgPool2dParams, BatchNorm, BatchNormArguments, BatchNormParams, Boxes, Conv2d,
    Conv2dAlgorithm, Conv2dParams, ConvTranspose2d, ConvTranspose2dAlgorithm, ConvTranspose2dParams, CrossEntropy,
    CrossEntropyParams, CrossEntropyTarget, Gpu, GpuOptions, MaxPool2d, MaxPool2dParams, MseLoss, MseLossParams,
    Operator, Reduction, Result, RoiPool, RoiPoolParams, Sigmoid, wgpu,
};

use super::bench::inputs::Inputs;
use super::bench::read_workloads;
use super::bench::workload::Workload;
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
}

/// A line of kernels.jsonl: an entry point, compiled with these constants.
#[derive(Serialize)]
struct Line {
    /// What runs it first, and its entry point.
    name: String,
    file: String,
    entry_point: &'static str,
    constants: BTreeMap<&'static str, f64>,
    /// The most that any call runs of it.
    workgroups: u32,
    /// Which adapters may run it.
    adapter_types: BTreeSet<AdapterType>,
    /// Which adapters run it where no algorithm is asked for by name.
    automatic_on: BTreeSet<AdapterType>,
}

/// An operator, and what it is called.
struct Planned {
    name: String,
    operator: Box<dyn Operator>,
    is_automatic: bool,
}

impl Planned {
    fn new(name: &str, operator: impl Operator + 'static) -> Self {
        Planned { name: name.to_owned(), operator: Box::new(operator), is_automatic: true }
    }

    fn by(
        name: &str,
        algorithm: impl std::fmt::Debug + Default + PartialEq,
        operator: impl Operator + 'static,
    ) -> Self {
        let is_automatic = algorithm == Default::default();
        let name = if is_automatic { name.to_owned() } else { format!("{name} {algorithm:?}") };
        Planned { name, operator: Box::new(operator), is_automatic }
    }
}

/// Writes the modules, and kernels.jsonl.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> std::result::Result<ExitCode, Box<dyn Error>> {
    let mut operators = Vec::new();
    for workload in read_workloads(&arguments.workloads)? {
        operators.extend(of_workload(&workload)?);
    }
    operators.extend(others()?);
    std::fs::create_dir_all(&arguments.folder).map_err(|error| files::wrong(&arguments.folder, &error))?;

    let (mut modules, mut lines) = (BTreeMap::new(), Vec::new());
    let types = arguments.adapter_type.map_or(AdapterType::value_variants().to_vec(), |one| vec![one]);
    for adapter_type in types {
        // Optional features have kernels of their own, and so have devices that bind few buffers.
        let with_features = Gpu::new_blocking()?;
        let few_buffers = wgpu::Limits { max_storage_buffers_per_shader_stage: 4, ..with_features.limits().clone() };
        let options = GpuOptions { portable: true, limits: Some(few_buffers), ..Default::default() };
        for gpu in [with_features, Gpu::with_options_blocking(&options)?] {
            gpu.take_for(adapter_type.class());
            for planned in &operators {
                add_kernels(&gpu, adapter_type, planned, &mut modules, &mut lines)?;
            }
        }
    }
    for (file, source) in &modules {
        files::write(&arguments.folder.join(file), source.as_bytes())?;
    }
    let lines = lines.iter().map(|line| Ok(serde_json::to_string(line)? + "\n"));
    let lines: Vec<String> = lines.collect::<serde_json::Result<_>>()?;
    // Last, so that all that it names is there.
    files::write(&arguments.folder.join("kernels.jsonl"), lines.concat().as_bytes())?;
    writeln!(out, "{} kernels of {} modules", lines.len(), modules.len())?;
    Ok(ExitCode::SUCCESS)
}

/// Adds what a device runs for an operator to those that are there.
fn add_kernels(
    gpu: &Gpu,
    adapter_type: AdapterType,
    planned: &Planned,
    modules: &mut BTreeMap<String, &'static str>,
    lines: &mut Vec<Line>,
) -> Result<()> {
    for dispatch in gpu.dispatches_of(&*planned.operator)? {
        let (kernel, workgroups) = (dispatch.kernel, dispatch.workgroups);
        let (file, entry_point) = (format!("{}.wgsl", kernel.file), kernel.entry_point);
        let constants = dispatch.constants.into_iter().collect();
        modules.insert(file.clone(), kernel.source);
        let is_this = |line: &Line| line.file == file && line.entry_point == entry_point && line.constants == constants;
        let index = lines.iter().position(is_this).unwrap_or_else(|| {
            let name = format!("{} {entry_point}", planned.name);
            let (adapter_types, automatic_on) = Default::default();
            lines.push(Line { name, file, entry_point, constants, workgroups, adapter_types, automatic_on });
            lines.len() - 1
        });
        let line = &mut lines[index];
        line.workgroups = line.workgroups.max(workgroups);
        line.adapter_types.insert(adapter_type);
        if planned.is_automatic {
            line.automatic_on.insert(adapter_type);
        }
    }
    Ok(())
}

/// A workload's operator by every algorithm that it has, also on packed weights; none for what is not there yet.
fn of_workload(workload: &Workload) -> Result<Vec<Planned>> {
    let shape = |name: &str| workload.shape(name);
    let Ok(inputs) = Inputs::new(workload, None, shape, shape) else { return Ok(Vec::new()) };
    let id = &*workload.id;
    Ok(match inputs {
        Inputs::Conv2d { x, weight, bias, params } => return conv2d(id, &x, &weight, bias.as_deref(), &params),
        Inputs::ConvTranspose2d { x, weight, bias, params } => {
            return conv_transpose2d(id, &x, &weight, bias.as_deref(), &params);
        }
        Inputs::MaxPool2d { x, params } => {
            let with_indices = MaxPool2dParams { return_indices: true, ..params.clone() };
            vec![Planned::new(id, MaxPool2d::new(&x, &params)?), Planned::new(id, MaxPool2d::new(&x, &with_indices)?)]
        }
        Inputs::AvgPool2d { x, params } => vec![Planned::new(id, AvgPool2d::new(&x, &params)?)],
        Inputs::BatchNorm { x, arguments, params } => {
            let arguments = BatchNormArguments {
                running_mean: arguments.running_mean.as_deref(),
                running_var: arguments.running_var.as_deref(),
                weight: arguments.weight.as_deref(),
                bias: arguments.bias.as_deref(),
            };
            vec![Planned::new(id, BatchNorm::new(&x, &arguments, &params)?)]
        }
        Inputs::CrossEntropy { logits, classes, params } => {
            let targets = [CrossEntropyTarget::Classes(&*classes), CrossEntropyTarget::Probabilities(&*logits)];
            let operators = targets.into_iter().map(|target| CrossEntropy::new(&logits, target, None, &params));
            operators.map(|operator| Ok(Planned::new(id, operator?))).collect::<Result<_>>()?
        }
        Inputs::Sigmoid { x } => vec![Planned::new(id, Sigmoid::new(&x)?)],
        Inputs::MseLoss { x, target, params } => vec![Planned::new(id, MseLoss::new(&x, &target, &params)?)],
        Inputs::RoiPool { x, boxes, params } => {
            let boxes = ArrayD::zeros(IxDyn(&boxes));
            vec![Planned::new(id, RoiPool::new(&x, &Boxes::Indexed(&boxes), &params)?)]
        }
    })
}

/// The operator, if its algorithm is for this kernel and these channels.
fn if_it_fits<T>(operator: Result<T>) -> Result<Option<T>> {
    match operator {
        Err(wgdnn::Error::InvalidArgument { argument: "algorithm", .. }) => Ok(None),
        other => other.map(Some),
    }
}

fn conv2d(
    id: &str,
    input: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
    params: &Conv2dParams,
) -> Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for &algorithm in Conv2dAlgorithm::ALL {
        let params = Conv2dParams { algorithm, ..params.clone() };
        if let Some(operator) = if_it_fits(Conv2d::new(input, weight, bias, &params))? {
            planned.push(Planned::by(id, algorithm, operator.clone()));
            planned.push(Planned::by(&format!("{id} packed"), algorithm, operator.with_packed_weight()));
        }
    }
    Ok(planned)
}

fn conv_transpose2d(
    id: &str,
    input: &[usize],
    weight: &[usize],
    bias: Option<&[usize]>,
    params: &ConvTranspose2dParams,
) -> Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for &algorithm in ConvTranspose2dAlgorithm::ALL {
        let params = ConvTranspose2dParams { algorithm, ..params.clone() };
        if let Some(operator) = if_it_fits(ConvTranspose2d::new(input, weight, bias, &params))? {
            planned.push(Planned::by(id, algorithm, operator));
        }
    }
    Ok(planned)
}

/// Calls that run the kernels which no workload runs: losses that are not reduced, shapes that are odd.
fn others() -> Result<Vec<Planned>> {
    let none = Reduction::None;
    let pool = MaxPool2dParams { dilation: [2, 2], ..MaxPool2dParams::new([2, 3]) };
    let with_indices = MaxPool2dParams { return_indices: true, ..pool.clone() };
    let losses = CrossEntropyParams { reduction: none, ..Default::default() };
    let (classes, rows) = (CrossEntropyTarget::Classes(&[3][..]), &[3, 5, 2][..]);
    let channels = Some(&[5][..]);
    let training = BatchNormParams { training: true, ..Default::default() };
    let running = BatchNormArguments { running_mean: channels, running_var: channels, ..Default::default() };
    let boxes = ArrayD::zeros(IxDyn(&[3, 5]));
    let mut planned = vec![
        Planned::new("max_pool2d", MaxPool2d::new(&[2, 3, 9, 11], &pool)?),
        Planned::new("max_pool2d", MaxPool2d::new(&[2, 3, 9, 11], &with_indices)?),
        Planned::new("avg_pool2d", AvgPool2d::new(&[2, 3, 9, 11], &AvgPool2dParams::new([3, 2]))?),
        Planned::new("sigmoid", Sigmoid::new(&[7])?),
        Planned::new("mse_loss", MseLoss::new(&[3, 1], &[5], &MseLossParams { reduction: none })?),
        Planned::new("mse_loss", MseLoss::new(&[3, 1], &[5], &MseLossParams::default())?),
        Planned::new("cross_entropy", CrossEntropy::new(&[3, 5], classes, channels, &losses)?),
        Planned::new("cross_entropy", CrossEntropy::new(rows, CrossEntropyTarget::Probabilities(rows), None, &losses)?),
        Planned::new("roi_pool", RoiPool::new(&[1, 3, 8, 8], &Boxes::Indexed(&boxes), &RoiPoolParams::new([2, 2]))?),
    ];
    // Without planes, and with planes that are not in blocks.
    for shape in [&[9, 5][..], &[2, 5, 33, 33]] {
        for params in [training, BatchNormParams::default()] {
            planned.push(Planned::new("batch_norm", BatchNorm::new(shape, &running, &params)?));
        }
    }
    // A kernel smaller than its stride.
    let sparse = ConvTranspose2dParams { stride: [2, 3], ..Default::default() };
    planned.extend(conv_transpose2d("conv_transpose2d", &[1, 3, 8, 8], &[3, 5, 1, 1], None, &sparse)?);
    Ok(planned)
}
