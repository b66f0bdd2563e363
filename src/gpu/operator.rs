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

    /// How many items each call takes, so that no binding is too large and each begins where one may.
    pub(super) fn part(&self, operator: &'static str, limits: &wgpu::Limits) -> Result<usize> {
        let maximum = limits.max_storage_buffer_binding_size;
        let bytes = |items: usize, share: usize| items as u64 * share as u64 * ELEMENT_BYTES;
        if self.shares.iter().all(|&(_, share)| bytes(self.items, share) <= maximum) {
            return Ok(self.items);
        }
        let alignment = (u64::from(limits.min_storage_buffer_offset_alignment) / ELEMENT_BYTES).max(1) as usize;
        // Offsets are powers of two, so the least common multiple of what each share needs is the largest of them.
        let step = self.shares.iter().map(|&(_, share)| alignment / power_of_two_in(share, alignment)).max();
        let step = step.unwrap_or(1);
        for &(argument, share) in &self.shares {
            if bytes(step, share) > maximum {
                let limit = "max_storage_buffer_binding_size";
                return Err(Error::LimitExceeded { operator, argument, limit, maximum, actual: bytes(step, share) });
            }
        }
        let fits = self.shares.iter().map(|&(_, share)| maximum / bytes(step, share).max(1)).min().unwrap_or(1);
        Ok(step * fits as usize)
    }
}

/// The largest power of two that divides both, the second being one.
fn power_of_two_in(number: usize, power: usize) -> usize {
    1 << number.trailing_zeros().min(power.trailing_zeros())
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

    /// What runs on this device for this many of its items.
    #[doc(hidden)]
    fn dispatches(&self, gpu: &Gpu, items: usize) -> Vec<Dispatch>;
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
    /// [`Error::LimitExceeded`] for an operator that this device cannot run, [`Error::DeviceLost`],
    /// [`Error::OutOfMemory`].
    pub fn warm_up(&self, operators: &[&dyn Operator]) -> Result<()> {
        let mut dispatches = Vec::new();
        for operator in operators {
            let split = operator.split();
            let part = split.part(operator.name(), self.limits())?.min(split.items);
            let rest = if part == 0 { 0 } else { split.items % part };
            for items in [part, rest].into_iter().filter(|&items| items > 0) {
                dispatches.extend(operator.dispatches(self, items));
            }
        }
        self.warm_up_dispatches(&dispatches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_and_begin_where_bindings_may() {
        let limits = wgpu::Limits {
            max_storage_buffer_binding_size: 1 << 20,
            min_storage_buffer_offset_alignment: 256,
            ..wgpu::Limits::defaults()
        };
        for (items, shares) in [(1000, [1000, 7]), (1 << 22, [1, 1]), (100, [64 * 64, 3]), (12, [200_000, 64])] {
            let split = Split { items, shares: vec![("input", shares[0]), ("output", shares[1])] };
            let part = split.part("op", &limits).unwrap();
            assert!(part > 0 && part < items);
            for share in shares {
                assert!(part * share * 4 <= 1 << 20);
                assert!((part * share * 4).is_multiple_of(256), "{part} of {share}");
            }
        }
        let all = Split { items: 1000, shares: vec![("input", 100)] };
        assert_eq!(all.part("op", &limits), Ok(1000));
        // 64 odd images are the least that end at a multiple of 256 bytes.
        let odd = Split { items: 1000, shares: vec![("input", 5001)] };
        assert!(matches!(
            odd.part("op", &limits),
            Err(Error::LimitExceeded { argument: "input", actual: 1_280_256, .. })
        ));
    }
}
