//! The CPU references of gradients against finite differences of those of the operators.

use std::collections::BTreeMap;

use wgdnn::operator::{AnyArray, FloatOrInteger, Name};

use crate::harness::{GoldenGradient, floats_of, golden_gradients, input_of, random};

/// How far differences and gradient may be apart, of the sum of the magnitudes of all terms; and also how far rounding may
/// move a difference, since a step that is too small for that says nothing. The references compute in float64 and round
/// once. What a difference leaves out is of the fourth order in the step, and far less. A gradient that is wrong by a factor,
/// or in more than one term of a thousand, is farther off.
const TOLERANCE: f64 = 1e-3;

/// The steps, of the size of each input. A small one misses a kink that is near; a large one has less rounding.
const STEPS: [f64; 6] = [1.0 / 16.0, 1.0 / 64.0, 1.0 / 256.0, 1.0 / 1024.0, 1.0 / 4096.0, 1.0 / 16384.0];

/// sum(grad_output * output) of inputs that are moved along a direction.
struct Line<'a> {
    gradient: &'a GoldenGradient,
    /// The input's name, and where each of its elements goes.
    directions: Vec<(Name, ndarray::ArrayD<f64>)>,
}

/// A value on the line. Inputs are float32, so the way to it is not quite the step: `along` is the gradient's product with
/// that way.
struct Point {
    value: f64,
    along: f64,
    /// How far rounding the outputs may have moved the value: four standard deviations, at most.
    noise: f64,
    /// The sum of the magnitudes of what adds up to the value.
    size: f64,
}

impl Line<'_> {
    fn at(&self, step: f64, slopes: &BTreeMap<String, ndarray::ArrayD<f32>>) -> Point {
        let mut along = 0.0;
        let arrays: Vec<(Name, AnyArray)> = self.gradient.forward.arrays().to_vec();
        let moved = crate::harness::with_floats(&arrays, |name, array| {
            let Some((_, direction)) = self.directions.iter().find(|(of, _)| *of == name) else { return array.clone() };
            let mut moved = array.clone();
            moved.zip_mut_with(direction, |x, d| *x = (f64::from(*x) + step * d) as f32);
            let slope = &slopes[&name.to_string()];
            along += moved.iter().zip(array).zip(slope).fold(0.0, |sum, ((after, before), slope)| {
                sum + (f64::from(*after) - f64::from(*before)) * f64::from(*slope)
            });
            moved
        });
        let outputs = self.gradient.forward.with_arrays(moved).run_reference().unwrap();
        let FloatOrInteger::Float(grad_output) = self.gradient.grad_output() else { panic!("integers") };
        let (mut value, mut squares, mut size) = (0.0, 0.0, 0.0);
        for (grad, output) in grad_output.iter().zip(floats_of(&outputs["output"])) {
            let term = f64::from(*grad) * f64::from(*output);
            value += term;
            squares += term * term;
            size += term.abs();
        }
        Point { value, along, noise: 4.0 * squares.sqrt() / f64::from(1 << 24), size }
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Agrees,
    /// The differences of two steps, or those on both sides, disagree.
    HasKink,
    Wrong(String),
}

fn judge(gradient: &GoldenGradient, seed: u64) -> Outcome {
    let made = gradient.backward.run_reference().unwrap();
    let (mut directions, mut slopes) = (Vec::new(), BTreeMap::new());
    let mut scale = 0.0;
    for (index, (name, shape)) in gradient.wanted().into_iter().enumerate() {
        let input = input_of(name);
        let arrays = gradient.forward.arrays();
        let Some((_, FloatOrInteger::Float(array))) = arrays.iter().find(|(of, _)| *of == input) else {
            panic!("{}: {input} is no input of floats", gradient.case.id)
        };
        let square = array.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / array.len().max(1) as f64;
        let size = if square > 0.0 { square.sqrt() } else { 1.0 };
        let direction = random(&shape, seed * 10 + index as u64).mapv(|d| f64::from(d) * size);
        let slope = floats_of(&made[&wgdnn::cases::key_of(name)]).clone();
        scale += direction.iter().zip(&slope).map(|(d, slope)| (d * f64::from(*slope)).abs()).sum::<f64>();
        directions.push((input, direction));
        slopes.insert(input.to_string(), slope);
    }
    let line = Line { gradient, directions };
    let middle = line.at(0.0, &slopes);
    // Where the gradient is 0, the output is a measure too.
    scale += middle.size / 8.0;
    for step in STEPS {
        let [before, near_before, near_after, after] =
            [-step, -step / 2.0, step / 2.0, step].map(|step| line.at(step, &slopes));
        // Less what the gradient says, nothing should be left.
        let left = |point: &Point| (point.value - middle.value) - point.along;
        let [before, near_before, near_after, after] = [before, near_before, near_after, after].map(|point| {
            // Subnormal noise, where all terms are 0.
            (left(&point), point.noise + middle.noise + 1e-40)
        });
        let noise = [before.1, near_before.1, near_after.1, after.1].into_iter().fold(0.0, f64::max) * 4.0 / step;
        let (before, near_before, near_after, after) = (before.0, near_before.0, near_after.0, after.0);
        let [wide, near] = [(after - before) / (2.0 * step), (near_after - near_before) / step];
        let [left, right] = [(before - 4.0 * near_before) / step, (4.0 * near_after - after) / step];
        let most = TOLERANCE * scale;
        let is_small = |x: f64| x.abs() <= most;
        if !is_small(noise) || !is_small(wide - near) || !is_small(left - right) {
            continue;
        }
        let difference = (4.0 * near - wide) / 3.0;
        if difference.abs() <= most + noise {
            return Outcome::Agrees;
        }
        return Outcome::Wrong(format!(
            "{}: steps of {step} are {difference:e} from the gradient, more than {most:e}",
            gradient.case.id
        ));
    }
    Outcome::HasKink
}

/// Along a random direction of all inputs whose gradients a case wants.
#[test]
fn references_are_the_derivatives_of_references() {
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    let mut wrong = Vec::new();
    for (seed, gradient) in golden_gradients().iter().enumerate().filter(|(_, gradient)| gradient.is_finite()) {
        let outcome = judge(gradient, seed as u64);
        let counts = counts.entry(gradient.forward.op()).or_default();
        counts[0] += 1;
        counts[1] += usize::from(outcome != Outcome::HasKink);
        if let Outcome::Wrong(text) = outcome {
            wrong.push(text);
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    for (op, [tried, compared]) in &counts {
        println!("{op}: {compared} of {tried}");
    }
    for (op, [tried, compared]) in counts {
        assert!(compared >= 20 && compared * 4 >= tried * 3, "{op}: {compared} of {tried}");
    }
}
