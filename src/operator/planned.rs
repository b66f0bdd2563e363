//! An operator and its plan, as work for a device.

use super::slots::{Role, Slots};
use super::{Group, Name, Operator};
use crate::gpu::kernel::Dispatch;
use crate::gpu::work::{Part, Work};

/// An operator with its plan and slots.
pub(crate) struct Planned<'a, O: Operator> {
    pub operator: &'a O,
    pub plan: &'a O::Plan,
    pub slots: &'a Slots<O>,
}

impl<O: Operator> Work for Planned<'_, O> {
    fn name(&self) -> &'static str {
        O::NAME
    }

    fn items(&self) -> usize {
        self.slots.items
    }

    fn dispatches(&self, part: &Part, add: &mut dyn FnMut(Dispatch)) {
        self.operator.dispatches(self.plan, part, &self.slots.bind(part), add);
    }

    fn shares(&self) -> Vec<(Name, usize)> {
        let mut shares = Vec::new();
        self.slots.each(&mut |name, slot, _| shares.extend(slot.share.map(|share| (name, share))));
        shares
    }

    fn shapes(&self) -> Vec<(&'static str, Vec<usize>)> {
        let mut shapes = Vec::new();
        self.slots.each(&mut |name, slot, group| {
            if group == Group::Input && slot.role != Role::Unused {
                shapes.push((name.field, slot.shape.to_vec()));
            }
        });
        shapes
    }
}
