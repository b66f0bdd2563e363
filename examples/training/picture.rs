//! What a training run shows: its curve, and tables of what a network made of images.

use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::Axis;
use super::canvas::{Canvas, Colour, Result, TextLook, text_width};

const CURVE_SIZE: (usize, usize) = (900, 500);
const LOSS: RGBColor = RGBColor(31, 119, 180);
const SCORE: RGBColor = RGBColor(214, 96, 20);
const INK: RGBColor = RGBColor(60, 60, 60);
const MESH: RGBColor = RGBColor(228, 228, 228);

const RIGHT: Colour = [20, 130, 50];
const WRONG: Colour = [205, 30, 30];
const TEXT_SIZE: f32 = 20.0;
const MARGIN: usize = 14;
/// What a line of text takes.
const LINE: usize = 26;
/// About how large a digit is drawn.
const DIGIT_SIZE: usize = 84;
const DIGITS_IN_ROW: usize = 8;
/// Of an image; more do not fit in a picture.
const MOST_SIZE: usize = 4096;
/// How large a pixel of a table's images is drawn.
const PIXEL: usize = 4;

/// A step and its value.
type Place = (usize, f64);

/// How far training is after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// How many steps were made.
    pub step: usize,
    /// The loss of the step's batch.
    pub loss: f32,
    /// How good the network is on what is held out, from 0 to 1, where it was measured.
    pub accuracy: Option<f32>,
}

/// Draws the loss over the steps, with a running mean if there are many, on a logarithmic axis if it spans more than a decade.
/// Accuracies, which `score` names, have an axis at the right. Losses that are not finite are left out, and so are accuracies
/// that are not from 0 to 1.
pub fn loss_curve(path: &Path, title: &str, score: &str, points: &[Point]) -> Result<()> {
    let losses = points.iter().map(|point| (point.step, f64::from(point.loss)));
    let losses: Vec<_> = losses.filter(|point| point.1.is_finite()).collect();
    let scores = points.iter().filter_map(|point| Some((point.step, f64::from(point.accuracy?))));
    let scores: Vec<_> = scores.filter(|point| (0.0..=1.0).contains(&point.1)).collect();
    let mut canvas = Canvas::new(CURVE_SIZE.0, CURVE_SIZE.1)?;
    draw_curve(&mut canvas, title, score, &losses, &scores)?;
    canvas.write(path)
}

fn draw_curve(canvas: &mut Canvas, title: &str, score: &str, losses: &[Place], scores: &[Place]) -> Result<()> {
    let x = steps(losses.iter().chain(scores));
    let y = Axis::of(losses.iter().map(|point| point.1));
    let lowest = scores.iter().map(|point| point.1).fold(0.9, f64::min);
    let y_of_score = (lowest * 10.0).floor() / 10.0..1.0;
    let means = running_means(losses);
    let named = if means.is_empty() { "loss" } else { "loss and its running mean" };
    let y_desc = format!("{named}{}", if y.is_log() { ", logarithmic" } else { "" });

    let root = canvas.into_drawing_area();
    let font = |size: u32, colour| ("sans-serif", size).into_font().color(colour);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, font(26, &INK))
        .margin(MARGIN as u32)
        .x_label_area_size(56)
        .y_label_area_size(86)
        .right_y_label_area_size(if scores.is_empty() { 16 } else { 76 })
        .build_cartesian_2d(x.clone(), y)?
        .set_secondary_coord(x, y_of_score);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(MESH)
        .axis_style(INK)
        .x_label_style(font(18, &INK))
        .y_label_style(font(18, &LOSS))
        .axis_desc_style(font(20, &LOSS))
        .y_desc(y_desc)
        .draw()?;
    if !scores.is_empty() {
        chart
            .configure_secondary_axes()
            .axis_style(INK)
            .label_style(font(18, &SCORE))
            .y_label_formatter(&|tick| format!("{tick:.2}"))
            .axis_desc_style(font(20, &SCORE))
            .y_desc(score)
            .draw()?;
    }
    let style = if means.is_empty() { LOSS.stroke_width(2) } else { LOSS.mix(0.4).stroke_width(1) };
    chart.draw_series(LineSeries::new(losses.iter().copied(), style))?;
    chart.draw_series(LineSeries::new(means, LOSS.stroke_width(2)))?;
    // No line goes through a single point.
    let single = if losses.len() == 1 { losses } else { &[] };
    chart.draw_series(single.iter().map(|at| Circle::new(*at, 4, LOSS.filled())))?;
    chart.draw_secondary_series(LineSeries::new(scores.iter().copied(), SCORE.stroke_width(2)))?;
    chart.draw_secondary_series(scores.iter().map(|at| Circle::new(*at, 4, SCORE.filled())))?;
    root.present()?;
    drop((chart, root));
    // plotters has one colour for the names of both axes.
    let at = (CURVE_SIZE.0 as i32 / 2, CURVE_SIZE.1 as i32 - 8);
    canvas.text("step", at, &look(HPos::Center, VPos::Bottom, [INK.0, INK.1, INK.2]));
    Ok(())
}

