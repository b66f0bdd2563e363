//! Milliseconds of a step of training, and of each operator in it, for the networks of the examples.
//!
//! `cargo bench --features cli --bench training [-- NAME]` prints a line of JSON for each network and optimiser. A step is the
//! zeroing of gradients, forward, backward and the optimiser. Medians of 50 steps after 50 others: `step_ms` waits for the
//! device after each, `read_ms` reads the loss back, and `pipelined_ms` waits once for all.

#[path = "../examples/training/mod.rs"]
#[allow(dead_code)]
mod training;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use training::net::{Net, Result, Value};
use training::trainer::{Optimizer, Trainer};
use training::{layers, nets};
use wgdnn::wgpu::PollType;
use wgdnn::{AdamParams, Gpu, SgdParams};

const STEPS: usize = 50;

/// A network with its loss, for inputs of these sizes.
fn write(net: &mut Net, name: &str) -> Result<(Value, Vec<Value>)> {
    let (batch, size) = match name {
        "digits8" => (64, 8),
        "digits28" => (64, 28),
        _ => (16, 32),
    };
    if name == "unet" {
        let [image, logits] = nets::unet(net, batch, size)?;
        let mask = net.input(&[batch, 1, size, size]);
        return Ok((layers::binary_cross_entropy_with_logits(net, logits, mask)?, vec![image, mask]));
    }
    let of = nets::digits(net, batch, size)?;
    let target = net.integer_input(&[batch]);
    Ok((layers::cross_entropy(net, of.logits, target)?, vec![of.image, target]))
}

/// The median milliseconds of a call.
fn median_ms(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..STEPS {
        let start = Instant::now();
        call()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[STEPS / 2])
}

fn measure(gpu: &Gpu, name: &str, optimizer: Optimizer, recorded: bool) -> Result<serde_json::Value> {
    let known = |net: &mut Net| write(net, name).map(|(loss, inputs)| (loss, (loss, inputs)));
    let (trainer, (loss, inputs)) = Trainer::new(gpu, optimizer, 0, recorded, known)?;
    trainer.set_lr(0.001)?;
    let numbers = |count: usize| (0..count).map(|at| (at * 7919 % 1009) as f32 / 1009.0).collect::<Vec<_>>();
    let count = |value: Value| trainer.net.shape(value).iter().product::<usize>();
    let step = || {
        trainer.write(inputs[0], &numbers(count(inputs[0])))?;
        match name {
            "unet" => trainer.write(inputs[1], &numbers(count(inputs[1])))?,
            _ => trainer.write_integers(inputs[1], &(0..64).map(|at| at % 10).collect::<Vec<_>>())?,
        }
        trainer.step([loss])
    };
    let wait = || -> Result<()> {
        gpu.submit()?;
        gpu.device().poll(PollType::wait_indefinitely())?;
        Ok(())
    };
    let first = step()?[0].read_vec_blocking()?[0];
    for _ in 1..STEPS {
        step()?;
    }
    let last = step()?[0].read_vec_blocking()?[0];
    let step_ms = median_ms(|| {
        step()?;
        wait()
    })?;
    let read_ms = median_ms(|| step().and_then(|[loss]| Ok(loss.read_vec_blocking().map(drop)?)))?;
    let start = Instant::now();
    for _ in 0..STEPS {
        step()?;
    }
    wait()?;
    let pipelined_ms = start.elapsed().as_secs_f64() * 1e3 / STEPS as f64;
    // By operator, where each eager call is a pass of its own.
    let mut by_operator = BTreeMap::<_, Vec<f64>>::new();
    if !recorded {
        for _ in 0..9 {
            let mut sums = BTreeMap::<_, f64>::new();
            let (result, timings) = gpu.profile(step)?;
            result?;
            timings
                .iter()
                .for_each(|timing| *sums.entry(timing.operator).or_default() += timing.time.as_secs_f64() * 1e3);
            sums.into_iter().for_each(|(operator, ms)| by_operator.entry(operator).or_default().push(ms));
        }
    }
    let medians = by_operator.into_iter().map(|(operator, mut times)| {
        times.sort_by(f64::total_cmp);
        (operator.to_owned(), json!((times[times.len() / 2] * 1e3).round() / 1e3))
    });
    let dispatches: usize = {
        let each = trainer.net.steps.iter().map(|step| step.operator().dispatch_count_on(gpu.capabilities()));
        each.sum::<wgdnn::Result<usize>>()?
    };
    Ok(json!({
        "net": name, "optimizer": optimizer.states().join(" "), "recorded": recorded, "step_ms": step_ms, "read_ms": read_ms,
        "pipelined_ms": pipelined_ms, "dispatches": dispatches, "calls": trainer.net.steps.len(), "loss": [first, last],
        "ms_by_operator": medians.collect::<serde_json::Map<_, _>>(), "adapter": gpu.adapter_info().name,
    }))
}

fn main() -> Result<()> {
    let chosen = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let gpu = Gpu::new_blocking()?;
    let sgd = Optimizer::Sgd(SgdParams { momentum: 0.9, ..Default::default() });
    let adam = Optimizer::Adam(AdamParams::default());
    for (name, optimizer) in
        [("digits8", sgd), ("digits8", adam), ("digits28", sgd), ("digits28", adam), ("unet", adam)]
    {
        if chosen.as_ref().is_none_or(|chosen| name == chosen) {
            for recorded in [true, false] {
                println!("{}", measure(&gpu, name, optimizer, recorded)?);
            }
        }
    }
    Ok(())
}
