//! What a program shows of a training while it runs, and how its learning rate falls.

use indicatif::{ProgressBar, ProgressStyle};

use super::training::net::Result;

/// How often the loss is read back, in steps: each time waits for the device.
pub const READ_EVERY: usize = 10;

/// A bar of so many steps.
pub fn bar(steps: usize) -> Result<ProgressBar> {
    let style = ProgressStyle::with_template("{bar:40} step {pos} of {len}, {msg}")?;
    Ok(ProgressBar::new(steps as u64).with_style(style))
}

/// Whether the loss of a step is read back.
pub fn is_read(step: usize, last: usize) -> bool {
    step % READ_EVERY == READ_EVERY - 1 || step + 1 == last
}

/// Whether the network is tested after a step.
pub fn is_tested(step: usize, last: usize) -> bool {
    (step + 1).is_multiple_of(5 * READ_EVERY) || step + 1 == last
}

/// Fails if a number after a step is not finite: a loss, or what the network makes of pictures that it never saw.
pub fn expect_finite(what: &str, numbers: &[f32], step: usize) -> Result<()> {
    match numbers.iter().find(|number| !number.is_finite()) {
        None => Ok(()),
        Some(number) => {
            let help = "a smaller --lr may help";
            Err(format!("{what} is {number} at step {}: the training diverged ({help})", step + 1).into())
        }
    }
}

/// Reads a first learning rate.
pub fn learning_rate(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(lr) if lr > 0.0 && lr.is_finite() => Ok(lr),
        _ => Err("expected a finite number above 0".into()),
    }
}

/// A learning rate that falls from the first to 0 along a cosine.
pub fn cosine(first: f32, step: usize, steps: usize) -> f32 {
    first * 0.5 * (1.0 + (std::f32::consts::PI * step as f32 / steps as f32).cos())
}
