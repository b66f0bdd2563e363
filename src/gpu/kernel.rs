//! A kernel: one entry point of one WGSL file, and what a dispatch of it needs.

use smallvec::SmallVec;

use crate::gpu::capabilities::Capabilities;
use crate::parts::joined;
use crate::window::Window;

/// The workgroup size, unless a kernel's file declares another.
pub(crate) const WORKGROUP_SIZE: u32 = 64;

/// The elements of a block, which is loaded and stored at once.
pub(crate) const BLOCK: u32 = 4;

/// What a shader does with a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// The type of a member of a uniform struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `f32`
    F32,
    /// `Window`, as shaders/parts/window.wgsl has it.
    Window,
    /// `vec4<u32>`
    Vector,
}

/// An entry point of a WGSL file. Every file binds its uniform at 0 and storage buffers from 1 on, in group 0.
#[derive(Debug)]
pub struct Kernel {
    /// The module's name: the file's name, or that of a variant.
    pub module: &'static str,
    /// The file's name in `shaders/`, without `.wgsl`.
    pub file: &'static str,
    /// The file's text.
    pub text: &'static str,
    /// Which alternative parts to take; of all others the first.
    pub variants: &'static [&'static str],
    /// The entry point.
    pub entry_point: &'static str,
    /// The binding numbers and accesses of the storage buffers.
    pub storage: &'static [(u32, Access)],
    /// The names and types of the uniform's members, in order and without gaps.
    pub uniform: &'static [(&'static str, Member)],
}

impl Kernel {
    /// The module's text: the file after its parts.
    pub fn source(&self) -> String {
        joined(self.text, self.variants)
    }
}

/// Defines a [`Kernel`]: file, entry point, uniform struct, storage bindings. If the file names alternative parts,
/// `with` chooses among them and `as` names that module.
macro_rules! kernel {
    ($file:literal, $($rest:tt)*) => {
        $crate::gpu::kernel::kernel!(@ $file, $file, &[], $($rest)*)
    };
    ($file:literal with $($variant:literal)+ as $module:expr, $($rest:tt)*) => {
        $crate::gpu::kernel::kernel!(@ $file, $module, &[$($variant),+], $($rest)*)
    };
    (
        @ $file:literal, $module:expr, $variants:expr, $entry_point:literal, $uniform:ty,
        [$(($number:literal, $access:ident)),* $(,)?]
    ) => {
        $crate::gpu::kernel::Kernel {
            module: $module,
            file: $file,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file, ".wgsl")),
            variants: $variants,
            entry_point: $entry_point,
            storage: &[$(($number, $crate::gpu::kernel::Access::$access)),*],
            uniform: <$uniform>::MEMBERS,
        }
    };
}
pub(crate) use kernel;

/// A Rust type that can be a member of a uniform.
pub(crate) trait UniformMember: Copy {
    const MEMBER: Member;
    fn append_to(self, bytes: &mut UniformBytes);
}

macro_rules! uniform_member {
    ($($rust:ty => $member:ident),*) => {$(
        impl UniformMember for $rust {
            const MEMBER: Member = Member::$member;
            fn append_to(self, bytes: &mut UniformBytes) {
                bytes.extend(self.to_ne_bytes());
            }
        }
    )*};
}
uniform_member!(u32 => U32, i32 => I32, f32 => F32);

impl UniformMember for [u32; 4] {
    const MEMBER: Member = Member::Vector;
    fn append_to(self, bytes: &mut UniformBytes) {
        self.into_iter().for_each(|value| value.append_to(bytes));
    }
}

/// The Rust twin of `Window` in shaders/parts/window.wgsl.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UniformWindow {
    pub kernel: i32,
    pub stride: i32,
    pub padding: i32,
    pub dilation: i32,
}

impl UniformMember for UniformWindow {
    const MEMBER: Member = Member::Window;
    fn append_to(self, bytes: &mut UniformBytes) {
        for value in [self.kernel, self.stride, self.padding, self.dilation] {
            value.append_to(bytes);
        }
    }
}

impl From<&Window> for UniformWindow {
    fn from(window: &Window) -> Self {
        UniformWindow {
            kernel: window.kernel as i32,
            stride: window.stride as i32,
            padding: window.padding_before as i32,
            dilation: window.dilation as i32,
        }
    }
}

/// Defines the Rust twin of a WGSL uniform struct: windows and vectors of 16 bytes, then members of 4 bytes, so that the layout is
/// their order. A test compares names and offsets with naga's.
macro_rules! uniform {
    ($visibility:vis struct $name:ident { $($member:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Clone, Copy, Default)]
        $visibility struct $name {
            $($visibility $member: $type),*
        }

        impl $name {
            $visibility const MEMBERS: &'static [(&'static str, $crate::gpu::kernel::Member)] =
                &[$((stringify!($member), <$type as $crate::gpu::kernel::UniformMember>::MEMBER)),*];

            $visibility fn to_bytes(self) -> $crate::gpu::kernel::UniformBytes {
                let mut bytes = $crate::gpu::kernel::UniformBytes::new();
                $($crate::gpu::kernel::UniformMember::append_to(self.$member, &mut bytes);)*
                // OpenGL needs uniform blocks in multiples of 16 bytes.
                bytes.resize(bytes.len().next_multiple_of(16), 0);
                bytes
            }
        }
    };
}
pub(crate) use uniform;

/// The bytes of a uniform.
pub(crate) type UniformBytes = SmallVec<[u8; 128]>;

/// An argument as a dispatch binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Its index among the arguments of the call.
    pub(crate) index: u32,
    /// Where the part's elements begin in the binding, in elements.
    pub(crate) base: u32,
}

