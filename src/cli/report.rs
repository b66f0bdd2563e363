//! `wgdnn report`: compares operators with PyTorch's results, as the report did that this crate grew from.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use comfy_table::{Cell, CellAlignment, Color};
use ndarray::ArrayD;
use serde::Serialize;
use wgdnn::GpuOptions;
use wgdnn::cases::{Call, Case, CaseArray, Difference, Outputs, difference, read_arrays, read_cases};

use super::table::table;
use super::tensor_text::pytorch_lines;

/// The report's golden data: inputs, PyTorch's float64 results and its float32 ones.
const CASES: &str = include_str!("../../tests/golden/report/cases.jsonl");
const TENSORS: &[u8] = include_bytes!("../../tests/golden/report/tensors.safetensors");

/// Two numbers that differ by less than this are equal to 4 decimals.
const FOUR_DECIMALS: f64 = 0.5e-4;

/// What the report takes.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Where the operators run; by default on a GPU if there is one
    #[arg(long, value_enum)]
    device: Option<super::Device>,
    /// Take the adapter whose name, backend or driver contains this
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Also print the corners of every result beside PyTorch's
    #[arg(long, conflicts_with = "json")]
    values: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Keep compiled pipelines in this folder, for later runs to start faster (Vulkan only)
    #[arg(long, value_name = "FOLDER")]
    pipeline_cache: Option<PathBuf>,
}

/// A row of the report.
struct Row {
    operator: &'static str,
    formula: &'static str,
    case: &'static str,
    algorithm: &'static str,
    /// The RMSE that the original report reached. It was exact on the worked example.
    original_rmse: f64,
}

const fn row(operator: &'static str, formula: &'static str, case: &'static str, original_rmse: f64) -> Row {
    Row { operator, formula, case, algorithm: "Auto", original_rmse }
}

const ROWS: [Row; 13] = [
    row("max_pool2d", "max x, 2x2, stride 1", "max_pool2d", 0.0),
    row("avg_pool2d", "sum x / 4, 2x2, stride 1", "avg_pool2d", 0.0),
    row("conv2d", "sum w x + b, 3x3", "conv2d_k3", 4.5e-7),
    row("conv2d", "5x5, stride 2, dilation 2", "conv2d_k5", 4.5e-7),
    row("conv_transpose2d", "sum w x + b, gathered", "conv_transpose2d", 3.3e-7),
    Row { algorithm: "ScatterAdd", ..row("conv_transpose2d", "y += w x, scatter-add", "conv_transpose2d", 3.3e-7) },
    row("flatten", "x, one dimension", "flatten", 0.0),
    row("sigmoid", "1 / (1 + exp(-x))", "sigmoid", 1.1e-7),
    row("roi_pool", "max x over 6x6 bins", "roi_pool", 0.0),
    row("batch_norm", "(x - mean)/sqrt(var+eps)", "batch_norm", 2.8e-6),
    row("cross_entropy", "mean -log softmax(x)[y]", "cross_entropy", 0.0),
    row("mse_loss", "mean (x - y)^2", "mse_loss", 2.3e-7),
    row("conv2d", "[0..8] 3x3 * [0..3] 2x2", "worked_example", 0.0),
];

/// A row's call and what PyTorch gives for it.
struct Experiment {
    call: Call,
    input_shape: Vec<usize>,
    /// PyTorch's result in float64, rounded to float32.
    pytorch: ArrayD<f32>,
    /// PyTorch's result in float32.
    pytorch_float32: ArrayD<f32>,
}

/// What came out of a row.
#[derive(Serialize)]
struct Outcome {
    operator: &'static str,
    formula: &'static str,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    /// Against PyTorch in float64.
    rmse_pytorch: f64,
    max_pytorch: f64,
    /// Against PyTorch in float32.
    rmse_pytorch_float32: f64,
    max_pytorch_float32: f64,
    /// PyTorch in float32 against PyTorch in float64.
    pytorch_float32_own_rmse: f64,
    /// The GPU against the CPU reference; absent when the CPU reference is what ran.
    rmse_reference: Option<f64>,
    max_reference: Option<f64>,
    original_rmse: f64,
    equal_to_4_decimals: bool,
    rmse_no_worse: bool,
    pass: bool,
}

