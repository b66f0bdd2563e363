//! `wgdnn bench`: how long operators take, and how near that is to the adapter's limits.

mod ceilings;
mod measure;
mod plot;
mod subject;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::CellAlignment;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use wgdnn::cases::{Refusal, workload::Workload};
use wgdnn::{Gpu, GpuOptions};

use self::ceilings::Ceilings;
use self::measure::{Protocol, median, time};
use self::subject::Subject;
use super::escape::escaped;
use super::files::{self, Output};
use super::table::table;

/// The workloads that are run when no file is named.
const WORKLOADS: &str = include_str!("../../../benches/workloads.json");

/// How large a file of workloads may be.
const MOST_BYTES: u64 = 256 << 20;

/// How many calls are looked at with timestamps.
const PROFILED_CALLS: usize = 5;

/// What the benchmark takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Files of workloads, of at most 256 MiB; without any, those of benches/workloads.json
    #[arg(long, value_name = "FILE", num_args = 1..)]
    workloads: Vec<PathBuf>,
    /// Only workloads whose name contains one of these, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Compute by this algorithm; operators that have no such algorithm are left out
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,
    /// Take the adapter whose name, backend or driver contains this
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// The least length of a batch of calls, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 0.3)]
    batch: f64,
    /// How many batches are measured
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    samples: usize,
    /// Print JSON, a line for each workload
    #[arg(long)]
    json: bool,
    /// The name to go by in JSON
    #[arg(long, value_name = "NAME", default_value = "wgdnn")]
    peer: String,
    /// Also draw the roofline, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// The measurements of a workload. Times are absent if it is not supported or failed.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    peer: String,
    workload: String,
    /// Wall time a call: median and least of the batches.
    median_ms: Option<f64>,
    min_ms: Option<f64>,
    /// By the device's own clock.
    gpu_ms: Option<f64>,
    /// The first call on a new device, which compiles.
    first_ms: Option<f64>,
    max_abs_err: Option<f64>,
    ref_max: Option<f64>,
    gflops: Option<f64>,
    gbs: Option<f64>,
    /// The least time that the adapter's ceilings allow, over the time it took.
    roofline: Option<f64>,
    /// What ran.
    plan: String,
    note: String,
    #[serde(skip)]
    flops: f64,
    #[serde(skip)]
    bytes: f64,
    #[serde(skip)]
    operator: String,
}

