//! Arguments by name, for operators of any type.

use std::collections::VecDeque;

use super::{FloatOrInteger, Map, Name, PackedLayout, Source};
use crate::error::{Error, Result};

/// The length of a list with items of these names.
pub(super) fn count(names: impl Iterator<Item = Name>, field: &str) -> usize {
    let indices = names.filter(|name| name.field == field).filter_map(|name| name.index);
    indices.map(|index| index + 1).max().unwrap_or(0)
}

/// Values that are taken out by name.
pub(super) struct Named<F, I> {
    pub operator: &'static str,
    /// A queue, since they usually come in their order.
    pub values: VecDeque<(Name, FloatOrInteger<F, I>)>,
    pub layouts: Vec<(Name, PackedLayout)>,
}

impl<F, I> Named<F, I> {
    /// Fails if any value was not taken.
    pub fn finish(self) -> Result<()> {
        match self.values.front() {
            None => Ok(()),
            Some((name, _)) => {
                Err(name.invalid(self.operator, "an argument that was planned, once", "another, or one more"))
            }
        }
    }
}

impl<F, I> Source<F, I, Error> for Named<F, I> {
    fn either(&mut self, name: Name) -> Result<Option<FloatOrInteger<F, I>>> {
        let place = self.values.iter().position(|(other, _)| *other == name);
        Ok(place.and_then(|place| self.values.remove(place)).map(|(_, value)| value))
    }

    fn count(&mut self, field: &'static str) -> usize {
        count(self.values.iter().map(|(name, _)| *name), field)
    }

    fn layout(&mut self, name: Name) -> Option<PackedLayout> {
        self.layouts.iter().find(|(other, _)| *other == name).map(|(_, layout)| *layout)
    }

    fn wrong(&self, name: Name, expected: &str, actual: &str) -> Error {
        name.invalid(self.operator, expected, actual)
    }

    fn missing(&mut self, name: Name) -> Error {
        self.wrong(name, "one", "none")
    }
}

/// Collects values with their names.
pub(super) struct Flat<F, I>(pub Vec<(Name, FloatOrInteger<F, I>)>);

impl<'a, F: Clone, I: Clone> Map<'a, F, I, (), (), Error> for Flat<F, I> {
    fn float(&mut self, name: Name, value: &'a F) -> Result<()> {
        self.0.push((name, FloatOrInteger::Float(value.clone())));
        Ok(())
    }

    fn integer(&mut self, name: Name, value: &'a I) -> Result<()> {
        self.0.push((name, FloatOrInteger::Integer(value.clone())));
        Ok(())
    }
}
