//! Recording: the only code that begins passes and dispatches.

use std::fmt;

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::kernel::{Access, Dispatch};
use crate::gpu::operator::{Operator, Part, Split};
use crate::gpu::pipelines::Binding;
use crate::shape::ELEMENT_BYTES;

/// Records operators into a command encoder or a compute pass.
///
/// Into an encoder, its first operator begins a compute pass, which holds all that follow and ends when the recorder is
/// dropped. It never submits, polls, maps or writes through the queue; pipelines, uniforms and bind groups come from the
/// [`Gpu`]'s caches, which [`Gpu::warm_up`] and an operator's own `warm_up` fill ahead.
pub struct Recorder<'a> {
    gpu: &'a Gpu,
    target: Target<'a>,
    /// Of an eager call, which is recorded under a lock: whether it would have to compile something.
    is_cold: Option<bool>,
}

// A recorder lives on the stack for as long as one encoder is borrowed; a box would be an allocation while recording.
#[allow(clippy::large_enum_variant)]
enum Target<'a> {
    Encoder {
        encoder: &'a mut wgpu::CommandEncoder,
        /// Its own borrow of the encoder is forgotten; the one above stands for it.
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

/// A buffer that stands for one of an operator's arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument<'a> {
    pub name: &'static str,
    pub slice: wgpu::BufferSlice<'a>,
    /// How many bytes of it the operator uses. An empty array is bound too, with room for one element.
    pub bytes: u64,
    pub access: Access,
}

impl<'a> Argument<'a> {
    pub fn read(name: &'static str, slice: wgpu::BufferSlice<'a>, elements: usize) -> Self {
        Argument { name, slice, bytes: elements.max(1) as u64 * ELEMENT_BYTES, access: Access::Read }
    }

    /// An argument that an operator was made with or without: `elements` says which, and the buffer must agree.
    pub fn optional(
        operator: &'static str,
        name: &'static str,
        slice: Option<wgpu::BufferSlice<'a>>,
        elements: Option<usize>,
    ) -> Result<Option<Self>> {
        match (slice, elements) {
            (Some(slice), Some(elements)) => Ok(Some(Argument::read(name, slice, elements))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Error::invalid(operator, name, "none", "a buffer")),
            (None, Some(elements)) => {
                let bytes = elements.max(1) as u64 * ELEMENT_BYTES;
                Err(Error::invalid(operator, name, format!("a buffer of at least {bytes} bytes"), "none"))
            }
        }
    }

    /// The workspace of an operator that needs `elements` of it; one that is not needed is not looked at.
    pub fn workspace(
        operator: &'static str,
        slice: Option<wgpu::BufferSlice<'a>>,
        elements: usize,
    ) -> Result<Option<Self>> {
        let Some(slice) = slice.filter(|_| elements > 0) else {
            if elements == 0 {
                return Ok(None);
            }
            let bytes = elements as u64 * ELEMENT_BYTES;
            let expected = format!("a buffer of at least {bytes} bytes, as workspace_size or workspace_size_on tells");
            return Err(Error::invalid(operator, "workspace", expected, "none"));
        };
        Ok(Some(Argument::write("workspace", slice, elements)))
    }

    /// What a part of an operator's items uses of it.
    fn part(&self, split: &Split, part: &Part) -> Self {
        let Some(share) = split.share(self.name).filter(|_| part.items < split.items) else { return *self };
        let base = part.base(self.name) as usize;
        let [begin, bytes] =
            [part.begin * share - base, base + part.items * share].map(|elements| elements as u64 * ELEMENT_BYTES);
        Argument { slice: self.slice.slice(begin..begin + bytes), bytes, ..*self }
    }

    /// The same argument, written too.
    pub fn written(self) -> Self {
        Argument { access: Access::ReadWrite, ..self }
    }

    pub fn write(name: &'static str, slice: wgpu::BufferSlice<'a>, elements: usize) -> Self {
        Argument::read(name, slice, elements).written()
    }
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(gpu: &'a Gpu, encoder: &'a mut wgpu::CommandEncoder) -> Self {
        Recorder { gpu, target: Target::Encoder { encoder, pass: None }, is_cold: None }
    }

    pub(crate) fn in_pass(gpu: &'a Gpu, pass: &'a mut wgpu::ComputePass<'_>) -> Self {
        Recorder { gpu, target: Target::Pass(pass), is_cold: None }
    }

    /// For an eager call: under a lock, which nothing is compiled under, and no error is looked into.
    pub(crate) fn eager(gpu: &'a Gpu, pass: &'a mut wgpu::ComputePass<'_>) -> Self {
        Recorder { is_cold: Some(false), ..Self::in_pass(gpu, pass) }
    }

    /// The device that it records for.
    pub(crate) fn gpu(&self) -> &Gpu {
        self.gpu
    }

