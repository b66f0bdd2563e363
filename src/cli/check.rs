//! `wgdnn check FOLDER`: runs conformance cases on a device and compares the results with the expected ones.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::ValueEnum;
use comfy_table::CellAlignment;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use wgdnn::cases::{self, Case, Verdict, read_arrays, read_cases};
use wgdnn::{Gpu, GpuOptions, Tensor, wgpu};

use super::escape::escaped;
use super::files;
use super::table::table;

/// How large the files of a folder may be.
const MOST_CASES: u64 = 256 << 20;
const MOST_TENSORS: u64 = 4 << 30;

/// What the check takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder with cases.jsonl, of at most 256 MiB, and tensors.safetensors, of at most 4 GiB
    folder: PathBuf,
    /// Where the operators run; by default on a GPU if there is one
    #[arg(long, value_enum)]
    device: Option<super::Device>,
    /// Take the adapter whose name, backend or driver contains this
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Take no optional feature of the adapter
    #[arg(long)]
    portable: bool,
    /// The limits to stay within
    #[arg(long, value_enum, default_value = "adapter")]
    limits: Limits,
    /// Only cases of this operator
    #[arg(long)]
    op: Option<String>,
    /// Only cases whose id contains this
    #[arg(long, value_name = "SUBSTRING")]
    id: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which limits a device is asked for.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Limits {
    /// All that the adapter has
    Adapter,
    /// WebGPU's defaults
    Default,
    /// wgpu's defaults for adapters below WebGPU
    Downlevel,
}

#[derive(Debug, Default, Clone, Copy, Serialize)]
struct Count {
    passed: usize,
    failed: usize,
    unsupported: usize,
}

#[derive(Serialize)]
struct Problem<'a> {
    id: &'a str,
    op: &'a str,
    verdict: &'static str,
    reason: String,
}

/// Runs the check: exit status 0 if all cases passed, 1 if not.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<ExitCode, Box<dyn Error>> {
    let cases = read_folder(&arguments.folder)?;
    let is_wanted = |case: &&Case| {
        arguments.op.as_ref().is_none_or(|op| case.op == *op)
            && arguments.id.as_ref().is_none_or(|id| case.id.contains(id.as_str()))
    };
    let cases: Vec<&Case> = cases.iter().filter(is_wanted).collect();
    if cases.is_empty() {
        return Err("no case fits".into());
    }
    let limits = match arguments.limits {
        Limits::Adapter => None,
        Limits::Default => Some(wgpu::Limits::defaults()),
        Limits::Downlevel => Some(wgpu::Limits::downlevel_defaults()),
    };
    let mut options = GpuOptions::default().portable(arguments.portable);
    options.adapter.clone_from(&arguments.adapter);
    options.limits = limits;
    let (gpu, device) = super::device(arguments.device, &options)?;

    let progress = progress_bar(cases.len(), arguments.json);
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut problems = Vec::new();
    for case in cases {
        let verdict = judge(case, gpu.as_ref());
        let count = counts.entry(&case.op).or_default();
        let (verdict, reason) = match verdict {
            Verdict::Passed => {
                count.passed += 1;
                progress.inc(1);
                continue;
            }
            Verdict::Failed(reason) => {
                count.failed += 1;
                ("failed", reason)
            }
            Verdict::Unsupported(reason) => {
                count.unsupported += 1;
                ("unsupported", reason)
            }
        };
        progress.inc(1);
        problems.push(Problem { id: &case.id, op: &case.op, verdict, reason });
    }
    progress.finish_and_clear();

    let total = counts.values().fold(Count::default(), |total, count| Count {
        passed: total.passed + count.passed,
        failed: total.failed + count.failed,
        unsupported: total.unsupported + count.unsupported,
    });
    if arguments.json {
        let json = serde_json::json!({
            "device": device, "problems": problems, "by_operator": counts,
            "passed": total.passed, "failed": total.failed, "unsupported": total.unsupported,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
    } else {
        device.print(out)?;
        for problem in &problems {
            writeln!(out, "{} {}: {}", problem.verdict, escaped(problem.id), escaped(&problem.reason))?;
        }
        print_counts(&counts, out)?;
        writeln!(out, "{} passed, {} failed, {} unsupported", total.passed, total.failed, total.unsupported)?;
    }
    let is_good = total.failed == 0 && total.unsupported == 0;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) fn read_folder(folder: &Path) -> Result<Vec<Case>, Box<dyn Error>> {
    let (cases, tensors) = (folder.join("cases.jsonl"), folder.join("tensors.safetensors"));
    let jsonl = files::read_text(&cases, MOST_CASES)?;
    let arrays = read_arrays(&files::read(&tensors, MOST_TENSORS)?).map_err(|error| files::wrong(&tensors, &error))?;
    Ok(read_cases(&jsonl, &arrays).map_err(|error| files::wrong(&cases, &error))?)
}

/// Runs a case. Nothing in here should panic; if something does, only this case fails.
fn judge(case: &Case, gpu: Option<&Gpu>) -> Verdict {
    catch_unwind(AssertUnwindSafe(|| judge_unguarded(case, gpu))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
        Verdict::Failed(format!("panicked: {text}"))
    })
}

fn judge_unguarded(case: &Case, gpu: Option<&Gpu>) -> Verdict {
    let verdict = cases::judge(case, |call| match gpu {
        Some(gpu) => call.run_eager(gpu),
        None => call.run_reference(),
    });
    match (verdict, gpu) {
        (Verdict::Passed, Some(gpu)) if case.is_error => match still_works(gpu) {
            Ok(()) => Verdict::Passed,
            Err(reason) => Verdict::Failed(format!("refused, but after that {reason}")),
        },
        (verdict, _) => verdict,
    }
}

/// Whether the device still gives right results.
fn still_works(gpu: &Gpu) -> Result<(), String> {
    let zero = Tensor::from_slice(gpu, &[0.0], &[1]).and_then(|zero| wgdnn::sigmoid(&zero));
    match zero.and_then(|half| half.read_blocking()) {
        Ok(half) if half.first() == Some(&0.5) => Ok(()),
        Ok(half) => Err(format!("the device gives sigmoid(0) = {half}")),
        Err(error) => Err(format!("the device fails: {error}")),
    }
}

fn progress_bar(cases: usize, is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} cases, {eta} left");
    ProgressBar::new(cases as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn print_counts(counts: &BTreeMap<&str, Count>, out: &mut dyn Write) -> std::io::Result<()> {
    let mut table = table(["operator", "passed", "failed", "unsupported"].map(str::to_owned).to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (op, count) in counts {
        table.add_row([escaped(op), count.passed.to_string(), count.failed.to_string(), count.unsupported.to_string()]);
    }
    writeln!(out, "{table}")
}
