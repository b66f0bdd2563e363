//! A picture to draw on: rectangles, grey images, text, and by plotters. Its font is compiled in.

use std::convert::Infallible;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::iter::repeat_n;
use std::path::Path;

use ab_glyph::{Font, FontRef, GlyphId, PxScale, PxScaleFont, ScaleFont, point};
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};

/// Of any error, which is told and not handled.
pub type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Red, green and blue.
pub type Colour = [u8; 3];

/// A larger picture is a mistake.
const MOST_BYTES: usize = 1 << 28;

/// A picture of 8-bit red, green and blue.
pub struct Canvas {
    cols: usize,
    rows: usize,
    /// Row-major, three bytes a pixel.
    bytes: Vec<u8>,
    font: FontRef<'static>,
}

/// How text is drawn.
#[derive(Clone)]
pub struct TextLook {
    /// The height of a line.
    pub size: f32,
    /// The text's colour.
    pub colour: Colour,
    /// Which part of the text is at its position.
    pub anchor: Pos,
    /// How it is turned about its position.
    pub turn: FontTransform,
}

impl Canvas {
    /// A white picture.
    pub fn new(cols: usize, rows: usize) -> Result<Self> {
        let size = cols.checked_mul(rows).and_then(|pixels| pixels.checked_mul(3));
        let size = size.filter(|size| (1..=MOST_BYTES).contains(size)).ok_or_else(|| {
            format!("expected a picture of 1 to {MOST_BYTES} bytes, got {cols} columns and {rows} rows of pixels")
        })?;
        Ok(Canvas { cols, rows, bytes: vec![255; size], font: font()? })
    }

    /// Writes a PNG.
    pub fn write(&self, path: &Path) -> Result<()> {
        let told = |error: &dyn Error| format!("{}: {error}", path.display());
        let file = BufWriter::new(File::create(path).map_err(|error| told(&error))?);
        let mut png = png::Encoder::new(file, self.cols as u32, self.rows as u32);
        png.set_color(png::ColorType::Rgb);
        let mut png = png.write_header().map_err(|error| told(&error))?;
        png.write_image_data(&self.bytes).map_err(|error| told(&error))?;
        Ok(png.finish().map_err(|error| told(&error))?)
    }

    /// Mixes a colour into a pixel, if it is in the picture.
    fn mix(&mut self, (col, row): (i32, i32), colour: Colour, part: f64) {
        let (Ok(col), Ok(row)) = (usize::try_from(col), usize::try_from(row)) else { return };
        if col < self.cols && row < self.rows {
            for (byte, colour) in self.bytes[3 * (row * self.cols + col)..].iter_mut().zip(colour) {
                *byte = (f64::from(*byte) * (1.0 - part) + f64::from(colour) * part).round() as u8;
            }
        }
    }

    /// Draws rows of grey pixels, from 0 to 1, each as a square of `scale` pixels.
    pub fn grey(&mut self, (left, top): (usize, usize), cols: usize, pixels: &[f32], scale: usize) {
        for (row, line) in pixels.chunks_exact(cols.max(1)).flat_map(|line| repeat_n(line, scale)).enumerate() {
            for (col, pixel) in line.iter().flat_map(|pixel| repeat_n(pixel, scale)).enumerate() {
                let grey = (pixel.clamp(0.0, 1.0) * 255.0).round() as u8;
                self.mix(((left + col) as i32, (top + row) as i32), [grey; 3], 1.0);
            }
        }
    }

    /// Draws a line of text.
    pub fn text(&mut self, text: &str, at: (i32, i32), look: &TextLook) {
        let font = self.font.clone().into_scaled(PxScale::from(look.size));
        let (width, height) = (width(&font, text).round() as i32, look.size.round() as i32);
        let left = match look.anchor.h_pos {
            HPos::Left => 0,
            HPos::Center => -width / 2,
            HPos::Right => -width,
        };
        let top = match look.anchor.v_pos {
            VPos::Top => 0,
            VPos::Center => -height / 2,
            VPos::Bottom => -height,
        };
        for (id, right) in placed(&font, text) {
            let glyph = id.with_scale_and_position(font.scale(), point(right, font.ascent()));
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, part| {
                let (x, y) = (x as i32 + corner.x as i32 + left, y as i32 + corner.y as i32 + top);
                let (x, y) = look.turn.transform(x, y);
                self.mix((at.0 + x, at.1 + y), look.colour, f64::from(part.min(1.0)));
            });
        }
    }
}

/// How wide a line of text is.
pub fn text_width(text: &str, size: f32) -> Result<usize> {
    Ok(width(&font()?.into_scaled(size), text).ceil() as usize)
}

fn font() -> Result<FontRef<'static>> {
    Ok(FontRef::try_from_slice(notosans::REGULAR_TTF)?)
}

fn width(font: &PxScaleFont<FontRef>, text: &str) -> f32 {
    placed(font, text).last().map_or(0.0, |(id, right)| right + font.h_advance(id))
}

/// Each glyph of a line, and where it starts.
fn placed(font: &PxScaleFont<FontRef>, text: &str) -> impl Iterator<Item = (GlyphId, f32)> {
    let mut next = 0.0;
    let mut last = None;
    text.chars().map(move |letter| {
        let id = font.glyph_id(letter);
        let right = next + last.map_or(0.0, |last| font.kern(last, id));
        next = right + font.h_advance(id);
        last = Some(id);
        (id, right)
    })
}

/// plotters' own bitmaps have text by its feature `ab_glyph` alone, which would take from its SVGs the text that needs no font.
impl DrawingBackend for &mut Canvas {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.cols as u32, self.rows as u32)
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, colour: BackendColor) -> Result<(), DrawingErrorKind<Infallible>> {
        self.mix(at, colour.rgb.into(), colour.alpha);
        Ok(())
    }

    fn draw_text<Style: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &Style,
        at: BackendCoord,
    ) -> Result<(), DrawingErrorKind<Infallible>> {
        let (size, colour) = (style.size() as f32, style.color().rgb.into());
        self.text(text, at, &TextLook { size, colour, anchor: style.anchor(), turn: style.transform() });
        Ok(())
    }

    fn estimate_text_size<Style: BackendTextStyle>(
        &self,
        text: &str,
        style: &Style,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size() as f32;
        Ok((width(&self.font.clone().into_scaled(size), text).ceil() as u32, size.ceil() as u32))
    }
}
