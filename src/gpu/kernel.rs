//! A kernel: one entry point of one WGSL file, and what a dispatch of it needs.

use crate::gpu::Gpu;
use crate::shape::{REDUCTION_ITEMS, REDUCTION_LANES};

/// The workgroup size, except where a kernel's own file says otherwise.
pub(crate) const WORKGROUP_SIZE: u32 = 64;

/// How many elements are loaded and stored at once, where a buffer is made of such blocks.
pub(crate) const BLOCK: u32 = 4;

/// How many elements of the output an invocation computes, where it finds its first by divisions. A GPU would rather have
/// neighbouring invocations at neighbouring elements.
pub(crate) fn outputs_per_invocation(gpu: &Gpu) -> usize {
    if gpu.is_software() { 4 } else { 1 }
}

/// What a shader does with a storage buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// A 4-byte member of a uniform struct.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// `u32`
    U32,
    /// `i32`
    I32,
    /// `f32`
    F32,
}

/// An entry point of a WGSL file. Every file binds its uniform at 0 and storage buffers from 1 on, in group 0.
#[derive(Debug)]
pub struct Kernel {
    /// The file's name in `shaders/`, without `.wgsl`, or that and what tells its variants apart.
    pub file: &'static str,
    /// The file's text, with what it shares in front.
    pub source: &'static str,
    /// The entry point.
    pub entry_point: &'static str,
    /// Binding numbers and accesses of the storage buffers.
    pub storage: &'static [(u32, Access)],
    /// Names and types of the uniform's members, in order, without gaps.
    pub uniform: &'static [(&'static str, Scalar)],
}

/// Defines a [`Kernel`]: file, entry point, uniform struct, storage bindings. A text that several files share comes from
/// `shaders/shared` and goes in front; the name then tells by which of them it is another module.
macro_rules! kernel {
    ($file:literal, $entry_point:literal, $uniform:ty, $storage:tt) => {
        $crate::gpu::kernel::kernel!($file = [] $file, $entry_point, $uniform, $storage)
    };
    (
        $name:literal = [$($shared:literal),*] $file:literal, $entry_point:literal, $uniform:ty,
        [$(($number:literal, $access:ident)),* $(,)?]
    ) => {
        $crate::gpu::kernel::Kernel {
            file: $name,
            source: concat!(
                $(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/shared/", $shared, ".wgsl")), "\n",)*
                include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $file, ".wgsl")),
            ),
            entry_point: $entry_point,
            storage: &[$(($number, $crate::gpu::kernel::Access::$access)),*],
            uniform: <$uniform>::MEMBERS,
        }
    };
}
pub(crate) use kernel;

/// Two [`Kernel`]s of one file that binds input, weight, bias and output: the portable one loads weights for every
/// invocation, the other shares loads in subgroups. What both share comes behind that.
macro_rules! weights_kernels {
    ($file:literal = [$($shared:literal),*], $subgroup:literal, $entry_point:literal, $uniform:ty) => {
        [
            $crate::gpu::kernel::kernel!(
                $file = ["weights" $(, $shared)*] $file,
                $entry_point,
                $uniform,
                [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
            ),
            $crate::gpu::kernel::kernel!(
                $subgroup = ["weights_subgroup" $(, $shared)*] $file,
                $entry_point,
                $uniform,
                [(1, Read), (2, Read), (3, Read), (4, ReadWrite)]
            ),
        ]
    };
}
pub(crate) use weights_kernels;

/// That of [`weights_kernels`] which runs on this device.
pub(crate) fn weights_kernel(gpu: &Gpu, [portable, subgroup]: &'static [Kernel; 2]) -> &'static Kernel {
    if gpu.has(wgpu::Features::SUBGROUP) { subgroup } else { portable }
}

/// A Rust type that can be a member of a uniform.
pub(crate) trait UniformMember: Copy {
    const SCALAR: Scalar;
    fn to_bytes(self) -> [u8; 4];
}

macro_rules! uniform_member {
    ($($rust:ty => $scalar:ident),*) => {$(
        impl UniformMember for $rust {
            const SCALAR: Scalar = Scalar::$scalar;
            fn to_bytes(self) -> [u8; 4] {
                self.to_ne_bytes()
            }
        }
    )*};
}
uniform_member!(u32 => U32, i32 => I32, f32 => F32);

/// Defines the Rust twin of a WGSL uniform struct whose members are all 4 bytes, so that its layout is their order.
/// A test holds the names and offsets against naga's.
macro_rules! uniform {
    ($visibility:vis struct $name:ident { $($member:ident: $type:ty),* $(,)? }) => {
        #[derive(Debug, Clone, Copy, Default)]
        $visibility struct $name {
            $($visibility $member: $type),*
        }

        impl $name {
            $visibility const MEMBERS: &'static [(&'static str, $crate::gpu::kernel::Scalar)] =
                &[$((stringify!($member), <$type as $crate::gpu::kernel::UniformMember>::SCALAR)),*];

            $visibility fn to_bytes(self) -> Vec<u8> {
                [$($crate::gpu::kernel::UniformMember::to_bytes(self.$member)),*].concat()
            }
        }
    };
}
pub(crate) use uniform;

