//! What a device knows of an operator: its dispatches, and how they can be cut to fit the device.

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::kernel::Dispatch;
use crate::shape::ELEMENT_BYTES;

/// How an operator can be cut into calls that each run on a part of its buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What is computed apart from each other: images, planes, elements.
    pub items: usize,
    /// How many elements each of them has of an argument. Arguments that are not named are used whole.
    pub shares: Vec<(&'static str, usize)>,
}

impl Split {
    /// An operator that has to run in one.
    pub fn none() -> Self {
        Split { items: 1, shares: Vec::new() }
    }

    /// How many of an argument's elements an item has, if it is one that is cut.
    pub(super) fn share(&self, argument: &str) -> Option<usize> {
        self.shares.iter().find(|(name, _)| *name == argument).map(|(_, share)| *share)
    }

    /// The calls that it takes, such that no binding is too large.
    pub(super) fn parts(&self, operator: &'static str, limits: &wgpu::Limits) -> Result<Vec<Part>> {
        let maximum = limits.max_storage_buffer_binding_size;
        let bytes = |elements: usize| elements as u64 * ELEMENT_BYTES;
        if self.shares.iter().all(|&(_, share)| bytes(self.items * share) <= maximum) {
            return Ok(vec![Part { begin: 0, items: self.items, bases: Vec::new() }]);
        }
        // A binding begins at the alignment before the part, which is somewhere inside of it.
        let alignment = (u64::from(limits.min_storage_buffer_offset_alignment) / ELEMENT_BYTES).max(1) as usize;
        let room = (maximum / ELEMENT_BYTES) as usize;
        let mut fits = self.items;
        for &(argument, share) in &self.shares {
            fits = fits.min(room.saturating_sub(alignment - 1) / share.max(1));
            if fits == 0 {
                let actual = bytes(if share > room { share } else { share + alignment - 1 });
                let limit = "max_storage_buffer_binding_size";
                return Err(Error::LimitExceeded { operator, argument, limit, maximum, actual });
            }
        }
        let part = |begin: usize| Part {
            begin,
            items: fits.min(self.items - begin),
            bases: self.shares.iter().map(|&(name, share)| (name, begin * share % alignment)).collect(),
        };
        Ok((0..self.items).step_by(fits).map(part).collect())
    }
}

/// A call on some of an operator's items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub(super) begin: usize,
    /// How many there are.
    pub items: usize,
    /// Where arguments begin in what is bound of them.
    bases: Vec<(&'static str, usize)>,
}

impl Part {
    /// Where an argument begins in what is bound of it, in elements.
    pub fn base(&self, argument: &str) -> u32 {
        self.bases.iter().find(|(name, _)| *name == argument).map_or(0, |&(_, base)| base as u32)
    }
}

mod sealed {
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// A planned operator: [`Conv2d`](crate::Conv2d) and the like.
pub trait Operator: Sealed + Send + Sync {
    /// Its name, as in PyTorch: `conv2d`.
    fn name(&self) -> &'static str;

    /// How it can be cut.
    #[doc(hidden)]
    fn split(&self) -> Split;

    /// What runs on this device for some of its items.
    #[doc(hidden)]
    fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch>;
}

impl Gpu {
    /// Compiles what recording and calling these operators needs, now rather than then, and on all cores.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Conv2d, Gpu, MaxPool2d, MaxPool2dParams};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let conv = Conv2d::new(&[1, 3, 64, 64], &[8, 3, 3, 3], None, &Default::default())?;
    /// let pool = MaxPool2d::new(&conv.output_shape(), &MaxPool2dParams::new([2, 2]))?;
    /// gpu.warm_up(&[&conv, &pool])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`], and [`Error::LimitExceeded`] for an operator of which not even a
    /// part fits into a binding. Other limits show when it is recorded.
    pub fn warm_up(&self, operators: &[&dyn Operator]) -> Result<()> {
        let mut dispatches = Vec::new();
        for operator in operators {
            dispatches.extend(self.dispatches_of(*operator)?);
        }
        self.warm_up_dispatches(&dispatches)
    }

    /// All that an operator runs on this device, for what compiles its kernels elsewhere too.
    #[doc(hidden)]
    pub fn dispatches_of(&self, operator: &dyn Operator) -> Result<Vec<Dispatch>> {
        let parts = operator.split().parts(operator.name(), self.limits())?;
        Ok(parts.iter().flat_map(|part| operator.dispatches(self, part)).collect())
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
        let shares_of = [[1000, 7], [1, 1], [64 * 64, 3], [200_000, 64], [5001, 260_001]];
        for (items, shares) in [1000, 1 << 22, 100, 12, 7].into_iter().zip(shares_of) {
            let split = Split { items, shares: vec![("input", shares[0]), ("output", shares[1])] };
            let parts = split.parts("op", &limits).unwrap();
            assert!(parts.len() > 1);
            let mut next = 0;
            for part in &parts {
                assert_eq!(part.begin, next);
                next += part.items;
                for (name, share) in ["input", "output"].into_iter().zip(shares) {
                    let base = part.base(name) as usize;
                    assert!((base + part.items * share) * 4 <= 1 << 20);
                    assert!(((part.begin * share - base) * 4).is_multiple_of(256));
                }
            }
            assert_eq!(next, items);
        }
        let all = Split { items: 1000, shares: vec![("input", 100)] };
        assert_eq!(all.parts("op", &limits).unwrap(), [Part { begin: 0, items: 1000, bases: Vec::new() }]);
        let large = Split { items: 2, shares: vec![("input", 300_000)] };
        assert!(matches!(
            large.parts("op", &limits),
            Err(Error::LimitExceeded { argument: "input", actual: 1_200_000, .. })
        ));
    }
}
