use ndarray::{ArrayD, arr1};

use super::{AsArray, compute, gradient_of, owned};
use crate::operator::{ArraysOf, Backward, Computed, FloatOrInteger, OnCpu};
use crate::{Dropout, DropoutBackwardInputs, DropoutInputs, DropoutOutputs, DropoutParams, Result, generator_state};

/// The words of a block of a generator: Philox4x32-10, with 64-bit products.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..10 {
        let product = |factor: u32, word: u32| {
            let product = u64::from(factor) * u64::from(word);
            [(product >> 32) as u32, product as u32]
        };
        let ([a_high, a_low], [b_high, b_low]) = (product(0xd251_1f53, counter[0]), product(0xcd9e_8d57, counter[2]));
        counter = [b_high ^ counter[1] ^ key[0], b_low, a_high ^ counter[3] ^ key[1], a_low];
        key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
    }
    counter
}

/// A generator's seed and offset.
fn words(generator: &ArrayD<i32>) -> [u64; 2] {
    let word = |index: usize| u64::from(generator[[index]] as u32);
    [word(0) | word(1) << 32, word(2) | word(3) << 32]
}

impl Dropout {
    /// An element times this is the output's: 0 or 1 / (1 - p).
    fn factors(&self, generator: &ArrayD<i32>) -> impl Iterator<Item = f64> + use<> {
        let ([seed, offset], p) = (words(generator), self.p());
        let threshold = (p * 2_f64.powi(32)) as u64;
        (0..self.shape.iter().product::<usize>()).map(move |index| {
            let block = offset.wrapping_add(index as u64 / 4);
            let key = [seed as u32, (seed >> 32) as u32];
            let word = philox([block as u32, (block >> 32) as u32, 0, 0], key)[index % 4];
            if u64::from(word) < threshold { 0.0 } else { 1.0 / (1.0 - p) }
        })
    }
}

/// Elements set to 0 at random, and the generator after it: see [`dropout`](crate::dropout()).
///
/// # Errors
/// As [`Dropout::new`], and [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a `generator` that is not of 4
/// words.
pub fn dropout(
    input: &dyn AsArray<f32>,
    generator: &dyn AsArray<i32>,
    params: &DropoutParams,
) -> Result<(ArrayD<f32>, ArrayD<i32>)> {
    let inputs = DropoutInputs { input: owned(input), generator: generator.as_view().into_owned() };
    let computed = compute::<Dropout>(&inputs, params)?;
    let after = computed.updated.into_iter().find_map(|(_, array)| match array {
        FloatOrInteger::Integer(array) => Some(array),
        FloatOrInteger::Float(_) => None,
    });
    Ok((computed.outputs.output, after.unwrap_or(inputs.generator)))
}

impl OnCpu for Dropout {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        let mut output = inputs.input.clone();
        for (x, factor) in output.iter_mut().zip(self.factors(&inputs.generator)) {
            *x = (f64::from(*x) * factor) as f32;
        }
        let [seed, offset] = words(&inputs.generator);
        let after = arr1(&generator_state(seed, offset.wrapping_add(self.blocks() as u64))).into_dyn();
        let mut computed = Computed::new(DropoutOutputs { output, saved_generator: inputs.generator.clone() });
        computed.updated.push(("generator".into(), FloatOrInteger::Integer(after)));
        Ok(computed)
    }
}

/// The gradient of [`dropout`], by the generator before it: see [`dropout_backward`](crate::dropout_backward).
///
/// # Errors
/// As [`dropout`].
pub fn dropout_backward(
    grad_output: &dyn AsArray<f32>,
    saved_generator: &dyn AsArray<i32>,
    params: &DropoutParams,
) -> Result<ArrayD<f32>> {
    let (grad_output, generator) = (owned(grad_output), saved_generator.as_view().into_owned());
    let dropout = Dropout::new(grad_output.shape(), params)?;
    gradient_of(&dropout, &DropoutBackwardInputs::new(grad_output, generator))
}

impl OnCpu for Backward<Dropout> {
    fn compute(&self, inputs: &ArraysOf<Self>) -> Result<Computed<Self>> {
        self.computed(inputs, |_| {
            let mut gradient = inputs.grad_output.mapv(f64::from);
            let factors = self.forward.factors(&inputs.saved_generator);
            gradient.iter_mut().zip(factors).for_each(|(x, factor)| *x *= factor);
            gradient
        })
    }
}
