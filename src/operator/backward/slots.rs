//! The slots of a backward pass, from the shapes that its plan knows.

use std::convert::Infallible;

use super::super::by_name::count;
use super::super::slots::{Slot, Slots};
use super::super::{PackedLayout, Source};
use super::{Arguments, Backward, Differentiable, FloatOrInteger, Gradient, Name};

impl<O: Differentiable> Backward<O> {
    /// The slots of all arguments. `share` tells the elements that each item of an argument has, where it is cut.
    pub(crate) fn slots(&self, share: impl Fn(&'static str) -> Option<usize>) -> Slots<Self> {
        let cut = |slot: Slot, name: Name| match share(name.field) {
            Some(share) => slot.cut(share),
            None => slot,
        };
        // Gradients are updated, all else is read.
        let input = |name: Name| {
            Some(match self.input(name)? {
                FloatOrInteger::Float(shape) if self.wants(name) => {
                    FloatOrInteger::Float(cut(Slot::update(shape), name))
                }
                FloatOrInteger::Float(shape) => FloatOrInteger::Float(cut(Slot::read(shape), name)),
                FloatOrInteger::Integer(shape) => FloatOrInteger::Integer(cut(Slot::read(shape).of_integers(), name)),
            })
        };
        let written = |name: Name| {
            let mut gradients = self.wanted.iter().filter(|planned| planned.how == Gradient::Write);
            let planned = gradients.find(|planned| planned.name == name)?;
            Some(FloatOrInteger::Float(cut(Slot::write(&planned.shape), name)))
        };
        let inputs_of = |field: &str| count(self.inputs.iter().map(|(name, _)| *name), field);
        let gradients = self.wanted.iter().filter(|planned| planned.how == Gradient::Write);
        let gradients_of = |field: &str| count(gradients.clone().map(|planned| planned.name), field);
        let Ok(inputs) = O::BackwardInputs::build(&mut Lookup { find: input, count: inputs_of });
        let Ok(outputs) = O::Gradients::build(&mut Lookup { find: written, count: gradients_of });
        Slots::new(inputs, outputs)
    }
}

/// Finds slots by name. None that is required is missing, since they come from arguments of the same type.
struct Lookup<S, C> {
    find: S,
    count: C,
}

impl<S, C> Source<Slot, Slot, Infallible> for Lookup<S, C>
where
    S: Fn(Name) -> Option<FloatOrInteger<Slot, Slot>>,
    C: Fn(&str) -> usize,
{
    fn either(&mut self, name: Name) -> Result<Option<FloatOrInteger<Slot, Slot>>, Infallible> {
        Ok((self.find)(name))
    }

    fn count(&mut self, field: &'static str) -> usize {
        (self.count)(field)
    }

    fn layout(&mut self, _: Name) -> Option<PackedLayout> {
        None
    }

    fn wrong(&self, name: Name, expected: &str, actual: &str) -> Infallible {
        unreachable!("{name}: {expected}, {actual}")
    }

    fn missing(&mut self, name: Name) -> Infallible {
        unreachable!("{name} is planned")
    }
}
