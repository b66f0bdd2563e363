//! The CPU references of gradients against finite differences of those of the operators.

use std::collections::BTreeMap;

use ndarray::ArrayD;
use wgdnn::cases::key_of;
use wgdnn::operator::{FloatOrInteger, Name};

use crate::harness::{GoldenGradient, floats_of, golden_gradients, input_of, random, with_floats};

/// How far differences and gradient may be apart, of the sum of the magnitudes of all terms; and also how far rounding may
/// move a difference, since a step that is too small for that says nothing. The references compute in float64 and round
/// once. What a difference leaves out is of the fourth order in the step, and far less. A gradient that is wrong by a factor,
/// or in more than one term of some hundreds, is farther off.
const TOLERANCE: f64 = 2e-3;

/// The steps, of the size of each element. A small one misses a kink that is near; a large one has less rounding.
const STEPS: [f64; 6] = [1.0 / 16.0, 1.0 / 64.0, 1.0 / 256.0, 1.0 / 1024.0, 1.0 / 4096.0, 1.0 / 16384.0];

/// An input that is moved.
struct Moved {
    name: Name,
    direction: ArrayD<f64>,
    gradient: ArrayD<f32>,
}

/// sum(grad_output * output) where the inputs are moved along a direction.
struct Point {
    value: f64,
    /// What the gradient says of the way to it, which is not quite the step, since inputs are float32.
    predicted: f64,
    /// How far rounding the outputs may have moved the value: four standard deviations of numbers that are up to 2^-24 of
    /// their size.
    noise: f64,
    /// The sum of the magnitudes of what adds up to the value.
    size: f64,
}

