//! The protocol: a first call, warm-up, then batches of calls with one wait each.

use std::time::{Duration, Instant};

use wgdnn::{Gpu, Result, wgpu};

/// A workload that takes longer than this to sample stops at 3 samples.
const BUDGET: Duration = Duration::from_secs(30);

/// The most calls of a batch.
const MOST_CALLS: usize = 100_000;

#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// The least length of a batch.
    pub batch: Duration,
    /// How many batches there are.
    pub samples: usize,
}

/// Seconds a call.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub median: f64,
    pub min: f64,
}

/// Submits what is pending, and waits until the device has done all of it.
pub fn finish(gpu: &Gpu) -> Result<()> {
    gpu.submit()?;
    // A failure shows in the output that is read afterwards.
    let _ = gpu.device().poll(wgpu::PollType::wait_indefinitely());
    Ok(())
}

/// Runs `work` and waits for the device.
pub fn time(gpu: &Gpu, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let start = Instant::now();
    work()?;
    finish(gpu)?;
    Ok(start.elapsed())
}

impl Protocol {
    /// Measures `calls(n)`, which makes n calls and waits for none.
    pub fn measure(&self, gpu: &Gpu, calls: &dyn Fn(usize) -> Result<()>) -> Result<Times> {
        let once = time(gpu, || calls(1))?;
        let mut count = 1;
        // Warm-up and calibration in one.
        loop {
            let taken = time(gpu, || calls(count))?;
            if taken >= self.batch || once > self.batch || count >= MOST_CALLS {
                break;
            }
            let enough = (count as f64 * 1.15 * self.batch.as_secs_f64() / taken.as_secs_f64().max(1e-6)) as usize + 1;
            count = enough.max(count * 2).min(count * 50).min(MOST_CALLS);
        }
        let start = Instant::now();
        let mut samples = Vec::new();
        while samples.len() < self.samples.max(1) && (samples.len() < 3 || start.elapsed() < BUDGET) {
            samples.push(time(gpu, || calls(count))?.as_secs_f64() / count as f64);
        }
        samples.sort_by(f64::total_cmp);
        Ok(Times { median: median(&samples), min: samples[0] })
    }
}

/// The median of sorted numbers, of which there is at least one.
pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}