/// The first and the last step, with room about a single one.
fn steps<'a>(points: impl Iterator<Item = &'a Place> + Clone) -> Range<usize> {
    let first = points.clone().map(|point| point.0).min().unwrap_or(0);
    let last = points.map(|point| point.0).max().unwrap_or(0);
    if first < last { first..last } else { first.saturating_sub(1)..last.saturating_add(1) }
}

/// Means over so many neighbours that they show a trend, where there are enough points for one.
fn running_means(points: &[Place]) -> Vec<Place> {
    let length = points.len() / 40;
    if length < 3 {
        return Vec::new();
    }
    let mean = |near: &[Place]| near.iter().map(|point| point.1).sum::<f64>() / length as f64;
    points.windows(length).map(|near| (near[length / 2].0, mean(near))).collect()
}

/// Draws digits of `size` by `size` pixels, under each what was predicted: in green if it is right, else in red beside the label.
pub fn digits_grid(path: &Path, size: usize, images: &[&[f32]], labels: &[i32], predictions: &[i32]) -> Result<()> {
    if labels.len() != images.len() || predictions.len() != images.len() {
        let (labels, predictions) = (labels.len(), predictions.len());
        return Err(format!("{} images have {labels} labels and {predictions} predictions", images.len()).into());
    }
    check_images(images, [size; 2])?;
    let scale = (DIGIT_SIZE / size).max(1);
    let (side, in_row) = (size * scale, images.len().clamp(1, DIGITS_IN_ROW));
    let cell = [side + MARGIN, side + LINE + MARGIN];
    let mut canvas = Canvas::new(MARGIN + in_row * cell[0], MARGIN + images.len().div_ceil(in_row) * cell[1])?;
    for (index, image) in images.iter().enumerate() {
        let (left, top) = (MARGIN + index % in_row * cell[0], MARGIN + index / in_row * cell[1]);
        canvas.grey((left, top), size, image, scale);
        let (label, prediction) = (labels[index], predictions[index]);
        let (text, colour) = match label == prediction {
            true => (format!("{prediction}"), RIGHT),
            false => (format!("{prediction} (is {label})"), WRONG),
        };
        canvas.text(&text, ((left + side / 2) as i32, (top + side + 3) as i32), &look(HPos::Center, VPos::Top, colour));
    }
    canvas.write(path)
}

/// Draws a table of grey images of `size` rows and columns: under each header a column, and `rows` downwards.
pub fn rows(path: &Path, size: [usize; 2], headers: &[&str], rows: &[Vec<&[f32]>]) -> Result<()> {
    check_images(&[], size)?;
    let widths = headers.iter().map(|header| text_width(header, TEXT_SIZE)).collect::<Result<Vec<usize>>>()?;
    // Columns are alike, and no header runs into the next.
    let width = widths.into_iter().max().unwrap_or(0).max(size[1] * PIXEL) + MARGIN;
    let height = size[0] * PIXEL + MARGIN;
    let mut canvas = Canvas::new(MARGIN + headers.len() * width, MARGIN + LINE + rows.len() * height)?;
    for (col, header) in headers.iter().enumerate() {
        let middle = MARGIN + col * width + (width - MARGIN) / 2;
        canvas.text(header, (middle as i32, MARGIN as i32 / 2), &look(HPos::Center, VPos::Top, [INK.0, INK.1, INK.2]));
    }
    for (index, row) in rows.iter().enumerate() {
        if row.len() != headers.len() {
            return Err(format!("row {index}: expected {} images, got {}", headers.len(), row.len()).into());
        }
        check_images(row, size).map_err(|error| format!("row {index}: {error}"))?;
        for (col, image) in row.iter().enumerate() {
            let left = MARGIN + col * width + (width - MARGIN - size[1] * PIXEL) / 2;
            canvas.grey((left, MARGIN + LINE + index * height), size[1], image, PIXEL);
        }
    }
    canvas.write(path)
}

fn check_images(images: &[&[f32]], [rows, cols]: [usize; 2]) -> Result<()> {
    if [rows, cols].iter().any(|size| !(1..=MOST_SIZE).contains(size)) {
        return Err(format!("expected images of 1 to {MOST_SIZE} rows and columns, got {rows}x{cols}").into());
    }
    match images.iter().position(|image| image.len() != rows * cols) {
        None => Ok(()),
        Some(at) => Err(format!("image {at}: expected {rows}x{cols} pixels, got {}", images[at].len()).into()),
    }
}

fn look(h_pos: HPos, v_pos: VPos, colour: Colour) -> TextLook {
    TextLook { size: TEXT_SIZE, colour, anchor: Pos { h_pos, v_pos }, turn: FontTransform::None }
}
