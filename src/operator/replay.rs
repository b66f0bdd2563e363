//! Eager calls replayed on the CPU, for [`Gpu::set_validation`].

use std::convert::Infallible;

use ndarray::ArrayD;

use super::planned::Planned;
use super::{AnyArray, Arguments, ArraysOf, FloatOrInteger, InputsOf, Map, Name, Operator, OutputsOf};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::tensor::{Element, Tensor};

/// A call to compare with the CPU's, with its inputs as they were before the call.
pub(super) struct Replay<O: Operator> {
    inputs: ArraysOf<O>,
}

/// Reads a tensor back, waiting for it.
#[cfg(not(target_arch = "wasm32"))]
fn read<T: Element>(tensor: &Tensor<T>) -> Result<ArrayD<T>> {
    tensor.read_blocking()
}

#[cfg(target_arch = "wasm32")]
fn read<T: Element>(_: &Tensor<T>) -> Result<ArrayD<T>> {
    Err(Error::Validation { reason: "a browser does not let validation wait for results".into() })
}

/// The magnitudes of an array's finite elements, and 0 for the others, which come out the same on both sides.
pub(crate) fn magnitudes(array: &ArrayD<f32>) -> ArrayD<f32> {
    array.mapv(|x| if x.is_finite() { x.abs() } else { 0.0 })
}

/// The largest magnitude of an array's finite elements.
pub(crate) fn largest(array: &ArrayD<f32>) -> f64 {
    array.iter().filter(|x| x.is_finite()).fold(0.0, |largest, &x| f64::from(x.abs()).max(largest))
}

/// How far `operations` roundings to float32 may bring a result whose terms add up to `magnitude`.
///
/// Infinite, so that every result passes, where float32 itself may have overflown on the way.
pub(crate) fn rounding(operations: usize, magnitude: f64) -> f64 {
    let magnitude = if magnitude.is_nan() { f64::INFINITY } else { magnitude };
    // Denormal numbers may be read as 0.
    let tolerance = operations as f64 * magnitude / f64::from(1 << 24) + f64::from(f32::MIN_POSITIVE);
    unless_overflown(magnitude, tolerance)
}

/// A tolerance; infinite if float32 may overflow on the way, where a value reaches `peak`.
pub(crate) fn unless_overflown(peak: f64, tolerance: f64) -> f64 {
    if peak > f64::from(f32::MAX) { f64::INFINITY } else { tolerance }
}

/// Skips what cannot be replayed, with a warning: a buffer that cannot be read back, or class indices that the
/// reference refuses. Validation must not stop a call that works without it.
fn unless_refused<T>(operator: &'static str, result: Result<T>) -> Result<Option<T>> {
    match result {
        Err(error @ Error::InvalidArgument { .. }) => {
            log::warn!("{operator} was not validated: {error}");
            Ok(None)
        }
        result => result.map(Some),
    }
}

impl<O: Operator> Replay<O> {
    /// Reads the inputs, if the device validates its calls and this call runs something.
    pub fn begin(_: &Planned<'_, O>, gpu: &Gpu, inputs: &InputsOf<O, &Tensor, &Tensor<i32>>) -> Result<Option<Self>> {
        if !gpu.validates() || O::KERNELS.is_empty() {
            return Ok(None);
        }
        let inputs = O::Inputs::try_map(inputs, &mut Reader);
        Ok(unless_refused(O::NAME, inputs)?.map(|inputs| Replay { inputs }))
    }

    /// Compares the outputs with what the CPU computes.
    pub fn end(
        &self,
        planned: &Planned<'_, O>,
        inputs: &InputsOf<O, &Tensor, &Tensor<i32>>,
        outputs: &OutputsOf<O, Tensor, Tensor<i32>>,
    ) -> Result<()> {
        let checked = self.check(planned, inputs, outputs);
        unless_refused(O::NAME, checked).map(drop)
    }

    fn check(
        &self,
        planned: &Planned<'_, O>,
        inputs: &InputsOf<O, &Tensor, &Tensor<i32>>,
        outputs: &OutputsOf<O, Tensor, Tensor<i32>>,
    ) -> Result<()> {
        let computed = planned.operator.compute(&self.inputs)?;
        let rounding = planned.operator.rounding(planned.plan, &self.inputs, &computed)?;
        let mut actual = Arrays::default();
        O::Outputs::try_map(outputs, &mut actual)?;
        let mut expected = Arrays::default();
        let Ok(_) = O::Outputs::try_map(&computed.outputs, &mut Known(&mut expected));
        if !computed.updated.is_empty() {
            let (actual, expected) = (&mut actual, &mut expected);
            O::Inputs::try_map(inputs, &mut Updated { of: &computed.updated, actual, expected })?;
        }
        for ((output, actual), (_, expected)) in actual.0.iter().zip(&expected.0) {
            let tolerance = |index: usize| rounding(output, index);
            match (actual, expected) {
                (FloatOrInteger::Float(actual), FloatOrInteger::Float(expected)) => {
                    self.elements(planned.plan, output, actual, expected, |index, actual, expected| {
                        let both_nan = actual.is_nan() && expected.is_nan();
                        let tolerance = tolerance(index);
                        // An infinity is equal only to itself.
                        let distance = (f64::from(actual) - f64::from(expected)).abs();
                        let is_near = actual == expected || both_nan || distance <= tolerance;
                        (is_near || tolerance == f64::INFINITY, tolerance)
                    })?;
                }
                (FloatOrInteger::Integer(actual), FloatOrInteger::Integer(expected)) => {
                    self.elements(planned.plan, output, actual, expected, |_, actual, expected| {
                        (actual == expected, 0.0)
                    })?;
                }
                _ => unreachable!("an output's type is the same on both"),
            }
        }
        Ok(())
    }

