//! Pictures of shapes, and masks that tell which pixels belong to one.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Rows and columns.
pub const SIZE: usize = 32;

/// Pictures and their masks, both [N, 1, SIZE, SIZE], from 0 to 1.
pub struct Shapes {
    pub images: Vec<f32>,
    pub masks: Vec<f32>,
}

/// A shape around a point: whether it has a pixel that is so far from that point, in units of its size.
#[derive(Clone, Copy)]
enum Shape {
    Disc,
    Square,
    Triangle,
}

impl Shape {
    fn has(self, x: f32, y: f32) -> bool {
        match self {
            Shape::Disc => x * x + y * y <= 1.0,
            Shape::Square => x.abs().max(y.abs()) <= 0.9,
            Shape::Triangle => (-1.0..=0.8).contains(&y) && 2.0 * x.abs() <= y + 1.0,
        }
    }
}

/// Draws so many pictures, each of one to three shapes that are brighter than the ground, with noise. The same seed gives the
/// same pictures.
pub fn draw(count: usize, seed: u64) -> Shapes {
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut images, mut masks) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let ground = rng.random_range(0.1..0.4);
        let (mut image, mut mask) = (vec![ground; SIZE * SIZE], vec![0.0; SIZE * SIZE]);
        for _ in 0..rng.random_range(1..=3) {
            let shape = [Shape::Disc, Shape::Square, Shape::Triangle][rng.random_range(0..3)];
            let (radius, light) = (rng.random_range(4.0..9.0_f32), ground + rng.random_range(0.25..0.5));
            let middle = [0; 2].map(|_| rng.random_range(6.0..SIZE as f32 - 6.0));
            for (index, (pixel, inside)) in image.iter_mut().zip(&mut mask).enumerate() {
                let [x, y] = [index % SIZE, index / SIZE].map(|at| at as f32 + 0.5);
                if shape.has((x - middle[0]) / radius, (y - middle[1]) / radius) {
                    (*pixel, *inside) = (light, 1.0);
                }
            }
        }
        images.extend(image.iter().map(|pixel: &f32| (pixel + rng.random_range(-0.1..0.1)).clamp(0.0, 1.0)));
        masks.extend(mask);
    }
    Shapes { images, masks }
}

/// Intersection over union of all pixels that have a logit above 0, and those of the masks.
pub fn intersection_over_union(logits: &[f32], masks: &[f32]) -> f32 {
    let both =
        |of: fn(bool, bool) -> bool| logits.iter().zip(masks).filter(|(x, mask)| of(**x > 0.0, **mask > 0.5)).count();
    both(|a, b| a && b) as f32 / both(|a, b| a || b).max(1) as f32
}