impl Point {
    fn new(gradient: &GoldenGradient, moved: &[Moved], step: f64) -> Self {
        let mut predicted = 0.0;
        let arrays = with_floats(gradient.forward.arrays(), |name, before| {
            let mut after = before.clone();
            if let Some(moved) = moved.iter().find(|moved| moved.name == name) {
                after.zip_mut_with(&moved.direction, |x, d| *x = (f64::from(*x) + step * d) as f32);
                let ways = after.iter().zip(before).map(|(after, before)| f64::from(*after) - f64::from(*before));
                predicted += ways.zip(&moved.gradient).map(|(way, slope)| way * f64::from(*slope)).sum::<f64>();
            }
            after
        });
        let outputs = gradient.forward.with_arrays(arrays).run_reference().unwrap();
        let FloatOrInteger::Float(grad_output) = gradient.grad_output() else { panic!("integers") };
        let output = floats_of(&outputs["output"]);
        let terms: Vec<_> = grad_output.iter().zip(output).map(|(g, y)| f64::from(*g) * f64::from(*y)).collect();
        let squares = terms.iter().map(|term| term * term).sum::<f64>();
        Point {
            value: terms.iter().sum(),
            predicted,
            // Where all terms are 0, they may have been too small for float32.
            noise: 2.0 * squares.sqrt() / f64::from(1 << 24) + 1e-40,
            size: terms.iter().map(|term| term.abs()).sum(),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Agrees,
    /// Outputs and gradients are 0 all along, as those of no elements.
    Nothing,
    /// The differences of two steps, or those on both sides, disagree.
    HasKink,
    Wrong(String),
}

/// Moves each element by about its own size.
fn moved(gradient: &GoldenGradient, seed: u64) -> Vec<Moved> {
    let made = gradient.backward.run_reference().unwrap();
    let each = gradient.wanted().into_iter().enumerate().map(|(index, (name, shape))| {
        let input = input_of(name);
        let mut arrays = gradient.forward.arrays().iter();
        let Some((_, FloatOrInteger::Float(array))) = arrays.find(|(of, _)| *of == input) else {
            panic!("{}: {input} is no input of floats", gradient.case.id)
        };
        let square = array.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / array.len().max(1) as f64;
        let least = if square > 0.0 { square.sqrt().min(1.0) } else { 1.0 };
        let mut direction = random(&shape, seed + 1000 * index as u64).mapv(f64::from);
        direction.zip_mut_with(array, |d, x| *d *= f64::from(x.abs()).max(least));
        Moved { name: input, direction, gradient: floats_of(&made[&key_of(name)]).clone() }
    });
    each.collect()
}

fn judge(gradient: &GoldenGradient, seed: u64) -> Outcome {
    judge_moved(gradient, &moved(gradient, seed))
}

fn judge_moved(gradient: &GoldenGradient, moved: &[Moved]) -> Outcome {
    let at = |step: f64| Point::new(gradient, moved, step);
    let middle = at(0.0);
    let terms = moved.iter().flat_map(|moved| moved.direction.iter().zip(&moved.gradient));
    let size = terms.map(|(d, slope)| (d * f64::from(*slope)).abs()).sum::<f64>();
    // Where the gradient is 0, the output is a measure too.
    let most = TOLERANCE * (size + middle.size / 8.0);
    let is_small = |x: f64| x.abs() <= most;
    if most == 0.0 && [-STEPS[0], STEPS[0]].into_iter().all(|step| at(step).size == 0.0) {
        return Outcome::Nothing;
    }
    for step in STEPS {
        let points = [-step, -step / 2.0, step / 2.0, step].map(at);
        // The most that goes into any of the differences: 4 times two, twice two and 6 times the middle.
        let noise = 9.0 * points.iter().map(|point| point.noise).fold(middle.noise, f64::max) / step;
        // Less what the gradient says nothing should be left.
        let [far_before, before, after, far_after] = points.map(|point| point.value - middle.value - point.predicted);
        let [wide, near] = [(far_after - far_before) / (2.0 * step), (after - before) / step];
        let [on_left, on_right] = [(far_before - 4.0 * before) / step, (4.0 * after - far_after) / step];
        if is_small(noise) && is_small(wide - near) && is_small(on_left - on_right) {
            let difference = (4.0 * near - wide) / 3.0;
            let id = &gradient.case.id;
            let text = format!("{id}: steps of {step} are {difference:e} from the gradient, more than {most:e}");
            return if is_small(difference) { Outcome::Agrees } else { Outcome::Wrong(text) };
        }
    }
    Outcome::HasKink
}

/// Along a random direction of all inputs whose gradients a case wants. Where there is a kink, or kinks at many zeros add up
/// to next to nothing, points beside are looked at.
#[test]
fn references_are_the_derivatives_of_references() {
    let mut counts = BTreeMap::<&str, [usize; 2]>::new();
    let mut wrong = Vec::new();
    for (seed, gradient) in golden_gradients().iter().enumerate().filter(|(_, gradient)| gradient.is_finite()) {
        let mut outcome = judge(gradient, seed as u64);
        for other in (1..6).map(|round| seed as u64 + 100_000 * round) {
            if !matches!(outcome, Outcome::Agrees | Outcome::Nothing) {
                let there = judge(&gradient.beside(other), other);
                // That a point is wrong is said until another is right.
                outcome = if there == Outcome::HasKink { outcome } else { there };
            }
        }
        let counts = counts.entry(gradient.forward.op()).or_default();
        if outcome == Outcome::Nothing {
            continue;
        }
        counts[0] += 1;
        counts[1] += usize::from(outcome != Outcome::HasKink);
        if let Outcome::Wrong(text) = outcome {
            wrong.push(text);
        }
    }
    counts.iter().for_each(|(op, [tried, compared])| println!("{op}: {compared} of {tried}"));
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    for (op, [tried, compared]) in counts {
        // The others have many kinks, or outputs whose rounding is too large beside what changes.
        assert!(compared >= 20 && compared * 10 >= tried * 9, "{op}: {compared} of {tried}");
    }
}

/// The judge itself: gradients that are twice as large are wrong.
#[test]
fn gradients_that_are_wrong_are_seen() {
    let (mut seen, mut unseen) = (0, 0);
    for (seed, gradient) in golden_gradients().iter().enumerate().filter(|(_, gradient)| gradient.is_finite()) {
        let mut moved = moved(gradient, seed as u64);
        if judge_moved(gradient, &moved) == Outcome::Agrees {
            moved.iter_mut().for_each(|moved| moved.gradient.mapv_inplace(|slope| slope * 2.0));
            let is_seen = matches!(judge_moved(gradient, &moved), Outcome::Wrong(_));
            *(if is_seen { &mut seen } else { &mut unseen }) += 1;
        }
    }
    // Along some directions the terms cancel, and some gradients are 0.
    assert!(seen > 1000 && seen > 10 * unseen, "{seen} are seen, {unseen} are not");
}
