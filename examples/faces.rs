//! Finds faces in a photo by MTCNN, and draws them: an image pyramid, three networks on the GPU, and between them the boxes
//! on the host.
//!
//! `cargo run --release --features cli --example faces -- PHOTO.png --weights FOLDER`, where FOLDER is what
//! examples/faces/export.py writes.

#[path = "faces/boxes.rs"]
mod boxes;
#[path = "faces/detector.rs"]
mod detector;
#[allow(dead_code)]
#[path = "networks/layers.rs"]
mod layers;
#[path = "faces/nets.rs"]
mod nets;
#[allow(dead_code)]
#[path = "networks/network.rs"]
mod network;
#[path = "faces/picture.rs"]
mod picture;
#[path = "networks/pnet.rs"]
mod pnet;
#[path = "networks/state.rs"]
mod state;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use detector::{Detector, Face};
use picture::Picture;
use state::Result;
use wgdnn::Gpu;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Device {
    Gpu,
    Cpu,
}

/// Finds faces in a photo, and draws them.
#[derive(Parser)]
#[command(name = "faces")]
struct Options {
    /// A PNG file
    photo: PathBuf,
    /// The folder with pnet.safetensors, rnet.safetensors and onet.safetensors
    #[arg(long, value_name = "FOLDER")]
    weights: PathBuf,
    /// Where the picture with boxes and points goes
    #[arg(long, default_value = "faces.png", value_name = "FILE")]
    output: PathBuf,
    #[arg(long, value_enum, default_value = "gpu")]
    device: Device,
    /// The side of the smallest faces to look for, in pixels: larger for photos of 10 megapixels and more
    #[arg(long, default_value_t = 20.0, value_name = "PIXELS")]
    min_face_size: f64,
    /// How often to look again, for the time that it takes
    #[arg(long, default_value_t = 0, value_name = "TIMES")]
    again: usize,
    /// Prints one line of JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut out = std::io::stdout();
    let mut picture = Picture::read(&options.photo).map_err(|error| format!("{}: {error}", options.photo.display()))?;
    let gpu = (options.device == Device::Gpu).then(Gpu::new_blocking).transpose()?;
    let device = gpu.as_ref().map_or_else(|| "CPU".to_owned(), |gpu| gpu.adapter_info().name);
    let size = [picture.cols, picture.rows];
    let start = Instant::now();
    // Of what a device can bind, the first image of the pyramid takes the most.
    let of_this_size = |error| {
        let help = "a larger --min-face-size takes less memory, and --device cpu has more";
        format!("a picture of {} by {} pixels: {error} ({help})", size[0], size[1])
    };
    let detector = Detector::new(gpu, &options.weights, size, options.min_face_size)?;
    let faces = detector.detect(&picture).map_err(of_this_size)?;
    let first_ms = start.elapsed().as_secs_f64() * 1e3;
    let mut times = Vec::new();
    for _ in 0..options.again {
        let start = Instant::now();
        detector.detect(&picture)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let median_ms = times.get(times.len() / 2);

    if options.json {
        let face = |Face { candidate, points }: &Face| serde_json::json!({ "box": candidate.corners, "probability": candidate.probability, "points": points });
        let faces: Vec<_> = faces.iter().map(face).collect();
        let line =
            serde_json::json!({ "device": device, "first_ms": first_ms, "median_ms": median_ms, "faces": faces });
        writeln!(out, "{line}")?;
    } else {
        let word = if faces.len() == 1 { "face" } else { "faces" };
        writeln!(out, "{} {word} on {device}, after {first_ms:.0} ms", faces.len())?;
        if let Some(median_ms) = median_ms {
            writeln!(out, "once more in {median_ms:.1} ms")?;
        }
        for Face { candidate, points } in &faces {
            writeln!(out, "{:.4?} with probability {:.8}", candidate.corners, candidate.probability)?;
            writeln!(out, "  points {points:.4?}")?;
        }
    }
    for Face { candidate, points } in &faces {
        picture.frame(candidate.corners.map(|x| x.round() as i64), 2, [64, 255, 64]);
        for [col, row] in points.map(|point| point.map(|x| x.round() as i64)) {
            picture.fill([col - 2, row - 2, col + 3, row + 3], [255, 64, 64]);
        }
    }
    picture.write(&options.output).map_err(|error| format!("{}: {error}", options.output.display()))?;
    if !options.json {
        writeln!(out, "{}", options.output.display())?;
    }
    Ok(())
}
