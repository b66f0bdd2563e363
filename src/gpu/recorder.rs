//! Recording: the only code that begins passes and dispatches.

use std::fmt;

use smallvec::SmallVec;

use crate::error::{Error, Name, Result};
use crate::gpu::Gpu;
use crate::gpu::kernel::{Access, Dispatch};
use crate::gpu::pipelines::BoundBuffer;
use crate::gpu::work::{Part, Parts, Work};

/// Records operators into a command encoder or a compute pass.
///
/// In an encoder, the first operator begins a compute pass. All later operators go into that pass, and dropping the
/// recorder ends it. A recorder never submits, polls, maps or writes through the queue. Pipelines, uniforms and bind
/// groups come from the [`Gpu`]'s caches; [`Gpu::warm_up`] and [`Operator::warm_up`](crate::Operator::warm_up) fill
/// these ahead.
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    target: Target<'a>,
    /// For an eager call, which is recorded under a lock: whether it must be compiled first.
    is_cold: Option<bool>,
}

// A recorder lives on the stack while an encoder is borrowed; a box would allocate while recording.
#[allow(clippy::large_enum_variant)]
enum Target<'a> {
    Encoder {
        encoder: &'a mut wgpu::CommandEncoder,
        /// The pass's own borrow of the encoder is erased; the field above holds it.
        pass: Option<wgpu::ComputePass<'static>>,
    },
    Pass(&'a mut (dyn Pass + 'a)),
}

impl fmt::Debug for Recorder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = match self.target {
            Target::Encoder { .. } => "encoder",
            Target::Pass(_) => "pass",
        };
        f.debug_struct("Recorder").field("into", &target).field("gpu", self.gpu).finish_non_exhaustive()
    }
}

/// A compute pass of any lifetime.
trait Pass {
    fn dispatch(&mut self, pipeline: &wgpu::ComputePipeline, group: &wgpu::BindGroup, grid: [u32; 2]);
}

impl Pass for wgpu::ComputePass<'_> {
    fn dispatch(&mut self, pipeline: &wgpu::ComputePipeline, group: &wgpu::BindGroup, [x, y]: [u32; 2]) {
        self.set_pipeline(pipeline);
        self.set_bind_group(0, group, &[]);
        self.dispatch_workgroups(x, y, 1);
    }
}

/// A buffer for one of an operator's arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument<'a> {
    pub name: Name,
    pub slice: wgpu::BufferSlice<'a>,
    /// The bytes of it that the operator uses.
    pub bytes: u64,
    pub is_written: bool,
    /// The elements of each item, if the argument can be cut.
    pub share: Option<usize>,
}

/// The arguments of a call.
pub(crate) type ArgumentList<'a> = SmallVec<[Argument<'a>; 8]>;