impl Binding {
    /// Stands for an argument that the call does not have.
    pub(crate) const ABSENT: Self = Binding { index: u32::MAX, base: 0 };
}

/// One dispatch of an operator, before buffers are bound to it.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The kernel to run.
    pub kernel: &'static Kernel,
    /// The values of the shader's `override` constants.
    pub constants: SmallVec<[(&'static str, f64); 4]>,
    /// The uniform's bytes.
    pub uniform: UniformBytes,
    /// The index of the operator's argument at each of the kernel's storage bindings.
    pub arguments: SmallVec<[u32; 8]>,
    /// The number of workgroups.
    pub workgroups: u32,
}

impl Dispatch {
    /// A dispatch of this many workgroups on arguments in the order of the kernel's bindings.
    pub(crate) fn per_workgroup(
        kernel: &'static Kernel,
        uniform: UniformBytes,
        arguments: &[Binding],
        workgroups: usize,
    ) -> Self {
        debug_assert_eq!(arguments.len(), kernel.storage.len(), "{}::{}", kernel.file, kernel.entry_point);
        let arguments = arguments.iter().map(|binding| binding.index).collect();
        Dispatch { kernel, constants: SmallVec::new(), uniform, arguments, workgroups: workgroups as u32 }
    }

    /// A dispatch with one invocation for each of `invocations` elements.
    pub(crate) fn per_element(
        kernel: &'static Kernel,
        uniform: UniformBytes,
        arguments: &[Binding],
        invocations: usize,
    ) -> Self {
        let workgroups = invocations.div_ceil(WORKGROUP_SIZE as usize);
        Self::per_workgroup(kernel, uniform, arguments, workgroups).with_constant("WORKGROUP_SIZE", WORKGROUP_SIZE)
    }

    /// The same dispatch, with one of the shader's `override` constants set.
    pub(crate) fn with_constant(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, f64::from(value)));
        self
    }
}

/// The kernels for elements from `base` on, with the number of invocations and the first element of each: whole blocks go to
/// one if there is one and they begin at a block, the rest to another.
pub(crate) fn blocks_and_rest(
    blocks: Option<&'static Kernel>,
    elements: &'static Kernel,
    base: u32,
    count: usize,
) -> impl Iterator<Item = (&'static Kernel, u32, u32)> {
    let count = count as u32;
    let blocks = blocks.filter(|_| base.is_multiple_of(BLOCK)).map(|kernel| (kernel, count / BLOCK, 0));
    let first = blocks.map_or(0, |(_, count, _)| count * BLOCK);
    blocks.into_iter().chain([(elements, count - first, first)]).filter(|(_, count, _)| *count > 0)
}

/// A range of a nest of three loops: begin and end of each loop.
pub(crate) type LoopPart = [std::ops::Range<u32>; 3];

/// Most nests are one range.
pub(crate) type LoopParts = SmallVec<[LoopPart; 1]>;

/// Cuts a nest of three loops, outermost first, into ranges that each stay within [`Capabilities::loop_budget`]. An
/// iteration of the innermost loop counts as `cost`, for the loops inside it.
///
/// The ranges come in the nest's own order, so results that are carried from one to the next stay deterministic.
pub(crate) fn split_loops(on: &Capabilities, lengths: [usize; 3], cost: u32) -> LoopParts {
    split_within(on.loop_budget, lengths, cost)
}

fn split_within(budget: u32, lengths: [usize; 3], cost: u32) -> LoopParts {
    let [outer, middle, inner] = lengths.map(|length| length as u32);
    if budget == u32::MAX {
        return smallvec::smallvec![[0..outer, 0..middle, 0..inner]];
    }
    let budget = budget / cost;
    let inner_step = inner.min(budget - 2);
    // An iteration costs 1 and all that it runs.
    let middle_cost = 1 + inner_step;
    let middle_step = if inner_step < inner { 1 } else { ((budget - 1) / middle_cost).clamp(1, middle) };
    let outer_cost = 1 + middle_step * middle_cost;
    let whole_middle = middle_step == middle && inner_step == inner;
    let outer_step = if whole_middle { (budget / outer_cost).clamp(1, outer) } else { 1 };

    let mut parts = LoopParts::new();
    for outer_begin in (0..outer).step_by(outer_step as usize) {
        for middle_begin in (0..middle).step_by(middle_step as usize) {
            for inner_begin in (0..inner).step_by(inner_step as usize) {
                parts.push([
                    outer_begin..(outer_begin + outer_step).min(outer),
                    middle_begin..(middle_begin + middle_step).min(middle),
                    inner_begin..(inner_begin + inner_step).min(inner),
                ]);
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_loops_covers_everything_within_the_budget() {
        for lengths in [
            [1, 1, 1],
            [3, 5, 5],
            [7168, 3, 3],
            [70_000, 1, 1],
            [2, 300, 300],
            [1, 70_000, 1],
            [2, 2, 70_000],
            [32, 32, 32],
        ] {
            let budget = 32_000;
            let parts = split_within(budget, lengths, 1);
            let mut covered = 0;
            for [outer, middle, inner] in &parts {
                let [o, m, i] = [outer.len(), middle.len(), inner.len()];
                assert!(o * (1 + m * (1 + i)) <= budget as usize, "{lengths:?}: {o} {m} {i}");
                covered += o * m * i;
            }
            assert_eq!(covered, lengths.iter().product::<usize>(), "{lengths:?}");
            assert!(parts[0].iter().all(|range| range.start == 0));
        }
        assert_eq!(split_within(32_000, [64, 3, 3], 1).len(), 1);
        assert_eq!(split_within(u32::MAX, [70_000, 300, 300], 6)[..], [[0..70_000, 0..300, 0..300]]);
    }
}
