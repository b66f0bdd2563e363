//! Arguments that are packed, in a layout of the operator's.

use std::fmt;

/// The layout of a packed argument. Get it from the operator that packs, and hand it on with the data. An operator that
/// expects another layout refuses the argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedLayout {
    pub(crate) name: &'static str,
    /// Groups, and the output and input channels of each.
    pub(crate) of: [usize; 3],
}

impl fmt::Display for PackedLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [groups, outputs, inputs] = self.of;
        write!(f, "the layout {} of {groups} groups of {outputs} by {inputs} channels", self.name)
    }
}

/// A packed argument: its data and its layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packed<T> {
    /// The packed data: a tensor, a buffer slice or a slot.
    pub data: T,
    /// The layout, as [`PackWeight::layout`](crate::PackWeight::layout) returns it.
    pub layout: PackedLayout,
}

impl<T> Packed<T> {
    /// A placeholder for a packed argument that the plan does not use.
    #[cfg(feature = "gpu-core")]
    pub(crate) fn unused(data: T) -> Self {
        Packed { data, layout: PackedLayout { name: "none", of: [0; 3] } }
    }
}