/// One dispatch of an operator, before it is tied to buffers.
#[derive(Debug)]
pub struct Dispatch {
    /// What is run.
    pub kernel: &'static Kernel,
    /// Values of the shader's `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// The uniform's bytes.
    pub uniform: Vec<u8>,
    /// The operator's argument at each of the kernel's storage bindings.
    pub(crate) arguments: Vec<&'static str>,
    /// How many workgroups there are.
    pub workgroups: u32,
}

impl Dispatch {
    /// A dispatch of this many workgroups.
    pub(crate) fn per_workgroup(
        kernel: &'static Kernel,
        uniform: Vec<u8>,
        arguments: Vec<&'static str>,
        workgroups: usize,
    ) -> Self {
        Dispatch { kernel, constants: Vec::new(), uniform, arguments, workgroups: workgroups as u32 }
    }

    /// A dispatch with one invocation for each of `invocations` elements.
    pub(crate) fn per_element(
        kernel: &'static Kernel,
        uniform: Vec<u8>,
        arguments: Vec<&'static str>,
        invocations: usize,
    ) -> Self {
        let workgroups = invocations.div_ceil(WORKGROUP_SIZE as usize);
        Self::per_workgroup(kernel, uniform, arguments, workgroups).with_constant("WORKGROUP_SIZE", WORKGROUP_SIZE)
    }

    /// A dispatch of a reduction: each workgroup leaves one sum.
    pub(crate) fn reduction(
        kernel: &'static Kernel,
        uniform: Vec<u8>,
        arguments: Vec<&'static str>,
        workgroups: usize,
    ) -> Self {
        Self::per_workgroup(kernel, uniform, arguments, workgroups)
            .with_constant("WORKGROUP_SIZE", REDUCTION_LANES as u32)
            .with_constant("ITEMS", REDUCTION_ITEMS as u32)
    }

    /// The dispatch with one of the shader's `override` constants set.
    pub(crate) fn with_constant(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, f64::from(value)));
        self
    }
}

/// A part of a nest of three loops: begin and end of each.
pub(crate) type LoopPart = [std::ops::Range<u32>; 3];

/// Cuts a nest of three loops, outermost first, into parts that each stay within [`Gpu::loop_budget`], where an iteration
/// of the innermost counts as `cost`, for what loops inside it.
///
/// The parts come in the nest's own order, so results that are carried from one to the next stay deterministic.
pub(crate) fn split_loops(gpu: &Gpu, lengths: [usize; 3], cost: u32) -> Vec<LoopPart> {
    split_within(gpu.loop_budget(), lengths, cost)
}

fn split_within(budget: u32, lengths: [usize; 3], cost: u32) -> Vec<LoopPart> {
    let [outer, middle, inner] = lengths.map(|length| length as u32);
    if budget == u32::MAX {
        return vec![[0..outer, 0..middle, 0..inner]];
    }
    let budget = budget / cost;
    let inner_step = inner.min(budget - 2);
    // An iteration of a loop costs itself and all that it runs.
    let middle_cost = 1 + inner_step;
    let middle_step = if inner_step < inner { 1 } else { ((budget - 1) / middle_cost).clamp(1, middle) };
    let outer_cost = 1 + middle_step * middle_cost;
    let whole_middle = middle_step == middle && inner_step == inner;
    let outer_step = if whole_middle { (budget / outer_cost).clamp(1, outer) } else { 1 };

    let mut parts = Vec::new();
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
        assert_eq!(split_within(u32::MAX, [70_000, 300, 300], 6), [[0..70_000, 0..300, 0..300]]);
    }
}
