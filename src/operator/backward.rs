//! Gradients of operators: how they are planned, and what all of them share.

mod erased;
#[cfg(feature = "gpu-core")]
mod slots;

pub use erased::{AnyBackward, AnyDifferentiable};

use std::convert::Infallible;

use ndarray::ArrayD;

#[cfg(feature = "gpu-core")]
use super::OnCpu;
use super::by_name::{Flat, Named};
use super::{Arguments, ArraysOf, Computed, Definition, FloatOrInteger, InputsOf, Map, Name};
use crate::error::{Error, Result};

/// What a backward pass does with a gradient that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gradient {
    /// It is an output.
    Write,
    /// It is added to an input of its name, in place.
    Accumulate,
}

/// The gradients of an operator: `T` stands for each.
pub type GradientsOf<O, T> = <<O as Differentiable>::Gradients as Arguments>::Of<T, T>;

/// The inputs of an operator's backward pass.
pub type BackwardInputsOf<O, F, I> = <<O as Differentiable>::BackwardInputs as Arguments>::Of<F, I>;

/// An operator that has gradients.
///
/// A backward pass is an operator too: it is planned by [`Differentiable::backward`], and called and recorded as any
/// other. From `grad_output`, the gradient of some number with respect to this operator's output, it computes the
/// gradients of that number with respect to this operator's inputs. The same call on the same adapter gives the same
/// bits every time.
///
/// ```no_run
/// # #[cfg(feature = "gpu-core")]
/// # fn main() -> Result<(), wgdnn::Error> {
/// use wgdnn::operator::{Differentiable, Gradient};
/// use wgdnn::{Conv2d, Conv2dBackwardInputs, Conv2dGradients, Gpu, Operator, Tensor};
///
/// let gpu = Gpu::new_blocking()?;
/// let conv = Conv2d::new(&[8, 3, 32, 32], &[16, 3, 3, 3], None, &Default::default())?;
/// // The gradient of the weight alone, added to what is there: the weight itself is not needed.
/// let wanted = Conv2dGradients { grad_weight: Some(Gradient::Accumulate), ..Conv2dGradients::new() };
/// let backward = conv.backward(&wanted)?;
/// let [image, grad_output] = [&[8, 3, 32, 32], conv.output_shape()].map(|shape| Tensor::zeros(&gpu, shape));
/// let (image, grad_output) = (image?, grad_output?);
/// let grad_weight = Tensor::zeros(&gpu, &[16, 3, 3, 3])?;
/// backward.call(&Conv2dBackwardInputs {
///     input: Some(&image),
///     grad_weight: Some(&grad_weight),
///     ..Conv2dBackwardInputs::new(&grad_output)
/// })?;
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "gpu-core"))]
/// # fn main() {}
/// ```
pub trait Differentiable: Definition {
    /// The name of the backward pass, such as `conv2d_backward`.
    const BACKWARD: &'static str;
    /// The arguments that the backward pass reads, first `grad_output`, and the gradients that it adds to.
    type BackwardInputs: Arguments;
    /// The gradients, all of them optional: `grad_` and the input's name.
    type Gradients: Arguments;

    /// The shapes of the gradients that this operator has.
    fn gradient_shapes(&self) -> GradientsOf<Self, Vec<usize>>;

    /// The shapes of the inputs that this backward pass needs.
    #[doc(hidden)]
    fn backward_shapes(&self, backward: &Backward<Self>) -> BackwardInputsOf<Self, Vec<usize>, Vec<usize>>;

    /// The optional outputs of this operator that its backward pass needs.
    fn saved_outputs(&self) -> &'static [&'static str] {
        &[]
    }

    /// Fails if this operator has no gradient, though others of its kind have.
    #[doc(hidden)]
    fn check_differentiable(&self) -> Result<()> {
        Ok(())
    }

    /// Plans the backward pass for the gradients that are wanted.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a gradient that this operator does not have, if none is wanted, and for an operator
    /// with an activation or a residual.
    fn backward(&self, gradients: &GradientsOf<Self, Gradient>) -> Result<Backward<Self>> {
        self.check_differentiable()?;
        let (mut known, mut wanted) = (Flat(Vec::new()), Flat(Vec::new()));
        Self::Gradients::try_map(&self.gradient_shapes(), &mut known)?;
        Self::Gradients::try_map(gradients, &mut wanted)?;
        let planned = wanted.0.into_iter().map(|(name, how)| {
            let Some((_, shape)) = known.0.iter().find(|(known, _)| *known == name) else {
                return Err(name.invalid(Self::BACKWARD, "no gradient, since there is no such input", "one"));
            };
            Ok(Planned { name, how: how.either(), shape: shape.clone().either() })
        });
        let wanted = planned.collect::<Result<Vec<_>>>()?;
        if wanted.is_empty() {
            return Err(Error::invalid(Self::BACKWARD, "gradients", "at least one", "none"));
        }
        let mut backward = Backward { forward: self.clone(), wanted, inputs: Vec::new() };
        let mut inputs = InputShapes(Vec::new());
        let Ok(_) = Self::BackwardInputs::try_map(&self.backward_shapes(&backward), &mut inputs);
        backward.inputs = inputs.0;
        Ok(backward)
    }

    /// Plans the backward pass for all gradients, as outputs.
    ///
    /// # Errors
    /// As [`Differentiable::backward`].
    fn backward_of_all(&self) -> Result<Backward<Self>> {
        let Ok(all) = Self::Gradients::try_map(&self.gradient_shapes(), &mut Written);
        self.backward(&all)
    }
}