impl Argument<'_> {
    /// Whether the bytes that both use of one buffer do not overlap.
    fn is_apart_from(&self, other: &Self) -> bool {
        let [begin, other_begin] = [self, other].map(|argument| argument.slice.offset());
        begin + self.bytes <= other_begin || other_begin + other.bytes <= begin
    }

    /// The range of the argument that a part of the call uses.
    fn part(&self, part: &Part) -> Self {
        let Some((begin, bytes)) = part.range(self.share) else { return *self };
        Argument { slice: self.slice.slice(begin..begin + bytes), bytes, ..*self }
    }
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(gpu: &'a Gpu, encoder: &'a mut wgpu::CommandEncoder) -> Self {
        Recorder { gpu, target: Target::Encoder { encoder, pass: None }, is_cold: None }
    }

    pub(crate) fn in_pass(gpu: &'a Gpu, pass: &'a mut wgpu::ComputePass<'_>) -> Self {
        Recorder { gpu, target: Target::Pass(pass), is_cold: None }
    }

    /// A recorder for an eager call, under a lock: it compiles nothing and explains no error.
    pub(crate) fn eager(gpu: &'a Gpu, pass: &'a mut wgpu::ComputePass<'_>) -> Self {
        Recorder { is_cold: Some(false), ..Self::in_pass(gpu, pass) }
    }

    /// The device that it records for.
    pub(crate) fn gpu(&self) -> &Gpu {
        self.gpu
    }

    /// Whether an eager call was not recorded because it must be compiled first.
    pub(crate) fn is_cold(&self) -> bool {
        self.is_cold == Some(true)
    }

    /// Records an operator's dispatches after checking all arguments.
    pub(crate) fn run(&mut self, work: &dyn Work, arguments: &[Argument<'_>]) -> Result<()> {
        let result = self.run_unexplained(work, arguments);
        if self.is_cold.is_some() { result } else { result.map_err(|error| self.gpu.explained(error)) }
    }

    fn run_unexplained(&mut self, work: &dyn Work, arguments: &[Argument<'_>]) -> Result<()> {
        let name = work.name();
        self.gpu.check_device()?;
        self.check_arguments(name, arguments)?;
        let shares = arguments.iter().filter_map(|argument| Some((argument.name, argument.share?)));
        // All that can fail comes before the first command, so either everything is recorded or nothing.
        let mut ready = SmallVec::<[_; 4]>::new();
        for part in Parts::new(name, work.items(), shares, self.gpu.limits())? {
            let cut: ArgumentList<'_> = arguments.iter().map(|argument| argument.part(&part)).collect();
            let mut result = Ok(());
            work.dispatches(&part, &mut |dispatch| {
                if result.is_ok() && !self.is_cold() {
                    // Where nothing runs, as for a view, nothing is bound.
                    let made = self.check_bindings(name, &cut).and_then(|()| self.make_ready(name, &cut, &dispatch));
                    result = made.map(|made| ready.extend(made));
                }
            });
            result?;
            if self.is_cold() {
                return Ok(());
            }
        }
        if ready.is_empty() {
            return Ok(());
        }
        let most = self.gpu.limits().max_compute_workgroups_per_dimension;
        let pass: &mut dyn Pass = match &mut self.target {
            Target::Pass(pass) => *pass,
            Target::Encoder { encoder, pass } => pass.get_or_insert_with(|| {
                let descriptor = wgpu::ComputePassDescriptor { label: Some("wgdnn"), timestamp_writes: None };
                encoder.begin_compute_pass(&descriptor).forget_lifetime()
            }),
        };
        for (pipeline, group, workgroups) in &ready {
            pass.dispatch(pipeline, group, grid(*workgroups, most));
        }
        Ok(())
    }

    /// What a dispatch puts into the pass; `None` if it must be compiled and may not be.
    fn make_ready(
        &mut self,
        operator: &'static str,
        arguments: &[Argument<'_>],
        dispatch: &Dispatch,
    ) -> Result<Option<(wgpu::ComputePipeline, wgpu::BindGroup, u32)>> {
        self.check_dispatch(operator, dispatch)?;
        let bindings = bindings(operator, arguments, dispatch)?;
        let made = self.gpu.ready(dispatch, &bindings, self.is_cold.is_none());
        let made = made.map_err(|error| self.blame(operator, arguments, error))?;
        if made.is_none() {
            self.is_cold = Some(true);
        }
        Ok(made.map(|(pipeline, group)| (pipeline, group, dispatch.workgroups)))
    }

    fn check_arguments(&self, operator: &'static str, arguments: &[Argument<'_>]) -> Result<()> {
        let limits = self.gpu.limits();
        for argument in arguments {
            let invalid = |expected: String, actual: String| Err(argument.name.invalid(operator, expected, actual));
            if argument.slice.size() < argument.bytes {
                return invalid(
                    format!("a buffer of at least {} bytes", argument.bytes),
                    format!("{} bytes", argument.slice.size()),
                );
            }
            let alignment = u64::from(limits.min_storage_buffer_offset_alignment);
            if !argument.slice.offset().is_multiple_of(alignment) {
                return invalid(
                    format!("an offset that is a multiple of {alignment} bytes"),
                    format!("{} bytes", argument.slice.offset()),
                );
            }
            let usage = argument.slice.buffer().usage();
            if !usage.contains(wgpu::BufferUsages::STORAGE) {
                return invalid("a buffer with the usage STORAGE".into(), format!("{usage:?}"));
            }
        }
        // wgpu tracks whole buffers, so even ranges of one that do not overlap cannot be read and written together.
        for (index, written) in arguments.iter().enumerate().filter(|(_, argument)| argument.is_written) {
            for (other_index, other) in arguments.iter().enumerate() {
                if index == other_index || written.slice.buffer() != other.slice.buffer() {
                    continue;
                }
                let expected = match other.is_written {
                    true if written.is_apart_from(other) => continue,
                    true => "a range that no other argument overlaps",
                    false => "a buffer that no other argument uses",
                };
                return Err(written.name.invalid(operator, expected, format!("the buffer of {}", other.name)));
            }
        }
        Ok(())
    }

    /// wgpu's error about bindings, with the name of the argument whose buffer causes it.
    fn blame(&self, operator: &'static str, arguments: &[Argument<'_>], error: Error) -> Error {
        if !matches!(error, Error::Validation { .. }) {
            return error;
        }
        let refused = arguments.iter().find_map(|argument| {
            let result = self.gpu.try_binding(argument.slice.buffer(), argument.slice.offset(), argument.bytes);
            Some((argument.name, result.err()?))
        });
        match refused {
            // On a lost device every buffer fails.
            Some((argument, reason)) if !self.gpu.is_lost() => reason.about_buffer(operator, argument),
            _ => error,
        }
    }

    fn check_bindings(&self, operator: &'static str, arguments: &[Argument<'_>]) -> Result<()> {
        let maximum = self.gpu.limits().max_storage_buffer_binding_size;
        match arguments.iter().find(|argument| argument.bytes > maximum) {
            Some(&Argument { name: Name { field: argument, index: item }, bytes: actual, .. }) => {
                let limit = "max_storage_buffer_binding_size";
                Err(Error::LimitExceeded { operator, argument, item, limit, maximum, actual })
            }
            None => Ok(()),
        }
    }

    fn check_dispatch(&self, operator: &'static str, dispatch: &Dispatch) -> Result<()> {
        let limits = self.gpu.limits();
        let most = u64::from(limits.max_compute_workgroups_per_dimension);
        for (limit, maximum, actual) in [
            ("the square of max_compute_workgroups_per_dimension", most * most, u64::from(dispatch.workgroups)),
            (
                "max_storage_buffers_per_shader_stage",
                u64::from(limits.max_storage_buffers_per_shader_stage),
                dispatch.kernel.storage.len() as u64,
            ),
        ] {
            if actual > maximum {
                return Err(Error::LimitExceeded { operator, argument: "output", item: None, limit, maximum, actual });
            }
        }
        Ok(())
    }
}

