//! The program `wgdnn`.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod cli;

use cli::{adapters, bench, check, kernels, report};

/// Neural-network operators as WGSL compute shaders on wgpu, with PyTorch's semantics.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Program {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    report: report::Arguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set the ten operators of the original report against PyTorch's results, on the GPU and on the CPU (the default)
    Report(report::Arguments),
    /// Run conformance cases: does this device give PyTorch's results?
    Check(check::Arguments),
    /// Measure how long operators take, beside what the adapter can do at most
    Bench(bench::Arguments),
    /// List the adapters, the one that is taken by default first
    Adapters,
    /// Write the kernels that operators run, to compile them elsewhere
    #[command(hide = true)]
    Kernels(kernels::Arguments),
}

fn main() -> ExitCode {
    let arguments = Program::parse();
    let mut out = anstream::stdout().lock();
    let result = match arguments.command {
        None => report::run(&arguments.report, &mut out),
        Some(Command::Report(arguments)) => report::run(&arguments, &mut out),
        Some(Command::Check(arguments)) => check::run(&arguments, &mut out),
        Some(Command::Bench(arguments)) => bench::run(&arguments, &mut out),
        Some(Command::Adapters) => adapters::run(&mut out),
        Some(Command::Kernels(arguments)) => kernels::run(&arguments, &mut out),
    };
    match result.and_then(|code| out.flush().map(|()| code).map_err(Into::into)) {
        Ok(code) => code,
        // A reader that stops early, such as `head`, is no failure.
        Err(error) if is_closed_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wgdnn: {error}");
            ExitCode::from(2)
        }
    }
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
