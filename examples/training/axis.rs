//! An axis of a chart that is logarithmic if it must be, with ticks at round values.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// The part of an axis that is left free at both ends.
const MARGIN: f64 = 0.06;

/// An axis from a value to a larger one.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Of values, or of their decimal logarithms.
    range: Range<f64>,
    ticks: Vec<f64>,
    is_log: bool,
}

impl Axis {
    /// An axis for these finite values, logarithmic if they span more than a decade.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().reduce(f64::min).unwrap_or(0.0);
        let high = values.reduce(f64::max).unwrap_or(1.0);
        if low > 0.0 && high > 10.0 * low { Axis::log(low, high) } else { Axis::linear(low, high) }
    }

    /// Whether the axis is logarithmic.
    pub fn is_log(&self) -> bool {
        self.is_log
    }

    fn linear(low: f64, high: f64) -> Self {
        let margin = match high - low {
            // A single value is in the middle.
            0.0 if low == 0.0 => 1.0,
            0.0 => low.abs() * 0.1,
            // Ticks between values that hardly differ would all read the same.
            span => (span * MARGIN).max(low.abs().max(high.abs()) * 1e-6),
        };
        let range = low - margin..high + margin;
        let step = tick_step(&range);
        let numbers = (range.start / step).ceil() as i64..=(range.end / step).floor() as i64;
        Axis { range, ticks: numbers.map(|number| number as f64 * step).collect(), is_log: false }
    }

    fn log(low: f64, high: f64) -> Self {
        let (low, high) = (low.log10(), high.log10());
        let margin = (high - low) * MARGIN;
        let range = low - margin..high + margin;
        let decades = range.start.floor() as i32..=range.end.ceil() as i32;
        let every = decades.clone().count().div_ceil(10);
        // Few decades have room for more than their powers of ten.
        let digits: &[f64] = if high - low < 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks =
            decades.step_by(every).flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade)));
        Axis { ticks: ticks.filter(|tick| range.contains(&tick.log10())).collect(), range, is_log: true }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let value = if self.is_log { value.log10() } else { *value };
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        let value = |end: f64| if self.is_log { 10f64.powf(end) } else { end };
        value(self.range.start)..value(self.range.end)
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, tick: &f64) -> String {
        if *tick == 0.0 {
            return "0".into();
        }
        if !(1e-4..1e5).contains(&tick.abs()) {
            let digits = if self.is_log { 0 } else { 2 };
            return format!("{tick:.digits$e}");
        }
        // As many decimals as tell a tick from the next.
        let step = if self.is_log { *tick } else { tick_step(&self.range) };
        format!("{tick:.*}", (-step.log10() - 1e-9).ceil().clamp(0.0, 9.0) as usize)
    }
}

/// Of a linear axis: 1, 2 or 5 times a power of ten, for 4 to 10 ticks.
fn tick_step(range: &Range<f64>) -> f64 {
    let step = (range.end - range.start) / 10.0;
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].map(|digit| digit * power).into_iter().find(|round| *round >= step).unwrap_or(10.0 * power)
}