    fn elements<T: Element + Into<f64>>(
        &self,
        plan: &O::Plan,
        output: &'static str,
        actual: &ArrayD<T>,
        expected: &ArrayD<T>,
        judge: impl Fn(usize, T, T) -> (bool, f64),
    ) -> Result<()> {
        for (index, (&actual, (position, &expected))) in actual.iter().zip(expected.indexed_iter()).enumerate() {
            let (is_right, tolerance) = judge(index, actual, expected);
            if !is_right {
                let mut arrays = Arrays::default();
                let Ok(_) = O::Inputs::try_map(&self.inputs, &mut Known(&mut arrays));
                let shape = |array: AnyArray| match array {
                    FloatOrInteger::Float(array) => array.shape().to_vec(),
                    FloatOrInteger::Integer(array) => array.shape().to_vec(),
                };
                return Err(Error::Mismatch {
                    operator: O::NAME,
                    plan: plan.to_string().into(),
                    output,
                    shapes: arrays.0.into_iter().map(|(name, array)| (name, shape(array))).collect(),
                    index: ndarray::Dimension::slice(&position).to_vec(),
                    expected: expected.into(),
                    actual: actual.into(),
                    tolerance,
                });
            }
        }
        Ok(())
    }
}

/// Reads tensors back.
struct Reader;

impl<'a> Map<'a, &Tensor, &Tensor<i32>, ArrayD<f32>, ArrayD<i32>, Error> for Reader {
    fn float(&mut self, _: Name, tensor: &'a &Tensor) -> Result<ArrayD<f32>> {
        read(tensor)
    }

    fn integer(&mut self, _: Name, tensor: &'a &Tensor<i32>) -> Result<ArrayD<i32>> {
        read(tensor)
    }
}

/// Collects arrays by name.
#[derive(Default)]
struct Arrays(Vec<(&'static str, AnyArray)>);

impl<'a> Map<'a, Tensor, Tensor<i32>, (), (), Error> for Arrays {
    fn float(&mut self, name: Name, tensor: &'a Tensor) -> Result<()> {
        self.0.push((name.field, FloatOrInteger::Float(read(tensor)?)));
        Ok(())
    }

    fn integer(&mut self, name: Name, tensor: &'a Tensor<i32>) -> Result<()> {
        self.0.push((name.field, FloatOrInteger::Integer(read(tensor)?)));
        Ok(())
    }
}

struct Known<'b>(&'b mut Arrays);

impl<'a> Map<'a, ArrayD<f32>, ArrayD<i32>, (), (), Infallible> for Known<'_> {
    fn float(&mut self, name: Name, array: &'a ArrayD<f32>) -> Result<(), Infallible> {
        self.0.0.push((name.field, FloatOrInteger::Float(array.clone())));
        Ok(())
    }

    fn integer(&mut self, name: Name, array: &'a ArrayD<i32>) -> Result<(), Infallible> {
        self.0.0.push((name.field, FloatOrInteger::Integer(array.clone())));
        Ok(())
    }
}

/// Reads the tensors that the call updated, beside what is expected.
struct Updated<'b> {
    of: &'b [(Name, AnyArray)],
    actual: &'b mut Arrays,
    expected: &'b mut Arrays,
}

impl Updated<'_> {
    fn push(&mut self, name: Name, read: impl FnOnce() -> Result<AnyArray>) -> Result<()> {
        if let Some((_, expected)) = self.of.iter().find(|(updated, _)| *updated == name) {
            self.actual.0.push((name.field, read()?));
            self.expected.0.push((name.field, expected.clone()));
        }
        Ok(())
    }
}

impl<'a> Map<'a, &Tensor, &Tensor<i32>, (), (), Error> for Updated<'_> {
    fn float(&mut self, name: Name, tensor: &'a &Tensor) -> Result<()> {
        self.push(name, || read(tensor).map(FloatOrInteger::Float))
    }

    fn integer(&mut self, name: Name, tensor: &'a &Tensor<i32>) -> Result<()> {
        self.push(name, || read(tensor).map(FloatOrInteger::Integer))
    }
}