/// Runs the report; exit status 1 if a row fails.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = GpuOptions::default();
    options.adapter.clone_from(&arguments.adapter);
    let (gpu, device) = super::device(arguments.device, &options)?;
    if let Some(folder) = &arguments.pipeline_cache {
        let gpu = gpu.as_ref().ok_or("--pipeline-cache is for a GPU")?;
        gpu.open_pipeline_cache(folder)?;
    }
    let arrays = read_arrays(TENSORS)?;
    let cases = read_cases(CASES, &arrays)?;

    let mut first_calls = Duration::ZERO;
    let mut outcomes = Vec::new();
    let mut results = Vec::new();
    for row in &ROWS {
        let id = format!("report/{}", row.case);
        let case = cases.iter().find(|case| case.id == id).ok_or("the report's data lacks a case")?;
        let experiment = experiment(row, case, arrays.get(&format!("{id}/output.float32")))?;
        let result = output(experiment.call.run_reference())?;
        let (result, reference) = match &gpu {
            None => (result, None),
            Some(gpu) => {
                let start = Instant::now();
                let on_gpu = output(experiment.call.run_eager(gpu))?;
                first_calls += start.elapsed();
                (on_gpu, Some(result))
            }
        };
        outcomes.push(judge(row, &experiment, &result, reference.as_ref()));
        results.push((experiment, result));
    }

    if let (Some(gpu), Some(_)) = (&gpu, &arguments.pipeline_cache) {
        gpu.save_pipeline_cache()?;
    }
    let first_calls = gpu.is_some().then_some(first_calls);
    let failed = outcomes.iter().filter(|outcome| !outcome.pass).count();
    if arguments.json {
        let passed = outcomes.len() - failed;
        let json = serde_json::json!({
            "device": device, "rows": outcomes, "passed": passed, "failed": failed,
            "first_calls_seconds": first_calls.map(|time| time.as_secs_f64()),
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
    } else {
        device.print(out)?;
        writeln!(out)?;
        print_table(&outcomes, gpu.is_some(), out)?;
        if let Some(time) = first_calls {
            writeln!(out, "First calls, which compile: {:.0} ms in all", time.as_secs_f64() * 1e3)?;
        }
        if arguments.values {
            for ((experiment, result), outcome) in results.iter().zip(&outcomes) {
                print_values(outcome, device.kind, result, &experiment.pytorch_float32, out)?;
            }
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn experiment(
    row: &Row,
    case: &Case,
    float32: Option<&std::sync::Arc<CaseArray>>,
) -> Result<Experiment, Box<dyn Error>> {
    let call = Call::of_case(case).map_err(|refusal| refusal.to_string())?;
    let call = call.by(row.algorithm).ok_or("an operator lacks an algorithm")?;
    let floats = |array: &CaseArray| match array {
        CaseArray::F32(array) => Ok(array.clone()),
        CaseArray::I64(_) => Err("the report's data has integers where it should have floats"),
    };
    Ok(Experiment {
        call,
        input_shape: case.inputs["input"][0].shape().to_vec(),
        pytorch: floats(&case.outputs["output"].array)?,
        pytorch_float32: floats(float32.ok_or("the report's data lacks an array")?)?,
    })
}

fn output<E: ToString>(outputs: Result<Outputs, E>) -> Result<ArrayD<f32>, String> {
    match outputs.map_err(|error| error.to_string())?.remove("output") {
        Some(CaseArray::F32(output)) => Ok(output),
        _ => Err("an operator gave no output".into()),
    }
}

fn judge(row: &Row, experiment: &Experiment, result: &ArrayD<f32>, reference: Option<&ArrayD<f32>>) -> Outcome {
    // Arrays of different shapes are infinitely far apart.
    let against = |expected: &ArrayD<f32>| {
        if result.shape() == expected.shape() {
            difference(result, expected)
        } else {
            Difference { largest: f64::INFINITY, rmse: f64::INFINITY, ..Default::default() }
        }
    };
    let pytorch = against(&experiment.pytorch);
    let pytorch_float32 = against(&experiment.pytorch_float32);
    let reference = reference.map(against);
    let equal_to_4_decimals = pytorch.largest < FOUR_DECIMALS && pytorch_float32.largest < FOUR_DECIMALS;
    let rmse_no_worse = pytorch.rmse <= row.original_rmse;
    Outcome {
        operator: row.operator,
        formula: row.formula,
        input_shape: experiment.input_shape.clone(),
        output_shape: result.shape().to_vec(),
        rmse_pytorch: pytorch.rmse,
        max_pytorch: pytorch.largest,
        rmse_pytorch_float32: pytorch_float32.rmse,
        max_pytorch_float32: pytorch_float32.largest,
        pytorch_float32_own_rmse: difference(&experiment.pytorch_float32, &experiment.pytorch).rmse,
        rmse_reference: reference.as_ref().map(|reference| reference.rmse),
        max_reference: reference.as_ref().map(|reference| reference.largest),
        original_rmse: row.original_rmse,
        equal_to_4_decimals,
        rmse_no_worse,
        pass: equal_to_4_decimals && rmse_no_worse,
    }
}

/// An error as the report has it: 0, or two digits and an exponent.
fn error(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}") }
}

/// A shape as 3x32x32; that of a scalar as "scalar".
fn shape(shape: &[usize]) -> String {
    match shape {
        [] => "scalar".into(),
        shape => shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}

fn print_table(outcomes: &[Outcome], on_gpu: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let mut header = vec!["\noperator\n formula", "\ninput\n-> output", "PyTorch\nRMSE\nmax", "in f32\nRMSE\nmax"];
    if on_gpu {
        header.push("CPU\nRMSE\nmax");
    }
    header.extend(["report\nRMSE", "\n"]);
    let last = header.len() - 1;
    let mut table = table(header.into_iter().map(str::to_owned).collect());
    for column in 2..last {
        let column = table.column_mut(column).expect("the header has these columns");
        column.set_cell_alignment(CellAlignment::Right);
    }
    for outcome in outcomes {
        let errors = |rmse: f64, max: f64| format!("{}\n{}", error(rmse), error(max));
        let mut cells = vec![
            format!("{}\n {}", outcome.operator, outcome.formula),
            format!("{}\n-> {}", shape(&outcome.input_shape), shape(&outcome.output_shape)),
            errors(outcome.rmse_pytorch, outcome.max_pytorch),
            errors(outcome.rmse_pytorch_float32, outcome.max_pytorch_float32),
        ];
        cells.extend(outcome.rmse_reference.zip(outcome.max_reference).map(|(rmse, max)| errors(rmse, max)));
        cells.push(error(outcome.original_rmse));
        let mut cells: Vec<Cell> = cells.into_iter().map(Cell::new).collect();
        let (verdict, color) = match (outcome.equal_to_4_decimals, outcome.rmse_no_worse) {
            (true, true) => ("pass", Color::Green),
            (true, false) => ("FAIL\nRMSE", Color::Red),
            (false, _) => ("FAIL\n4 decimals", Color::Red),
        };
        cells.push(Cell::new(verdict).fg(color));
        table.add_row(cells);
    }
    writeln!(out, "{table}")?;
    let ours = if on_gpu { "the GPU" } else { "the CPU reference" };
    writeln!(
        out,
        "How far {ours} is from PyTorch in float64, rounded to float32; from PyTorch\n\
         in float32, which has rounding errors of its own{}.\n\
         A row passes if it equals both of PyTorch's results to 4 decimals, and its RMSE\n\
         from the first is no more than that which the original report reached.",
        if on_gpu { ";\nand from the CPU reference" } else { "" }
    )?;
    let passed = outcomes.iter().filter(|outcome| outcome.pass).count();
    writeln!(out, "\n{passed} passed, {} failed", outcomes.len() - passed)
}

fn print_values(
    outcome: &Outcome,
    device: &str,
    ours: &ArrayD<f32>,
    pytorch: &ArrayD<f32>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let (ours, theirs) = (pytorch_lines(ours), pytorch_lines(pytorch));
    let width = ours.iter().map(String::len).max().unwrap_or(0).max(device.len());
    writeln!(out, "\n{}: {}", outcome.operator, outcome.formula)?;
    writeln!(out, "  {device:<width$}    PyTorch")?;
    for index in 0..ours.len().max(theirs.len()) {
        let line = |lines: &[String]| lines.get(index).cloned().unwrap_or_default();
        let text = format!("  {:<width$}    {}", line(&ours), line(&theirs));
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}
