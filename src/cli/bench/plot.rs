//! The roofline: how fast each workload ran, over how much it computes for each byte it moves.

use std::error::Error;

use plotters::prelude::*;

use super::Record;
use super::ceilings::Ceilings;

const SIZE: (u32, u32) = (1100, 700);

/// The colours of operators, in the order in which they come.
const COLOURS: [RGBColor; 12] = [
    RGBColor(31, 119, 180),
    RGBColor(255, 127, 14),
    RGBColor(44, 160, 44),
    RGBColor(148, 196, 60),
    RGBColor(214, 39, 40),
    RGBColor(148, 103, 189),
    RGBColor(140, 86, 75),
    RGBColor(227, 119, 194),
    RGBColor(100, 100, 100),
    RGBColor(23, 190, 207),
    RGBColor(188, 160, 34),
    RGBColor(60, 60, 160),
];

/// An operator whose workload counts no operations is drawn at one operation a byte.
fn intensity(record: &Record) -> f64 {
    if record.flops > 0.0 { record.flops / record.bytes } else { 1.0 }
}

/// Draws the roofline as SVG, and returns its text.
pub fn draw(records: &[Record], ceilings: &Ceilings, adapter: &str) -> Result<String, Box<dyn Error>> {
    let points: Vec<(&Record, f64, f64)> = records
        .iter()
        .filter(|record| record.bytes > 0.0)
        .filter_map(|record| {
            let seconds = record.median_ms? / 1e3;
            Some((record, intensity(record), intensity(record) * record.bytes / seconds / 1e9))
        })
        .collect();
    let (peak, bandwidth) = (ceilings.flops_per_second / 1e9, ceilings.bytes_per_second / 1e9);
    let most_x = points.iter().map(|point| point.1).fold(100.0, f64::max) * 3.0;
    let least_y = points.iter().map(|point| point.2).fold(peak / 100.0, f64::min) / 2.0;

    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("Roofline: {adapter}"), ("sans-serif", 22))
        .margin(16)
        .x_label_area_size(50)
        .y_label_area_size(70)
        .build_cartesian_2d((0.5..most_x).log_scale(), (least_y..peak * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(RGBColor(245, 245, 245))
        .bold_line_style(RGBColor(225, 225, 225))
        .x_desc("operations a byte (memory-bound operators at 1)")
        .y_desc("GFLOP/s (GB/s at 1)")
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 16))
        .draw()?;
    let roof = [0.5, peak / bandwidth, most_x].map(|x| (x, (x * bandwidth).min(peak)));
    chart.draw_series(LineSeries::new(roof, BLACK.stroke_width(2)))?;

    let mut operators: Vec<&str> = Vec::new();
    for (record, ..) in &points {
        if !operators.contains(&&*record.operator) {
            operators.push(&record.operator);
        }
    }
    for (operator, colour) in operators.into_iter().zip(COLOURS.into_iter().cycle()) {
        let of_operator: Vec<_> = points.iter().filter(|(record, ..)| record.operator == operator).collect();
        chart
            .draw_series(of_operator.iter().map(|(_, x, y)| Circle::new((*x, *y), 5, colour.filled())))?
            .label(operator)
            .legend(move |(x, y)| Circle::new((x + 10, y), 5, colour.filled()));
    }
    // Names stand beside the points, but above each other for memory-bound ones.
    let mut taken: Vec<[i32; 4]> = Vec::new();
    for (record, x, y) in points.iter().filter(|point| point.1 > 1.0) {
        let name = record.workload.split('.').nth(1).unwrap_or(&record.workload).to_owned();
        let at = chart.backend_coord(&(*x, *y));
        let offset = free_offset(&taken, at, name.len());
        taken.push(name_box(at, offset, name.len()));
        chart.draw_series([EmptyElement::at((*x, *y)) + Text::new(name, offset, ("sans-serif", 12))])?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.9))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    // These hold on to the text.
    drop((chart, root));
    Ok(svg)
}

/// Left, top, right and bottom of a name of this many letters.
fn name_box((x, y): (i32, i32), (right, down): (i32, i32), letters: usize) -> [i32; 4] {
    [x + right, y + down, x + right + 7 * letters as i32, y + down + 12]
}

/// A place for a name where it covers no other: right of its point, below, above or left of it.
fn free_offset(taken: &[[i32; 4]], at: (i32, i32), letters: usize) -> (i32, i32) {
    let places = [(8, -6), (8, 6), (8, -18), (-8 - 6 * letters as i32, -6)];
    let is_free = |offset: &(i32, i32)| {
        let [left, top, right, bottom] = name_box(at, *offset, letters);
        taken.iter().all(|other| other[2] < left || right < other[0] || other[3] < top || bottom < other[1])
    };
    places.into_iter().find(is_free).unwrap_or(places[0])
}
