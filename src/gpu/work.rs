//! The work of a device: dispatches on named arguments, and how a call is cut into parts that fit the device.

use crate::error::{Error, Name, Result};
use crate::gpu::kernel::Dispatch;
use crate::shape::ELEMENT_BYTES;

/// Dispatches on some arguments, which a [`Dispatch`] names by their index.
pub(crate) trait Work {
    /// The operator's name.
    fn name(&self) -> &'static str;

    /// The number of items, which are computed independently of each other, so that the call can be cut: images,
    /// planes, elements.
    fn items(&self) -> usize;

    /// Adds the dispatches of one part of the call.
    fn dispatches(&self, part: &Part, add: &mut dyn FnMut(Dispatch));

    /// The arguments that can be cut, and the elements of each item.
    fn shares(&self) -> Vec<(Name, usize)>;

    /// The shapes of its inputs, by name.
    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)>;

    /// All dispatches within these limits.
    fn all_dispatches(&self, limits: &wgpu::Limits) -> Result<Vec<Dispatch>> {
        let mut dispatches = Vec::new();
        for part in Parts::new(self.name(), self.items(), self.shares().into_iter(), limits)? {
            self.dispatches(&part, &mut |dispatch| dispatches.push(dispatch));
        }
        Ok(dispatches)
    }
}

/// A part of a call: some of its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    begin: usize,
    /// The number of items.
    pub items: usize,
    is_whole: bool,
    /// The alignment of a binding's offset, in elements.
    alignment: usize,
}

impl Part {
    /// No items, where only arguments are counted.
    pub(crate) const NONE: Part = Part { begin: 0, items: 0, is_whole: true, alignment: 1 };

    /// The first item.
    pub(crate) fn begin(&self) -> usize {
        self.begin
    }

    /// Where the part begins in the binding of an argument with `share` elements for each item, in elements.
    pub(crate) fn base(&self, share: Option<usize>) -> u32 {
        match share {
            Some(share) if !self.is_whole => (self.begin * share % self.alignment) as u32,
            _ => 0,
        }
    }

    /// The bytes of an argument to bind: offset and length. `None` if all of it, without a share.
    pub(super) fn range(&self, share: Option<usize>) -> Option<(u64, u64)> {
        let share = share.filter(|_| !self.is_whole)?;
        let base = self.base(Some(share)) as usize;
        let bytes = |elements: usize| elements as u64 * ELEMENT_BYTES;
        Some((bytes(self.begin * share - base), bytes(base + self.items * share)))
    }
}

/// The parts of a call, such that no binding is too large.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    items: usize,
    /// The most items of a part.
    fits: usize,
    begin: usize,
    alignment: usize,
    is_done: bool,
}

impl Parts {
    /// The parts for arguments with these shares of each item.
    pub fn new(
        operator: &'static str,
        items: usize,
        shares: impl Iterator<Item = (Name, usize)> + Clone,
        limits: &wgpu::Limits,
    ) -> Result<Self> {
        let maximum = limits.max_storage_buffer_binding_size;
        let bytes = |elements: usize| elements as u64 * ELEMENT_BYTES;
        // A binding begins at the last aligned offset before the part, which may lie inside an item.
        let alignment = (u64::from(limits.min_storage_buffer_offset_alignment) / ELEMENT_BYTES).max(1) as usize;
        let mut parts = Parts { items, fits: items, begin: 0, alignment, is_done: false };
        if shares.clone().all(|(_, share)| bytes(items * share) <= maximum) {
            return Ok(parts);
        }
        let room = (maximum / ELEMENT_BYTES) as usize;
        for (Name { field: argument, index: item }, share) in shares {
            parts.fits = parts.fits.min(room.saturating_sub(alignment - 1) / share.max(1));
            if parts.fits == 0 {
                let actual = bytes(if share > room { share } else { share + alignment - 1 });
                let limit = "max_storage_buffer_binding_size";
                return Err(Error::LimitExceeded { operator, argument, item, limit, maximum, actual });
            }
        }
        Ok(parts)
    }
}

impl Iterator for Parts {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let is_whole = self.fits == self.items;
        if self.is_done || (!is_whole && self.begin >= self.items) {
            return None;
        }
        self.is_done = is_whole;
        let begin = self.begin;
        let items = self.fits.min(self.items - begin);
        self.begin += items;
        Some(Part { begin, items, is_whole, alignment: self.alignment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_and_cover_everything() {
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: 1 << 20,
            min_storage_buffer_offset_alignment: 256,
            ..wgpu::Limits::defaults()
        };
        let parts_of = |items: usize, shares: &[usize]| {
            let names = ["input".into(), "output".into()].into_iter().zip(shares.iter().copied());
            Parts::new("op", items, names, &limits)
        };
        let shares_of = [[1000, 7], [1, 1], [64 * 64, 3], [200_000, 64], [5001, 260_001]];
        for (items, shares) in [1000, 1 << 22, 100, 12, 7].into_iter().zip(shares_of) {
            let parts: Vec<_> = parts_of(items, &shares).unwrap().collect();
            assert!(parts.len() > 1);
            let mut next = 0;
            for part in &parts {
                assert_eq!(part.begin, next);
                next += part.items;
                for share in shares {
                    let base = part.base(Some(share)) as usize;
                    let (begin, bytes) = part.range(Some(share)).unwrap();
                    assert!(bytes == ((base + part.items * share) * 4) as u64 && bytes <= 1 << 20);
                    assert!(begin as usize == (part.begin * share - base) * 4 && begin.is_multiple_of(256));
                    assert_eq!((part.base(None), part.range(None)), (0, None));
                }
            }
            assert_eq!(next, items);
        }
        let whole: Vec<_> = parts_of(1000, &[100]).unwrap().collect();
        assert_eq!(whole.len(), 1);
        assert_eq!((whole[0].items, whole[0].base(Some(100)), whole[0].range(Some(100))), (1000, 0, None));
        // A call without items, such as a loss of no rows, is a call too.
        assert_eq!(parts_of(0, &[100]).unwrap().count(), 1);
        assert!(matches!(
            parts_of(2, &[300_000]),
            Err(Error::LimitExceeded { argument: "input", actual: 1_200_000, .. })
        ));
    }
}
