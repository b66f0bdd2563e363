//! Runs a network on the weights and the input of a safetensors file, and compares what it computes with the file's output.
//!
//! `cargo run --release --features cli --example networks -- resnet18 resnet18.safetensors --recorded`
//!
//! A pass is the upload of the input, all layers, and the read-back of the output. The first compiles most kernels; what comes
//! before it is not in its time: reading the file, planning, and uploading and packing weights. Memory is that of the device;
//! on the CPU it is worked out from the shapes of weights and values, without what the references need besides.

mod dcgan;
mod layers;
mod mobilenet_v2;
mod network;
mod pnet;
mod resnet18;
mod state;
mod unet;
mod vgg11_bn;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use network::{Frames, Network};
use state::{Result, State};
use wgdnn::{Gpu, Tensor};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Net {
    Resnet18,
    #[value(name = "mobilenet_v2")]
    MobilenetV2,
    #[value(name = "vgg11_bn")]
    Vgg11Bn,
    Unet,
    Dcgan,
    Pnet,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Device {
    Gpu,
    Cpu,
}

/// Runs a network on the weights and the input of a safetensors file, and compares what it computes with the file's output.
#[derive(Parser)]
#[command(name = "networks")]
struct Options {
    net: Net,
    /// The module's state_dict under PyTorch's names, with `input` and `output` beside it
    file: PathBuf,
    #[arg(long, value_enum, default_value = "gpu")]
    device: Device,
    /// Records all of it into one compute pass, on buffers of the program's own
    #[arg(long)]
    recorded: bool,
    /// Prints how long each layer of an eager pass takes by the GPU's clock
    #[arg(long, conflicts_with_all = ["json", "recorded"])]
    profile: bool,
    /// Prints one line of JSON
    #[arg(long)]
    json: bool,
    /// How long to repeat the pass
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    seconds: f64,
}

/// The times of a pass.
struct Times {
    output: Vec<f32>,
    first: Duration,
    median: Duration,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    let mut out = std::io::stdout();
    let file = &options.file;
    let mut state = State::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (input, expected) = (state.take_any("input")?, state.take_any("output")?);
    let gpu = match options.device {
        Device::Gpu => Some(Gpu::new_blocking()?),
        Device::Cpu if options.recorded || options.profile => {
            return Err("--recorded and --profile take --device gpu".into());
        }
        Device::Cpu => None,
    };
    if input.ndim() != 4 {
        return Err(format!("input has the shape {:?}, expected 4 dimensions", input.shape()).into());
    }
    let classes = *expected.shape().get(1).ok_or("output has fewer than 2 dimensions")?;
    let write = |net: &mut Network, input| match options.net {
        Net::Resnet18 => resnet18::resnet18(net, input, classes),
        Net::MobilenetV2 => mobilenet_v2::mobilenet_v2(net, input, 1.0, classes),
        Net::Vgg11Bn => vgg11_bn::vgg11_bn(net, input, 64, classes),
        Net::Unet => unet::unet(net, input, 32),
        Net::Dcgan => dcgan::dcgan(net, input, 64),
        Net::Pnet => pnet::pnet(net, input),
    };
    // A tensor may be right, and the input or the output not.
    let [of_input, of_output] = [input.shape(), expected.shape()];
    let of_these =
        |error| format!("{}, with an input {of_input:?} and an output {of_output:?}: {error}", file.display());
    let net = Network::new(gpu.as_ref(), state, of_input, write).map_err(of_these)?;
    let shape = &net.shapes[net.output];
    if shape != expected.shape() {
        let [actual, expected] = [shape, expected.shape()];
        return Err(format!("output has the shape {expected:?}, but the network's is {actual:?}").into());
    }

    let input_data = input.as_standard_layout().iter().copied().collect::<Vec<_>>();
    let dispatches = gpu.as_ref().map_or(Ok(0), |gpu| {
        net.layers.iter().map(|layer| layer.operator.dispatch_count_on(gpu.capabilities())).sum()
    })?;
    let seconds = options.seconds;
    let (times, own_bytes) = match &gpu {
        None => {
            let bytes = bytes_on_cpu(&net);
            (time(seconds, || Ok(net.on_cpu(input.clone())?.into_iter().collect()))?, bytes)
        }
        Some(_) if options.recorded => {
            let frames = Frames::new(net)?;
            (time(seconds, || frames.run(&input_data))?, frames.memory().sum())
        }
        Some(gpu) => {
            let pass = || {
                let input = Tensor::from_slice(gpu, &input_data, input.shape())?;
                Ok(net.on_gpu(input)?.read_vec_blocking()?)
            };
            let times = time(seconds, pass)?;
            if options.profile {
                for timing in gpu.profile(pass)?.1 {
                    writeln!(
                        out,
                        "{:8.3} ms  {} {:?}",
                        timing.time.as_secs_f64() * 1e3,
                        timing.operator,
                        timing.shapes
                    )?;
                }
            }
            (times, 0)
        }
    };
    let of_gpu = gpu.as_ref().map_or(0, |gpu| gpu.memory().peak + gpu.memory().staging);
    let device = gpu.map_or_else(|| "CPU".to_owned(), |gpu| gpu.adapter_info().name);

    let differences = times.output.iter().zip(&expected).map(|(x, y)| (x - y).abs());
    let max_abs_err = differences.fold(0.0, |most: f32, x| if most.is_nan() || x <= most { most } else { x });
    let ref_max = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let [median_ms, first_ms] = [times.median, times.first].map(|time| time.as_secs_f64() * 1e3);
    let peak_bytes = of_gpu + own_bytes;
    let name = options.net.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    if options.json {
        let line = serde_json::json!({
            "net": name, "device": device, "max_abs_err": max_abs_err, "ref_max": ref_max, "median_ms": median_ms,
            "first_ms": first_ms, "dispatches": dispatches, "peak_bytes": peak_bytes,
        });
        writeln!(out, "{line}")?;
    } else {
        writeln!(out, "{name} on {device}")?;
        writeln!(out, "largest difference  {max_abs_err:.3e}, of outputs up to {ref_max:.3e}")?;
        writeln!(out, "a forward pass      {median_ms:.2} ms, the first {first_ms:.0} ms")?;
        writeln!(out, "dispatches          {dispatches}")?;
        writeln!(out, "peak memory         {:.1} MB", peak_bytes as f64 / 1e6)?;
    }
    // NaN and infinities are no small differences.
    let is_right = ref_max.is_finite() && max_abs_err <= 1e-4 * ref_max;
    if !is_right {
        eprintln!("error: the largest difference exceeds 1e-4 of the largest output");
    }
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The bytes of the weights, and of the values that are there at once.
fn bytes_on_cpu(net: &Network) -> u64 {
    let last = net.last_uses();
    let made: BTreeMap<_, _> = net.layers.iter().enumerate().map(|(at, layer)| (layer.output, at)).collect();
    // A weight is no layer's output, and always there.
    let is_there = |value: &usize, at| match made.get(value) {
        Some(made) => (*made..=last[*value]).contains(&at),
        None => *value > 0 || at <= last[0],
    };
    let bytes = |value: usize| 4 * net.shapes[value].iter().product::<usize>() as u64;
    let at_once = (0..net.layers.len()).map(|at| (0..last.len()).filter(|value| is_there(value, at)).map(bytes).sum());
    at_once.max().unwrap_or(0)
}

/// Times a pass: the first, and the median of as many as these seconds have room for, but at least 5.
fn time(seconds: f64, mut pass: impl FnMut() -> Result<Vec<f32>>) -> Result<Times> {
    let mut timed = || {
        let start = Instant::now();
        pass().map(|output| (output, start.elapsed()))
    };
    let (mut output, first) = timed()?;
    let (mut times, start) = (Vec::new(), Instant::now());
    while times.len() < 5 || (start.elapsed().as_secs_f64() < seconds && times.len() < 1000) {
        let time;
        (output, time) = timed()?;
        times.push(time);
    }
    times.sort_unstable();
    Ok(Times { output, first, median: times[times.len() / 2] })
}