/// The backward pass of an operator: see [`Differentiable`].
#[derive(Debug, Clone, PartialEq)]
pub struct Backward<O> {
    pub(crate) forward: O,
    wanted: Vec<Planned>,
    /// The shapes of its inputs; `None` of those that it does not need.
    inputs: Vec<(Name, Option<Shape>)>,
}

/// A gradient that is wanted.
#[derive(Debug, Clone, PartialEq)]
struct Planned {
    name: Name,
    how: Gradient,
    shape: Vec<usize>,
}

/// A shape of floats or of integers.
type Shape = FloatOrInteger<Vec<usize>, Vec<usize>>;

impl<O: Differentiable> Backward<O> {
    /// The operator whose gradients it computes.
    pub fn forward(&self) -> &O {
        &self.forward
    }

    fn gradient(&self, name: Name) -> Option<Gradient> {
        self.wanted.iter().find(|planned| planned.name == name).map(|planned| planned.how)
    }

    /// The shape of an input, if it is needed.
    fn input(&self, name: Name) -> Option<&Shape> {
        self.inputs.iter().find(|(input, _)| *input == name)?.1.as_ref()
    }

    /// Whether a gradient is wanted.
    pub(crate) fn wants(&self, name: impl Into<Name>) -> bool {
        self.gradient(name.into()).is_some()
    }

    /// Whether a gradient is added to what is there.
    pub(crate) fn adds(&self, name: impl Into<Name>) -> bool {
        self.gradient(name.into()) == Some(Gradient::Accumulate)
    }

    /// A shape of an input that is needed only for one of these gradients.
    pub(crate) fn needed(&self, by: &[&'static str], shape: &[usize]) -> Option<Vec<usize>> {
        by.iter().any(|&name| self.wants(name)).then(|| shape.to_vec())
    }

    /// The elements of each gradient that was computed, in order.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn results(&self, computed: &Computed<Self>) -> Vec<Vec<f32>> {
        let mut flat = Flat(Vec::new());
        let _ = O::Gradients::try_map(&computed.outputs, &mut flat);
        let written = flat.0.into_iter().filter_map(|(_, array)| array.float());
        written
            .chain(computed.updated_floats().map(|(_, array)| array.clone()))
            .map(|array| array.into_iter().collect())
            .collect()
    }

    /// What each gradient would be, in order, of the magnitudes of all finite numbers: a bound for what the sums in it
    /// round.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn of_magnitudes(&self, inputs: &ArraysOf<Self>, computed: &Computed<Self>) -> Result<Vec<Vec<f32>>>
    where
        Self: OnCpu + Definition<Inputs = O::BackwardInputs, Outputs = O::Gradients>,
    {
        let inputs = O::BackwardInputs::try_map(inputs, &mut Magnitudes)?;
        let mut magnitudes = self.results(&self.compute(&inputs)?);
        // What it was added to counts too.
        for (magnitudes, result) in magnitudes.iter_mut().zip(self.results(computed)) {
            magnitudes.iter_mut().zip(result).for_each(|(magnitude, x)| *magnitude = magnitude.abs().max(x.abs()));
        }
        Ok(magnitudes)
    }

