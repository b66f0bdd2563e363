//! The program's subcommands, and what they share.

pub mod adapters;
pub mod bench;
pub mod check;
mod escape;
mod files;
pub mod kernels;
pub mod report;
mod table;
mod tensor_text;

use std::error::Error;
use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;
use wgdnn::{Gpu, GpuOptions};

/// Where operators run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Device {
    /// By the CPU references
    Cpu,
    /// By shaders
    Gpu,
}

/// What the program reports about where it runs.
#[derive(Serialize)]
pub struct Description {
    kind: &'static str,
    adapter: Option<String>,
    backend: Option<String>,
    driver: Option<String>,
    note: Option<String>,
}

impl Description {
    /// Prints it, one fact a line.
    fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if let Some(note) = &self.note {
            writeln!(out, "{note}")?;
        }
        for (name, value) in [("Adapter", &self.adapter), ("Backend", &self.backend), ("Driver", &self.driver)] {
            if let Some(value) = value {
                writeln!(out, "{name:<8} {}", value.trim())?;
            }
        }
        Ok(())
    }
}

/// The device to run on; `None` is the CPU. By default a GPU if there is one.
fn device(wanted: Option<Device>, options: &GpuOptions) -> Result<(Option<Gpu>, Description), Box<dyn Error>> {
    let on_cpu = |note: String| {
        (None, Description { kind: "CPU", adapter: None, backend: None, driver: None, note: Some(note) })
    };
    if wanted == Some(Device::Cpu) {
        if options.adapter.is_some() {
            return Err("--adapter names a GPU, but --device is cpu".into());
        }
        return Ok(on_cpu("Run on the CPU, as asked; the GPU was left alone.".into()));
    }
    match Gpu::with_options_blocking(options) {
        Ok(gpu) => {
            let info = gpu.adapter_info();
            let description = Description {
                kind: "GPU",
                adapter: Some(format!("{} ({:?})", info.name, info.device_type)),
                backend: Some(info.backend.to_string()),
                driver: Some(format!("{} {}", info.driver, info.driver_info)),
                note: None,
            };
            Ok((Some(gpu), description))
        }
        Err(error) if wanted.is_none() && options.adapter.is_none() => Ok(on_cpu(format!("Run on the CPU: {error}."))),
        Err(error) => Err(error.into()),
    }
}
