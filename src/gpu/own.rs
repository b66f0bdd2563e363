//! A caller's own dispatches among the eager calls.

use crate::error::{Error, Result};
use crate::gpu::eager::Recorded;
use crate::gpu::profile::QuerySet;
use crate::gpu::tensor::{Element, Storage, Tensor};
use crate::gpu::{Gpu, lock};

const NAME: &str = "record_own";

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for crate::Tensor<T> {}
}

/// What [`Gpu::record_own`] needs of a tensor.
pub struct Parts<'a> {
    gpu: &'a Gpu,
    storage: &'a Storage,
    binding: wgpu::BindingResource<'a>,
}

/// A [`Tensor`] of any element type.
pub trait AnyTensor: sealed::Sealed {
    #[doc(hidden)]
    fn parts(&self) -> Parts<'_>;
}

impl<T: Element> AnyTensor for Tensor<T> {
    fn parts(&self) -> Parts<'_> {
        let slice = self.own_slice();
        let size = wgpu::BufferSize::new(slice.size());
        let binding = wgpu::BufferBinding { buffer: slice.buffer(), offset: slice.offset(), size };
        Parts { gpu: self.gpu(), storage: self.storage(), binding: wgpu::BindingResource::Buffer(binding) }
    }
}

impl Gpu {
    /// Puts dispatches of your own among the eager calls: behind all that were made before, before all that are made
    /// behind. Nothing needs to be submitted or waited for.
    ///
    /// `record` gets a compute pass and the bindings of `reads` and then of `writes`: of each tensor exactly its elements,
    /// row-major (of an empty one, room for one). What is in `writes` may be read too; [`Tensor::empty`] makes tensors to
    /// write. `label` is the pass's, and the name in [`Gpu::profile`].
    ///
    /// ```no_run
    /// # fn pipeline(_: &wgdnn::Gpu) -> wgdnn::wgpu::ComputePipeline { unimplemented!() }
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::wgpu::{BindGroupDescriptor, BindGroupEntry};
    /// use wgdnn::{Gpu, Tensor, sigmoid};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let relu = pipeline(&gpu); // Your own: its shader binds what it reads at 0 and what it writes at 1.
    /// let input = sigmoid(&Tensor::from_slice(&gpu, &[-1.0; 64], &[64])?)?;
    /// let output = Tensor::<f32>::empty(&gpu, &[64])?;
    /// gpu.record_own("relu", &[&input], &[&output], |pass, bindings| {
    ///     let group = gpu.device().create_bind_group(&BindGroupDescriptor {
    ///         label: None,
    ///         layout: &relu.get_bind_group_layout(0),
    ///         entries: &[
    ///             BindGroupEntry { binding: 0, resource: bindings[0].clone() },
    ///             BindGroupEntry { binding: 1, resource: bindings[1].clone() },
    ///         ],
    ///     });
    ///     pass.set_pipeline(&relu);
    ///     pass.set_bind_group(0, &group, &[]);
    ///     pass.dispatch_workgroups(1, 1, 1);
    ///     Ok(())
    /// })?;
    /// let again = sigmoid(&output)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// `record` runs once, now, on this thread, and no lock is held: it may call operators, which come before its own
    /// dispatches. Use bindings, and what you make of them, within `record` alone: afterwards, once its tensor is dropped,
    /// a buffer may come to be another's. (For longer there is [`Tensor::slice`].) Name every tensor whose buffer the
    /// dispatches use, and each that they write among `writes`. Validation does not look at them. A call takes an encoder of
    /// its own, on llvmpipe some 50 us more than an operator: put into one what belongs together.
    ///
    /// # Errors
    /// What `record` returns, [`Error::InvalidArgument`] for what wgpu finds wrong with what it recorded or made, for
    /// tensors of another `Gpu`, and for a buffer that is written and named twice: in all of these nothing is recorded,
    /// and no other call is affected. As reading them for tensors that calls before were to write, and failed to;
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`].
    pub fn record_own<R>(
        &self,
        label: &'static str,
        reads: &[&dyn AnyTensor],
        writes: &[&dyn AnyTensor],
        record: impl FnOnce(&mut wgpu::ComputePass<'_>, &[wgpu::BindingResource<'_>]) -> Result<R>,
    ) -> Result<R> {
        self.check_device()?;
        let [reads, writes]: [Vec<_>; 2] =
            [reads, writes].map(|tensors| tensors.iter().map(|tensor| tensor.parts()).collect());
        self.check_own(&reads, &writes)?;
        let bindings: Vec<_> = reads.iter().chain(&writes).map(|tensor| tensor.binding.clone()).collect();
        let is_profiled = lock(&self.inner.pending).profile.is_some();
        // An encoder of its own: what is wrong with it shows now, and spoils no other call.
        let recorded = self.scoped(|device| {
            let queries = is_profiled.then(|| QuerySet::new(device, 1));
            let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some(label) });
            let timestamp_writes = queries.as_ref().map(|queries| queries.timestamps(0));
            let descriptor = wgpu::ComputePassDescriptor { label: Some(label), timestamp_writes };
            let result = record(&mut encoder.begin_compute_pass(&descriptor), &bindings);
            result.map(|value| (value, encoder.finish(), queries))
        });
        let (value, commands, queries) = recorded.map_err(|error| refused(label, error))??;
        let is_full = {
            let mut pending = lock(&self.inner.pending);
            // Looked at under the lock: what fails from here on finds these among the calls that are pending.
            for tensor in reads.iter().chain(&writes) {
                tensor.storage.check()?;
            }
            pending.put_behind(Recorded::Own(commands));
            if let (Some(profile), Some(queries)) = (&mut pending.profile, queries) {
                profile.add(queries, label);
            }
            for tensor in &writes {
                tensor.storage.set_submission(&pending.submission);
                tensor.storage.forget_values();
            }
            pending.count_call()
        };
        self.submit_if(is_full);
        Ok(value)
    }

    fn check_own(&self, reads: &[Parts<'_>], writes: &[Parts<'_>]) -> Result<()> {
        for (argument, tensors) in [("reads", reads), ("writes", writes)] {
            for (index, tensor) in tensors.iter().enumerate() {
                if let Some(difference) = self.difference(tensor.gpu) {
                    let actual = format!("{difference}, at {index}");
                    return Err(Error::invalid(NAME, argument, "tensors of this Gpu", actual));
                }
                tensor.storage.check()?;
            }
        }
        // wgpu tracks whole buffers.
        for (index, written) in writes.iter().enumerate() {
            let is_it = |other: &Parts<'_>| other.storage.buffer() == written.storage.buffer();
            let twice = [("reads", reads.iter().position(is_it)), ("writes", writes[..index].iter().position(is_it))];
            if let Some((argument, Some(other))) = twice.into_iter().find(|(_, other)| other.is_some()) {
                let expected = "tensors whose buffers are named once: what is written may be read too";
                let actual = format!("at {index} the buffer of {argument} at {other}");
                return Err(Error::invalid(NAME, "writes", expected, actual));
            }
        }
        Ok(())
    }
}

/// The error about commands that wgpu refuses, made of wgpu's own.
fn refused(label: &str, error: Error) -> Error {
    match error {
        Error::Validation { reason } => {
            let lines = reason.lines().map(str::trim).filter(|line| !line.is_empty());
            let lines: Vec<_> = lines.filter(|line| !["Validation Error", "Caused by:"].contains(line)).collect();
            let actual = format!("those of {label:?}: {}", lines.join(": "));
            Error::invalid(NAME, "record", "commands that wgpu takes", actual)
        }
        error => error,
    }
}