    /// The largest magnitude among such results, by the gradient's name and the index there.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn largest_by_name<const N: usize>(
        &self,
        results: [Vec<Vec<f32>>; N],
    ) -> impl Fn(&str, usize) -> f64 + use<O, N> {
        let of = |how: Gradient| self.wanted.iter().filter(move |planned| planned.how == how);
        let names = of(Gradient::Write).chain(of(Gradient::Accumulate)).map(|planned| planned.name.field);
        let names: Vec<_> = names.collect();
        move |name, index| {
            let at = names.iter().position(|other| *other == name);
            let size = |result: &Vec<Vec<f32>>| at.map_or(f64::INFINITY, |at| f64::from(result[at][index].abs()));
            results.iter().map(size).fold(0.0, f64::max)
        }
    }

    /// The shape of a gradient's input, to which it is added.
    pub(crate) fn added(&self, name: impl Into<Name>, shape: &[usize]) -> Option<Vec<usize>> {
        self.adds(name).then(|| shape.to_vec())
    }

    /// The gradients that are outputs, from values of all.
    fn written<T, I>(&self, values: Vec<(Name, T)>) -> <O::Gradients as Arguments>::Of<T, I> {
        let values = values.into_iter().map(|(name, value)| (name, FloatOrInteger::Float(value))).collect();
        let mut source = Named { operator: O::BACKWARD, values, layouts: Vec::new() };
        // All gradients are optional.
        O::Gradients::build(&mut source).unwrap_or_else(|error| unreachable!("{error}"))
    }

    /// What the backward pass computes on the CPU, given each gradient that is wanted.
    pub(crate) fn computed(
        &self,
        inputs: &ArraysOf<Self>,
        mut of: impl FnMut(Name) -> ArrayD<f64>,
    ) -> Result<Computed<Self>> {
        let mut flat = Flat(Vec::new());
        O::BackwardInputs::try_map(inputs, &mut flat)?;
        let (mut written, mut updated) = (Vec::new(), Vec::new());
        for &Planned { name, how, .. } in &self.wanted {
            let mut array = of(name);
            match how {
                Gradient::Write => written.push((name, array.mapv(|x| x as f32))),
                Gradient::Accumulate => {
                    let given = flat.0.iter().find(|(given, _)| *given == name);
                    let Some((_, FloatOrInteger::Float(before))) = given else {
                        return Err(name.invalid(O::BACKWARD, "an array to add to", "none"));
                    };
                    array.zip_mut_with(before, |x, &before| *x += f64::from(before));
                    updated.push((name, FloatOrInteger::Float(array.mapv(|x| x as f32))));
                }
            }
        }
        Ok(Computed { outputs: self.written(written), updated })
    }
}

impl<O: Differentiable> Definition for Backward<O> {
    const NAME: &'static str = O::BACKWARD;
    // All that there is to know follows from the operator.
    type Params = Self;
    type Inputs = O::BackwardInputs;
    type Outputs = O::Gradients;

    fn of_shapes(inputs: &InputsOf<Self, Vec<usize>, Vec<usize>>, backward: &Self) -> Result<Self> {
        let mut given = Flat(Vec::new());
        O::BackwardInputs::try_map(inputs, &mut given)?;
        let text = |shape: Option<&Shape>| match shape {
            Some(shape) => format!("shape {:?}", shape.clone().either()),
            None => "none".to_owned(),
        };
        for name in given.0.iter().map(|(name, _)| *name).chain(backward.inputs.iter().map(|(name, _)| *name)) {
            let given = given.0.iter().find(|(other, _)| *other == name).map(|(_, shape)| shape);
            let expected = backward.input(name);
            if given != expected {
                return Err(name.invalid(O::BACKWARD, text(expected), text(given)));
            }
        }
        Ok(backward.clone())
    }

    fn by_every_algorithm(&self) -> Vec<(String, Self)> {
        let each = self.forward.by_every_algorithm().into_iter();
        each.map(|(name, forward)| (name, Backward { forward, ..self.clone() })).collect()
    }
}

/// Maps floats to their magnitudes.
#[cfg(feature = "gpu-core")]
struct Magnitudes;

#[cfg(feature = "gpu-core")]
impl<'a> Map<'a, ArrayD<f32>, ArrayD<i32>, ArrayD<f32>, ArrayD<i32>, Error> for Magnitudes {
    fn float(&mut self, _: Name, array: &'a ArrayD<f32>) -> Result<ArrayD<f32>> {
        Ok(super::replay::magnitudes(array))
    }

    fn integer(&mut self, _: Name, array: &'a ArrayD<i32>) -> Result<ArrayD<i32>> {
        Ok(array.clone())
    }
}

/// Collects the shapes of inputs, and the names of those that are absent.
struct InputShapes(Vec<(Name, Option<Shape>)>);

impl<'a> Map<'a, Vec<usize>, Vec<usize>, (), (), Infallible> for InputShapes {
    fn float(&mut self, name: Name, shape: &'a Vec<usize>) -> Result<(), Infallible> {
        self.0.push((name, Some(FloatOrInteger::Float(shape.clone()))));
        Ok(())
    }

    fn integer(&mut self, name: Name, shape: &'a Vec<usize>) -> Result<(), Infallible> {
        self.0.push((name, Some(FloatOrInteger::Integer(shape.clone()))));
        Ok(())
    }

    fn absent(&mut self, name: Name) {
        self.0.push((name, None));
    }
}

/// Maps every gradient to one that is written.
struct Written;

impl<'a> Map<'a, Vec<usize>, Vec<usize>, Gradient, Gradient, Infallible> for Written {
    fn float(&mut self, _: Name, _: &'a Vec<usize>) -> Result<Gradient, Infallible> {
        Ok(Gradient::Write)
    }

    fn integer(&mut self, name: Name, shape: &'a Vec<usize>) -> Result<Gradient, Infallible> {
        self.float(name, shape)
    }
}
