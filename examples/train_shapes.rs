//! Learns to find the pixels of shapes, in pictures that it draws: a U-Net of two levels.
//!
//! ```sh
//! cargo run --release --features cli --example train_shapes
//! ```

#[path = "training/axis.rs"]
mod axis;
#[path = "training/canvas.rs"]
mod canvas;
#[path = "training/picture.rs"]
#[allow(dead_code)]
mod picture;
#[path = "training/progress.rs"]
mod progress;
#[path = "training/shapes.rs"]
mod shapes;
#[path = "training/mod.rs"]
#[allow(dead_code)]
mod training;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use picture::Point;
use progress::{cosine, expect_finite, is_read, is_tested};
use shapes::{SIZE, Shapes, draw, intersection_over_union};
use training::net::{Net, Result};
use training::trainer::{Optimizer, Trainer};
use training::{layers, nets};
use wgdnn::{AdamParams, Gpu};

/// Learns to find the pixels of shapes
#[derive(Parser)]
struct Options {
    /// What the first weights and the pictures are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// The first learning rate, which falls to 0 along a cosine
    #[arg(long, default_value_t = 0.01, value_parser = progress::learning_rate)]
    lr: f32,
    /// Call operators eagerly, rather than record each step into one pass
    #[arg(long)]
    eager: bool,
    /// Where loss.png and shapes.png go
    #[arg(long, default_value = "target/shapes", value_name = "FOLDER")]
    output: PathBuf,
    /// Print one line of JSON at the end
    #[arg(long)]
    json: bool,
}

const BATCH: usize = 16;
/// How many pictures are held out.
const HELD_OUT: usize = 64;
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
    let gpu = Gpu::new_blocking()?;
    std::fs::create_dir_all(&options.output).map_err(|error| format!("{}: {error}", options.output.display()))?;
    let optimizer = Optimizer::Adam(AdamParams::adamw());
    let write = |net: &mut Net| {
        let [image, logits] = nets::unet(net, BATCH, SIZE)?;
        let mask = net.input(&[BATCH, 1, SIZE, SIZE]);
        let loss = layers::binary_cross_entropy_with_logits(net, logits, mask)?;
        Ok((loss, [image, mask, loss]))
    };
    let (trainer, [image, mask, loss]) = Trainer::new(&gpu, optimizer, options.seed, !options.eager, write)?;
    let mut net = Net::new(&gpu, false);
    let of = nets::unet(&mut net, HELD_OUT, SIZE)?;
    // Each step has an even seed.
    let pictures = options.seed.rotate_left(32);
    let held_out = draw(HELD_OUT, pictures | 1);
    let logits = || trainer.evaluate(&net, of[0], &held_out.images, of[1]);

    let steps = options.steps as usize;
    let bar = progress::bar(steps)?;
    let (mut points, start) = (Vec::new(), Instant::now());
    for step in 0..steps {
        let Shapes { images, masks } = draw(BATCH, pictures.wrapping_add(2 * step as u64 + 2));
        trainer.set_lr(cosine(options.lr, step, steps))?;
        trainer.write(image, &images)?;
        trainer.write(mask, &masks)?;
        let [of_step] = trainer.step([loss])?;
        bar.set_position(step as u64 + 1);
        if is_read(step, steps) {
            let loss = of_step.read_vec_blocking()?[0];
            expect_finite("the loss", &[loss], step)?;
            let found = if is_tested(step, steps) {
                let logits = logits()?;
                // The loss is from before a step: what the step made shows here.
                expect_finite("what the network returns", &logits, step)?;
                Some(intersection_over_union(&logits, &held_out.masks))
            } else {
                None
            };
            bar.set_message(format!("loss {loss:.4}"));
            points.push(Point { step: step + 1, loss, accuracy: found });
        }
    }
    bar.abandon();
    let seconds = start.elapsed().as_secs_f64();
    let logits = logits()?;
    let found = intersection_over_union(&logits, &held_out.masks);
    let predictions: Vec<f32> = logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect();
    let pixels = |array: &'_ [f32]| array.chunks(SIZE * SIZE).take(8).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let columns = [&held_out.images, &held_out.masks, &predictions].map(|array| pixels(array));
    let rows: Vec<Vec<&[f32]>> = (0..8).map(|row| columns.iter().map(|column| &column[row][..]).collect()).collect();
    picture::loss_curve(&options.output.join("loss.png"), "Finding shapes", "intersection over union", &points)?;
    let headers = ["input", "truth", "prediction"];
    picture::rows(&options.output.join("shapes.png"), [SIZE, SIZE], &headers, &rows)?;
    if options.json {
        println!("{}", serde_json::json!({"seed": options.seed, "steps": steps, "iou": found, "seconds": seconds}));
    } else {
        println!("intersection over union {found:.4} on {HELD_OUT} pictures held out, after {seconds:.1} s");
        println!("{}", options.output.display());
    }
    Ok(())
}
