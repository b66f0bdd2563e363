//! A caller's own dispatches among the eager calls.

use crate::error::{Error, Result};
use crate::gpu::eager::Recorded;
use crate::gpu::profile::QuerySet;
use crate::gpu::storage::Storage;
use crate::gpu::tensor::{Element, Tensor};
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
    is_part: bool,
    binding: wgpu::BindingResource<'a>,
    shape: &'a [usize],
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
        Parts {
            gpu: self.gpu(),
            storage: self.storage(),
            is_part: self.is_part(),
            binding: wgpu::BindingResource::Buffer(binding),
            shape: self.shape(),
        }
    }
}

impl Gpu {
    /// Puts your own dispatches among the eager calls: after all calls made before, and before all calls made later.
    /// You need not submit or wait for anything.
    ///
    /// `record` gets a compute pass and the bindings of `reads`, then of `writes`. A binding holds exactly the tensor's
    /// elements, row-major (an empty tensor has room for one). Tensors in `writes` may be read too; [`Tensor::empty`]
    /// makes tensors to write. `label` names the pass, and the call in [`Gpu::profile`].
    ///
    /// ```no_run
    /// # fn pipeline(_: &wgdnn::Gpu) -> wgdnn::wgpu::ComputePipeline { unimplemented!() }
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::wgpu::{BindGroupDescriptor, BindGroupEntry};
    /// use wgdnn::{Gpu, Tensor, sigmoid};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let relu = pipeline(&gpu); // Your own: its shader reads binding 0 and writes binding 1.
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
    /// `record` runs once, before this returns, on this thread and without a lock. It may call operators, which run
    /// before its own dispatches. Use the bindings, and what you make from them, only within `record`: after a tensor
    /// is dropped its buffer may go to another one. To keep a buffer longer call [`Tensor::slice`]. Name every tensor
    /// whose buffer the dispatches use, and put each that they write into `writes`. Validation does not check these
    /// dispatches. Each call takes an encoder of its own, on llvmpipe some 50 us more than an operator, so put related
    /// dispatches into one call.
    ///
    /// # Errors
    /// What `record` returns; [`Error::InvalidArgument`] for what wgpu finds wrong with the commands or objects that
    /// `record` made, for tensors of another `Gpu`, and for a buffer that is written and named twice. Then nothing is
    /// recorded, and no other call is affected. As [`Tensor::read`] for tensors that earlier calls failed to write.
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
        // An encoder of its own: its errors show now, and affect no other call.
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
            // Checked under the lock: a later failure finds these tensors among those of the pending calls.
            for tensor in reads.iter().chain(&writes) {
                tensor.storage.check()?;
            }
            pending.put_behind(Recorded::Own(commands));
            if let (Some(profile), Some(queries)) = (&mut pending.profile, queries) {
                let named = |name, tensors: &[Parts<'_>]| {
                    tensors.iter().map(|tensor| (name, tensor.shape.to_vec())).collect::<Vec<_>>()
                };
                let shapes = [named("reads", &reads), named("writes", &writes)].concat();
                profile.add(queries, self.profiled(label, shapes));
            }
            for tensor in &writes {
                tensor.storage.write(tensor.is_part, &pending.submission);
                tensor.storage.forget_values();
            }
            pending.count_call(self.fresh_bytes())
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

/// The error about commands that wgpu refuses, from wgpu's error.
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