/// Runs the benchmark; exit status 1 if a workload failed or is wrong.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Box<dyn Error>> {
    if !(arguments.batch.is_finite() && arguments.batch > 0.0) {
        return Err("--batch must be more than 0 seconds".into());
    }
    if arguments.samples == 0 {
        return Err("--samples must be at least 1".into());
    }
    if let Some(name) = &arguments.algorithm {
        let algorithms = Subject::algorithms(&read_workloads(&arguments.workloads)?);
        if !Subject::is_one_of(name, &algorithms) {
            return Err(format!("--algorithm {name}: expected one of {}", algorithms.join(", ")).into());
        }
    }
    let workloads = workloads(arguments)?;
    // Before the minutes of measuring.
    let plot = arguments.plot.as_deref().map(Output::new).transpose()?;
    let mut options = GpuOptions::default();
    options.adapter.clone_from(&arguments.adapter);
    let (gpu, device) = super::device(Some(super::Device::Gpu), &options)?;
    let gpu = gpu.ok_or("the benchmark needs a GPU")?;
    let protocol = Protocol { batch: Duration::from_secs_f64(arguments.batch), samples: arguments.samples };

    let progress = progress_bar(workloads.len(), arguments.json);
    progress.set_message("ceilings");
    let ceilings = ceilings::measure(&gpu, &protocol)?;
    let mut records = Vec::new();
    for workload in &workloads {
        progress.set_message(escaped(&workload.id));
        let mut record = Record {
            peer: arguments.peer.clone(),
            workload: workload.id.clone(),
            operator: workload.op.clone(),
            flops: workload.flops,
            bytes: workload.min_bytes,
            ..Record::default()
        };
        match Subject::new(workload, arguments.algorithm.as_deref()) {
            Err(Refusal::Unsupported(reason)) => record.note = format!("unsupported: {reason}"),
            Err(Refusal::BadInput(reason) | Refusal::BadCase(reason)) => record.note = format!("failed: {reason}"),
            Ok(subject) => {
                if let Err(error) = measure_subject(&subject, &options, &protocol, &ceilings, &mut record) {
                    record.note = format!("failed: {error}");
                }
            }
        }
        if arguments.json {
            writeln!(out, "{}", serde_json::to_string(&record)?)?;
            out.flush()?;
        }
        records.push(record);
        progress.inc(1);
    }
    progress.finish_and_clear();
    if !arguments.json {
        device.print(out)?;
        print_table(&records, &ceilings, out)?;
    }
    if let Some(plot) = plot {
        plot.write(plot::draw(&records, &ceilings, &gpu.adapter_info().name)?.as_bytes())?;
    }
    let is_wrong = |record: &Record| {
        let limit = 1e-3 * record.ref_max.unwrap_or(1.0).max(1e-30);
        record.max_abs_err.is_some_and(|error| error > limit) || record.note.starts_with("failed")
    };
    Ok(if records.iter().any(is_wrong) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn workloads(arguments: &Arguments) -> Result<Vec<Workload>, Box<dyn Error>> {
    let mut workloads = read_workloads(&arguments.workloads)?;
    if !arguments.only.is_empty() {
        workloads.retain(|workload| arguments.only.iter().any(|name| workload.id.contains(name.as_str())));
    }
    if workloads.is_empty() {
        return Err("no workload fits".into());
    }
    Ok(workloads)
}

/// The workloads of these files, or without any those that are built in.
pub(super) fn read_workloads(files: &[PathBuf]) -> Result<Vec<Workload>, Box<dyn Error>> {
    if files.is_empty() {
        return Ok(serde_json::from_str(WORKLOADS)?);
    }
    let mut workloads = Vec::new();
    for path in files {
        let text = files::read_text(path, MOST_BYTES)?;
        let read: Vec<Workload> = serde_json::from_str(&text).map_err(|error| files::wrong(path, &error))?;
        workloads.extend(read);
    }
    Ok(workloads)
}

fn measure_subject(
    subject: &Subject,
    options: &GpuOptions,
    protocol: &Protocol,
    ceilings: &Ceilings,
    record: &mut Record,
) -> Result<(), Box<dyn Error>> {
    // A new device, on which nothing is compiled.
    let gpu = Gpu::with_options_blocking(options)?;
    record.plan = subject.plan(&gpu);
    let call = subject.upload(&gpu)?;
    measure::finish(&gpu)?;
    let first = time(&gpu, || call().map(drop))?;
    let times = protocol.measure(&gpu, &|calls| (0..calls).try_for_each(|_| call().map(drop)))?;
    let milliseconds = |seconds: f64| Some(seconds * 1e3);
    record.first_ms = milliseconds(first.as_secs_f64());
    record.median_ms = milliseconds(times.median);
    record.min_ms = milliseconds(times.min);
    if let Ok((result, timings)) = gpu.profile(|| (0..PROFILED_CALLS).try_for_each(|_| call().map(drop))) {
        result?;
        let of_each = timings.chunks((timings.len() / PROFILED_CALLS).max(1));
        let mut seconds: Vec<f64> = of_each.map(|each| each.iter().map(|one| one.time.as_secs_f64()).sum()).collect();
        seconds.sort_by(f64::total_cmp);
        record.gpu_ms = (!seconds.is_empty()).then(|| median(&seconds) * 1e3);
    }
    let rate = |work: f64| (work > 0.0).then_some(work / times.median / 1e9);
    (record.gflops, record.gbs) = (rate(record.flops), rate(record.bytes));
    record.roofline = Some(ceilings.seconds(record.flops, record.bytes) / times.median);

    let check = subject.check(&call()?)?;
    (record.max_abs_err, record.ref_max) = (Some(check.max_abs_err), Some(check.ref_max));
    if check.max_abs_err.is_infinite() {
        // JSON has no infinity.
        record.note = "NON-FINITE: wrong by an infinity or a NaN".into();
    }
    Ok(())
}

fn progress_bar(workloads: usize, is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
    ProgressBar::new(workloads as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A number with three significant digits.
fn short(number: Option<f64>) -> String {
    match number {
        None => "-".into(),
        Some(0.0) => "0".into(),
        Some(number) => {
            let digits = (2 - number.abs().log10().floor() as i32).clamp(0, 5) as usize;
            format!("{number:.digits$}")
        }
    }
}

fn print_table(records: &[Record], ceilings: &Ceilings, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    writeln!(
        out,
        "Ceilings {:.1} GB/s copied, {:.1} GFLOP/s multiplied and added\n",
        ceilings.bytes_per_second / 1e9,
        ceilings.flops_per_second / 1e9
    )?;
    let header = ["workload", "ms", "least", "GPU", "first", "GFLOP/s", "GB/s", "roofline", "error"];
    let mut table = table(header.map(str::to_owned).to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for record in records {
        let percent = record.roofline.map_or("-".into(), |share| format!("{:.0} %", share * 100.0));
        let error = record.max_abs_err.map_or("-".into(), |error| format!("{error:.1e}"));
        table.add_row([
            escaped(&record.workload),
            short(record.median_ms),
            short(record.min_ms),
            short(record.gpu_ms),
            short(record.first_ms),
            short(record.gflops),
            short(record.gbs),
            percent,
            error,
        ]);
    }
    writeln!(out, "{table}")?;
    for record in records.iter().filter(|record| !record.plan.is_empty()) {
        writeln!(out, "{}: {}", escaped(&record.workload), record.plan)?;
    }
    for record in records.iter().filter(|record| record.median_ms.is_none()) {
        writeln!(out, "{}: {}", escaped(&record.workload), escaped(&record.note))?;
    }
    Ok(())
}