/// A dispatch's storage bindings. A binding without an argument, or one that writes a read-only argument, is a defect
/// of the operator.
fn bindings<'a>(
    operator: &'static str,
    arguments: &[Argument<'a>],
    dispatch: &Dispatch,
) -> Result<SmallVec<[BoundBuffer<'a>; 8]>> {
    let each =
        dispatch.kernel.storage.iter().zip(&dispatch.arguments).map(|(&(number, access), &index)| {
            match arguments.get(index as usize) {
                Some(argument) if argument.is_written || access == Access::Read => {
                    let (buffer, offset) = (argument.slice.buffer(), argument.slice.offset());
                    Ok(BoundBuffer { number, buffer, offset, bytes: argument.bytes })
                }
                argument => Err(argument.map_or("workspace".into(), |argument| argument.name).invalid(
                    operator,
                    if argument.is_some() { "an argument that is declared as written" } else { "a declared argument" },
                    format!("binding {number} of {}::{}", dispatch.kernel.file, dispatch.kernel.entry_point),
                )),
            }
        });
    let bound: SmallVec<[BoundBuffer<'a>; 8]> = each.collect::<Result<_>>()?;
    // Ranges of one buffer: wgpu takes them if all are written, or none.
    for (index, one) in bound.iter().enumerate() {
        for (other_index, other) in bound[..index].iter().enumerate() {
            let accesses = [index, other_index].map(|index| dispatch.kernel.storage[index].1);
            if one.buffer == other.buffer && accesses[0] != accesses[1] {
                let of = |index: usize| arguments[dispatch.arguments[index] as usize].name;
                let actual = format!("the buffer of {}", of(other_index));
                return Err(of(index).invalid(operator, "a buffer that no other argument uses", actual));
            }
        }
    }
    Ok(bound)
}

/// Spreads workgroups over two dimensions, neither above `most`. The surplus workgroups end at once.
fn grid(workgroups: u32, most: u32) -> [u32; 2] {
    let y = workgroups.div_ceil(most).max(1);
    [workgroups.div_ceil(y), y]
}

#[cfg(test)]
mod tests {
    use super::grid;

    #[test]
    fn grid_holds_all_workgroups() {
        for workgroups in [0, 1, 65_535, 65_536, 1_000_003, 1 << 24] {
            let [x, y] = grid(workgroups, 65_535);
            assert!(x <= 65_535 && y <= 65_535);
            assert!(u64::from(x) * u64::from(y) >= u64::from(workgroups));
        }
    }
}
