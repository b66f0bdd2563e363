//! Gradients of operators: how they are planned, and what all of them share.

mod erased;

pub use erased::{AnyBackward, AnyDifferentiable};

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
        let wanted: Vec<_> = wanted.0.into_iter().map(|(name, gradient)| (name, gradient.either())).collect();
        if let Some((name, _)) = wanted.iter().find(|(name, _)| !known.0.iter().any(|(known, _)| known == name)) {
            return Err(name.invalid(Self::BACKWARD, "no gradient, since there is no such input", "one"));
        }
        if wanted.is_empty() {
            return Err(Error::invalid(Self::BACKWARD, "gradients", "at least one", "none"));
        }
        Ok(Backward { forward: self.clone(), wanted })
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
    wanted: Vec<(Name, Gradient)>,
}

impl<O: Differentiable> Backward<O> {
    /// The operator whose gradients it computes.
    pub fn forward(&self) -> &O {
        &self.forward
    }

    fn gradient(&self, name: Name) -> Option<Gradient> {
        self.wanted.iter().find(|(wanted, _)| *wanted == name).map(|(_, gradient)| *gradient)
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
            .chain(computed.updated.iter().map(|(_, array)| array.clone()))
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

    /// [`Backward::of_magnitudes`], each with its gradient's name.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn magnitudes_by_name(
        &self,
        inputs: &ArraysOf<Self>,
        computed: &Computed<Self>,
    ) -> Result<Vec<(&'static str, Vec<f32>)>>
    where
        Self: OnCpu + Definition<Inputs = O::BackwardInputs, Outputs = O::Gradients>,
    {
        let mut written = Flat(Vec::new());
        O::Gradients::try_map(&computed.outputs, &mut written)?;
        let names = written.0.iter().map(|(name, _)| name.field);
        let names = names.chain(computed.updated.iter().map(|(name, _)| name.field));
        Ok(names.zip(self.of_magnitudes(inputs, computed)?).collect())
    }

    /// The larger magnitude of two results, by the gradient's name and the index there.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn larger_by_name(&self, results: [Vec<Vec<f32>>; 2]) -> impl Fn(&str, usize) -> f64 + use<O> {
        let of = |how: Gradient| self.wanted.iter().filter(move |(_, gradient)| *gradient == how);
        let names: Vec<_> = of(Gradient::Write).chain(of(Gradient::Accumulate)).map(|(name, _)| name.field).collect();
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

    fn shapes(&self) -> InputsOf<Self, Vec<usize>, Vec<usize>> {
        self.forward.backward_shapes(self)
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
        for &(name, gradient) in &self.wanted {
            let mut array = of(name);
            match gradient {
                Gradient::Write => written.push((name, array.mapv(|x| x as f32))),
                Gradient::Accumulate => {
                    let given = flat.0.iter().find(|(given, _)| *given == name);
                    let Some((_, FloatOrInteger::Float(before))) = given else {
                        return Err(name.invalid(O::BACKWARD, "an array to add to", "none"));
                    };
                    array.zip_mut_with(before, |x, &before| *x += f64::from(before));
                    updated.push((name, array.mapv(|x| x as f32)));
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
        let [mut given, mut expected] = [Flat(Vec::new()), Flat(Vec::new())];
        O::BackwardInputs::try_map(inputs, &mut given)?;
        O::BackwardInputs::try_map(&backward.shapes(), &mut expected)?;
        type Shape = (Name, FloatOrInteger<Vec<usize>, Vec<usize>>);
        let text = |shape: Option<&Shape>| match shape {
            Some((_, shape)) => format!("shape {:?}", shape.clone().either()),
            None => "none".to_owned(),
        };
        for (name, _) in given.0.iter().chain(&expected.0) {
            let [given, expected] = [&given, &expected].map(|list| list.0.iter().find(|(other, _)| other == name));
            if given != expected {
                return Err(name.invalid(O::BACKWARD, text(expected), text(given)));
            }
        }
        Ok(backward.clone())
    }

    fn by_every_algorithm(&self) -> Vec<(String, Self)> {
        let each = self.forward.by_every_algorithm().into_iter();
        each.map(|(name, forward)| (name, Backward { forward, wanted: self.wanted.clone() })).collect()
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

/// Maps every gradient to one that is written.
struct Written;

impl<'a> Map<'a, Vec<usize>, Vec<usize>, Gradient, Gradient, std::convert::Infallible> for Written {
    fn float(&mut self, _: Name, _: &'a Vec<usize>) -> Result<Gradient, std::convert::Infallible> {
        Ok(Gradient::Write)
    }

    fn integer(&mut self, name: Name, shape: &'a Vec<usize>) -> Result<Gradient, std::convert::Infallible> {
        self.float(name, shape)
    }
}

#[cfg(feature = "gpu-core")]
mod on_gpu {
    use std::convert::Infallible;

    use super::super::slots::{Slot, Slots};
    use super::{Arguments, Backward, Differentiable, Flat, Gradient, Map, Name};

    impl<O: Differentiable> Backward<O> {
        /// The slots of all arguments. `share` tells the elements that each item of an argument has, where it is cut.
        pub(crate) fn slots(&self, share: impl Fn(&'static str) -> Option<usize>) -> Slots<Self> {
            let cut = |slot: Slot, name: Name| match share(name.field) {
                Some(share) => slot.cut(share),
                None => slot,
            };
            let mut shapes = Flat(Vec::new());
            let _ = O::Gradients::try_map(&self.forward.gradient_shapes(), &mut shapes);
            let written = shapes.0.into_iter().filter(|(name, _)| self.gradient(*name) == Some(Gradient::Write));
            let written = written.map(|(name, shape)| (name, cut(Slot::write(&shape.either()), name)));
            let Ok(inputs) = O::BackwardInputs::try_map(&self.shapes(), &mut ToSlots { backward: self, cut: &cut });
            Slots::new(inputs, self.written(written.collect()))
        }
    }

    /// Maps shapes of inputs to slots: gradients are updated, all else is read.
    struct ToSlots<'b, O, C> {
        backward: &'b Backward<O>,
        cut: &'b C,
    }

    impl<'a, O: Differentiable, C: Fn(Slot, Name) -> Slot> Map<'a, Vec<usize>, Vec<usize>, Slot, Slot, Infallible>
        for ToSlots<'_, O, C>
    {
        fn float(&mut self, name: Name, shape: &'a Vec<usize>) -> Result<Slot, Infallible> {
            let slot = if self.backward.wants(name) { Slot::update(shape) } else { Slot::read(shape) };
            Ok((self.cut)(slot, name))
        }

        fn integer(&mut self, name: Name, shape: &'a Vec<usize>) -> Result<Slot, Infallible> {
            Ok((self.cut)(Slot::read(shape).of_integers(), name))
        }
    }
}
