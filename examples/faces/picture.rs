//! Pictures of 8-bit red, green and blue, from and to PNG.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use png::{ColorType, Transformations};
use wgdnn::ndarray::Array4;

/// What a header may say is more than there is memory.
const MOST_BYTES: usize = 1 << 30;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub cols: usize,
    pub rows: usize,
    /// Row-major, three bytes a pixel.
    pub bytes: Vec<u8>,
}

impl Picture {
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let file = File::open(path)?;
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let size = reader.output_buffer_size().filter(|size| *size <= MOST_BYTES).ok_or("the picture is too large")?;
        let mut bytes = vec![0; size];
        let info = reader.next_frame(&mut bytes)?;
        bytes.truncate(info.buffer_size());
        let rgb = |pixel: &[u8]| match info.color_type {
            ColorType::Grayscale | ColorType::GrayscaleAlpha => [pixel[0]; 3],
            _ => [pixel[0], pixel[1], pixel[2]],
        };
        let bytes = bytes.chunks_exact(info.color_type.samples()).flat_map(rgb).collect();
        Ok(Picture { cols: info.width as usize, rows: info.height as usize, bytes })
    }

    pub fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let mut png = png::Encoder::new(BufWriter::new(File::create(path)?), self.cols as u32, self.rows as u32);
        png.set_color(ColorType::Rgb);
        Ok(png.write_header()?.write_image_data(&self.bytes)?)
    }

    /// The picture as (1,3,H,W), from -1 on and below 1.
    pub fn normalized(&self) -> Array4<f32> {
        let value = |(_, color, row, col): (usize, usize, usize, usize)| {
            (f32::from(self.bytes[3 * (row * self.cols + col) + color]) - 127.5) / 128.0
        };
        Array4::from_shape_fn((1, 3, self.rows, self.cols), value)
    }

    /// Fills the part of a rectangle that is in the picture.
    pub fn fill(&mut self, [left, top, right, bottom]: [i64; 4], color: [u8; 3]) {
        let inside = |low: i64, high: i64, length: usize| {
            low.clamp(0, length as i64) as usize..high.clamp(0, length as i64) as usize
        };
        for row in inside(top, bottom, self.rows) {
            for col in inside(left, right, self.cols) {
                let at = 3 * (row * self.cols + col);
                self.bytes[at..at + 3].copy_from_slice(&color);
            }
        }
    }

    /// Draws the edges of a rectangle.
    pub fn frame(&mut self, [left, top, right, bottom]: [i64; 4], width: i64, color: [u8; 3]) {
        self.fill([left, top, right, top + width], color);
        self.fill([left, bottom - width, right, bottom], color);
        self.fill([left, top, left + width, bottom], color);
        self.fill([right - width, top, right, bottom], color);
    }
}
