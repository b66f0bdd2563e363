//! Buffers: made, filled and read back.

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use crate::error::{Error, Result};
use crate::gpu::tensor::Storage;
use crate::gpu::{Gpu, lock};
use crate::shape::ELEMENT_BYTES;

/// A buffer that is being mapped.
struct Mapped {
    staging: wgpu::Buffer,
    receiver: OneshotReceiver<std::result::Result<(), wgpu::BufferAsyncError>>,
}

impl Gpu {
    /// Checks that a buffer of `elements` elements is within the device's limits.
    pub(crate) fn check_size(&self, operator: &'static str, argument: &'static str, elements: usize) -> Result<u64> {
        let bytes = (elements as u64).max(1) * ELEMENT_BYTES;
        let limits = self.limits();
        for (limit, maximum) in [
            ("max_storage_buffer_binding_size", limits.max_storage_buffer_binding_size),
            ("max_buffer_size", limits.max_buffer_size),
        ] {
            if bytes > maximum {
                return Err(Error::LimitExceeded { operator, argument, limit, maximum, actual: bytes });
            }
        }
        Ok(bytes)
    }

    /// A buffer of `elements` elements for an operator's argument, holding `data` if given.
    pub(crate) fn storage_buffer(
        &self,
        operator: &'static str,
        argument: &'static str,
        elements: usize,
        data: Option<&[u8]>,
    ) -> Result<wgpu::Buffer> {
        self.check_device()?;
        let bytes = self.check_size(operator, argument, elements)?;
        let buffer = self.create_buffer(
            operator,
            wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            bytes,
            data,
        )?;
        lock(&self.inner.pending).bytes += bytes;
        Ok(buffer)
    }

    /// An eager call's workspace of `elements` elements, if it needs one.
    pub(crate) fn workspace(&self, operator: &'static str, elements: usize) -> Result<Option<wgpu::Buffer>> {
        (elements > 0).then(|| self.storage_buffer(operator, "workspace", elements, None)).transpose()
    }

    pub(super) fn create_buffer(
        &self,
        label: &str,
        usage: wgpu::BufferUsages,
        bytes: u64,
        data: Option<&[u8]>,
    ) -> Result<wgpu::Buffer> {
        let data = data.filter(|data| !data.is_empty());
        let buffer = self.scoped(|device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: bytes,
                usage,
                mapped_at_creation: data.is_some(),
            })
        })?;
        if let Some(data) = data {
            // Mapped from the start, so no queue write and no staging copy of ours.
            buffer
                .get_mapped_range_mut(..data.len() as u64)
                .map_err(|error| self.explained(Error::Validation { reason: error.to_string() }))?
                .copy_from_slice(data);
            buffer.unmap();
        }
        Ok(buffer)
    }

    /// Submits what is pending, and behind it a copy of `slice` into a buffer that is then mapped: a receiver of how
    /// that went, the buffer, and what to wait for.
    fn map_copy(&self, storage: &Storage, slice: wgpu::BufferSlice<'_>) -> Result<(Mapped, wgpu::SubmissionIndex)> {
        self.check_device()?;
        // On its own: a failure concerns the tensors that these calls write, and no other.
        let _ = self.submit();
        storage.check()?;
        let staging = self.create_buffer(
            "wgdnn read-back",
            wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            slice.size(),
            None,
        )?;
        let (sender, receiver) = oneshot_channel();
        let submission = self.scoped(|_| {
            let mut encoder = self.new_encoder();
            encoder.copy_buffer_to_buffer(slice.buffer(), slice.offset(), &staging, 0, slice.size());
            self.inner.queue.submit([encoder.finish()])
        })?;
        self.scoped(|_| {
            staging.map_async(wgpu::MapMode::Read, .., move |result| {
                // Nobody listens any more if the read-back was dropped.
                let _ = sender.send(result);
            });
        })?;
        Ok((Mapped { staging, receiver }, submission))
    }

    pub(crate) async fn read_buffer<T: bytemuck::Pod>(
        &self,
        storage: &Storage,
        slice: wgpu::BufferSlice<'_>,
    ) -> Result<Vec<T>> {
        let (mapped, submission) = self.map_copy(storage, slice)?;
        #[cfg(not(target_arch = "wasm32"))]
        {
            // A thread waits, so that no executor has to. In a browser the page's own loop does.
            let gpu = self.clone();
            std::thread::spawn(move || gpu.wait(submission));
        }
        #[cfg(target_arch = "wasm32")]
        drop(submission);
        let result = mapped.receiver.receive().await;
        self.take_mapped(&mapped.staging, result)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn read_buffer_blocking<T: bytemuck::Pod>(
        &self,
        storage: &Storage,
        slice: wgpu::BufferSlice<'_>,
    ) -> Result<Vec<T>> {
        let (mapped, submission) = self.map_copy(storage, slice)?;
        self.wait(submission);
        let result = pollster::block_on(mapped.receiver.receive());
        self.take_mapped(&mapped.staging, result)
    }

    /// Waits for a submission. Failures show in the mapping that waits for it.
    #[cfg(not(target_arch = "wasm32"))]
    fn wait(&self, submission: wgpu::SubmissionIndex) {
        // Without a timeout: wgpu-core can panic when one expires while another thread polls.
        let _ = self.inner.device.poll(wgpu::PollType::Wait { submission_index: Some(submission), timeout: None });
    }

    fn take_mapped<T: bytemuck::Pod>(
        &self,
        staging: &wgpu::Buffer,
        mapped: Option<std::result::Result<(), wgpu::BufferAsyncError>>,
    ) -> Result<Vec<T>> {
        // After a loss everything seems to succeed, so this comes first.
        self.check_device()?;
        let lost = |reason: String| Error::DeviceLost { reason };
        mapped
            .ok_or_else(|| lost("a read-back was dropped".into()))?
            .map_err(|error| lost(format!("a read-back failed: {error}")))?;
        let range = staging.get_mapped_range(..).map_err(|error| Error::Validation { reason: error.to_string() })?;
        Ok(bytemuck::pod_collect_to_vec(&range))
    }
}