    /// Whether an eager call was not recorded, since it has to be compiled first.
    pub(crate) fn is_cold(&self) -> bool {
        self.is_cold == Some(true)
    }

    /// Records an operator's dispatches on its arguments, once all of them are known to be right.
    pub(crate) fn run(&mut self, operator: &dyn Operator, arguments: &[Argument<'_>]) -> Result<()> {
        let result = self.run_unexplained(operator, arguments);
        if self.is_cold.is_some() { result } else { result.map_err(|error| self.gpu.explained(error)) }
    }

    fn run_unexplained(&mut self, operator: &dyn Operator, arguments: &[Argument<'_>]) -> Result<()> {
        let name = operator.name();
        self.gpu.check_device()?;
        self.check_arguments(name, arguments)?;
        let split = operator.split();
        // All that can still fail comes before the first command: it is the whole or nothing.
        let mut ready = Vec::new();
        for part in split.parts(name, self.gpu.limits())? {
            let cut: Vec<_> = arguments.iter().map(|argument| argument.part(&split, &part)).collect();
            self.check_bindings(name, &cut)?;
            for dispatch in operator.dispatches(self.gpu, &part) {
                self.check_dispatch(name, &dispatch)?;
                let bindings = bindings(&cut, &dispatch);
                let made = self.gpu.ready(&dispatch, &bindings, self.is_cold.is_none());
                let Some((pipeline, group)) = made.map_err(|error| self.blame(name, &cut, error))? else {
                    self.is_cold = Some(true);
                    return Ok(());
                };
                ready.push((pipeline, group, dispatch.workgroups));
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

    fn check_arguments(&self, operator: &'static str, arguments: &[Argument<'_>]) -> Result<()> {
        let limits = self.gpu.limits();
        for argument in arguments {
            let invalid =
                |expected: String, actual: String| Err(Error::invalid(operator, argument.name, expected, actual));
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
        // wgpu tracks whole buffers, so even disjoint ranges of one cannot be read and written together.
        for (index, written) in arguments.iter().enumerate() {
            for (other_index, other) in arguments.iter().enumerate() {
                if written.access == Access::ReadWrite
                    && index != other_index
                    && written.slice.buffer() == other.slice.buffer()
                {
                    return Err(Error::invalid(
                        operator,
                        written.name,
                        "a buffer that no other argument uses",
                        format!("the buffer of {}", other.name),
                    ));
                }
            }
        }
        Ok(())
    }

    /// An error of wgpu's about bindings, with the argument's name if the buffer of one is behind it.
    fn blame(&self, operator: &'static str, arguments: &[Argument<'_>], error: Error) -> Error {
        if !matches!(error, Error::Validation { .. }) {
            return error;
        }
        let refused = arguments.iter().find_map(|argument| {
            let result = self.gpu.try_binding(argument.slice.buffer(), argument.slice.offset(), argument.bytes);
            Some((argument.name, result.err()?))
        });
        match refused {
            // On a lost device every buffer is wrong.
            Some((argument, reason)) if !self.gpu.is_lost() => foreign_buffer(operator, argument, reason),
            _ => error,
        }
    }

    fn check_bindings(&self, operator: &'static str, arguments: &[Argument<'_>]) -> Result<()> {
        let maximum = self.gpu.limits().max_storage_buffer_binding_size;
        match arguments.iter().find(|argument| argument.bytes > maximum) {
            Some(&Argument { name: argument, bytes: actual, .. }) => {
                let limit = "max_storage_buffer_binding_size";
                Err(Error::LimitExceeded { operator, argument, limit, maximum, actual })
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
                return Err(Error::LimitExceeded { operator, argument: "output", limit, maximum, actual });
            }
        }
        Ok(())
    }
}

/// The error about a buffer that wgpu refuses, made of wgpu's own.
pub(super) fn foreign_buffer(operator: &'static str, argument: &'static str, error: Error) -> Error {
    match error {
        Error::Validation { reason } => {
            // The lines above tell where inside of wgpu it was.
            let reason = reason.trim_end().lines().last().unwrap_or_default().trim();
            Error::invalid(operator, argument, "a buffer of this device, neither destroyed nor mapped", reason)
        }
        error => error,
    }
}

/// A dispatch's storage bindings.
fn bindings<'a>(arguments: &[Argument<'a>], dispatch: &Dispatch) -> Vec<Binding<'a>> {
    let numbers = dispatch.kernel.storage.iter().map(|&(number, _)| number);
    numbers
        .zip(&dispatch.arguments)
        .map(|(number, name)| {
            let argument = arguments
                .iter()
                .find(|argument| argument.name == *name)
                .expect("an operator's dispatches use only the arguments that it passes");
            Binding { number, buffer: argument.slice.buffer(), offset: argument.slice.offset(), bytes: argument.bytes }
        })
        .collect()
}

/// Spreads workgroups over two dimensions, neither above `most`; the few too many end at once.
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
