//! # Use it on your own device
//!
//! [`Gpu::from_wgpu`] takes a device and a queue that your program made, for rendering say, and shares them. This page
//! says what your program and this crate may expect of each other. `examples/render.rs` is a whole program: its frame
//! draws the result of a convolution without a read-back.
//!
//! ```no_run
//! # async fn start(adapter: wgdnn::wgpu::Adapter) -> Result<(), Box<dyn std::error::Error>> {
//! use wgdnn::{Gpu, wgpu};
//!
//! // No feature is needed. These are used if the device has them: the first by conv_transpose2d's scatter-add, the
//! // second by convolutions on adapters that run on a CPU, the third by Gpu::profile, the last by
//! // Gpu::open_pipeline_cache.
//! let useful = wgpu::Features::SHADER_FLOAT32_ATOMIC
//!     | wgpu::Features::SUBGROUP
//!     | wgpu::Features::TIMESTAMP_QUERY
//!     | wgpu::Features::PIPELINE_CACHE;
//! let (device, queue) = adapter
//!     .request_device(&wgpu::DeviceDescriptor {
//!         required_features: adapter.features() & useful,
//!         // WebGPU's defaults suffice, but then a binding has at most 128 MiB.
//!         required_limits: adapter.limits(),
//!         ..Default::default()
//!     })
//!     .await?;
//! let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
//! # Ok(())
//! # }
//! ```
//!
//! Make one [`Gpu`] and clone it. Each `Gpu` that you make has its own caches and pending calls, and one call cannot
//! take tensors of two. The device must come from the wgpu that this crate re-exports as [`wgpu`], and every resource
//! that you give to a `Gpu` must come from its device. wgpu has no way to check this, and panics itself if a resource
//! comes from another `Instance`.
//!
//! ## Two ways to call
//!
//! | | recorded: [`Gpu::record`], [`Gpu::record_in_pass`] | eager: [`conv2d`](crate::conv2d) on [`Tensor`]s |
//! |---|---|---|
//! | runs on | your buffers | the crate's buffers, or yours by [`Tensor::from_buffer`] |
//! | goes into | your encoder or your open compute pass | the crate's encoder |
//! | is submitted | by you | by a read-back, by [`Gpu::submit`] and [`Tensor::slice`], after 128 calls or 256 MiB, and by an upload of many MiB or with much memory in use |
//! | makes on the GPU | after `warm_up` nothing but bind groups for new buffers | buffers, out of the pool if it has them |
//! | waits | never | in an upload of more than 8 MiB, in a read-back, and once when memory runs out |
//!
//! ## Your own kernels on tensors
//!
//! [`Gpu::record_own`] puts your dispatches among the eager calls, in order: you need not submit anything before or
//! after. `examples/own_kernel.rs` shows it.
//!
//! Your own encoder runs in order if you first take the tensors' slices, then submit the encoder, and then make the
//! eager calls that are to run after it. [`Tensor::slice`] submits the calls made before it; the calls after the
//! encoder may be submitted at any time.
//!
//! ```no_run
//! # fn record(_: &mut wgdnn::wgpu::CommandEncoder, _: wgdnn::wgpu::BufferSlice<'_>) {}
//! # fn main() -> Result<(), wgdnn::Error> {
//! # let gpu = wgdnn::Gpu::new_blocking()?;
//! # let image = wgdnn::Tensor::from_slice(&gpu, &[0.0; 4], &[4])?;
//! let features = wgdnn::sigmoid(&image)?;
//! let slice = features.slice()?; // What you submit from here on runs after sigmoid.
//! let mut encoder = gpu.device().create_command_encoder(&Default::default());
//! record(&mut encoder, slice); // Your own: it reads and writes the slice.
//! gpu.queue().submit([encoder.finish()]);
//! let again = wgdnn::sigmoid(&features)?; // Reads what the encoder wrote.
//! # Ok(())
//! # }
//! ```
//!
//! Your duty: if you record once and submit many times, or keep a slice, call [`Gpu::submit`] before each of your
//! submits that has to run after eager calls. Do the same with a buffer that you made yourself and gave to
//! [`Tensor::from_buffer`], if you use it without the tensor's slice.
//!
//! ## What the crate touches
//!
//! - **Your encoder:** the first operator that you record into it begins a compute pass, and dropping the [`Recorder`]
//!   ends the pass, so keep one recorder for a sequence of operators. Nothing else is recorded.
//! - **Your pass:** an operator sets the pipeline and bind group 0, and leaves them set. It leaves your bind groups 1
//!   and up as they are, as far as the pipeline layouts agree.
//! - **Your buffers:** an operator uses the bytes that it asks for, from the start of the slice; all others stay as
//!   they are. Buffers need the usage `STORAGE`, and offsets in multiples of `min_storage_buffer_offset_alignment`. A
//!   buffer that is written must stand for no other argument, since wgpu tracks whole buffers. But an input that
//!   [may be the output](crate::Slot::may_be_output) may have its buffer and offset, and written arguments may be ranges
//!   of one buffer that do not overlap.
//! - **Your queue:** eager calls submit to it, in the order in which you made them. What you submit or write runs after
//!   the calls that were made before the last [`Gpu::submit`] or [`Tensor::slice`]: see above.
//! - **Your device:** the crate makes objects on it, all labelled. It does not touch the uncaptured-error handler or
//!   the device-lost callback: its own work runs inside error scopes, and its errors come back as an [`Error`]. An
//!   error that wgpu finds in your encoder, at `finish` or at your submit, goes to your handler. On a device of
//!   [`Gpu::new`] such errors are logged until you set your own handler.
//! - **Polling:** recording never polls. [`Tensor::read_blocking`] polls on the thread that calls it. [`Tensor::read`]
//!   polls on one thread of the crate, which the first read starts. A failed call polls once, to see whether the device
//!   is lost. You may poll too, but need not.
//! - **Your callbacks:** wgpu runs the callbacks of `map_async` and `on_submitted_work_done` inside any call that polls
//!   or submits. So they may run in [`Gpu::submit`], in a read, in an upload, in an eager call, in a failed call, and
//!   on the thread for read-backs. The crate holds no lock there: a callback may call operators, submit and trim. It
//!   must not wait for a read-back, since the read-back may be what runs it. No thread may hold a lock that a callback
//!   takes while it calls the crate.
//!
//! ## What must stay alive
//!
//! - wgpu keeps what is recorded alive, so you may drop buffers, tensors and the `Gpu` before the submit. Once you have
//!   seen a tensor's buffer, by [`Tensor::slice`], no other tensor gets that buffer.
//! - The crate keeps bind groups for reuse, and these keep your buffers alive. A bind group that is recorded once is
//!   not kept. One that is recorded again is released by [`Gpu::trim`], or some 256 to 512 recorders after its last
//!   use, where all eager calls up to a submit count as one. `Buffer::destroy` frees a buffer at once.
//! - You may drop a read-back at any time, and so too an encoder that is not submitted. The future of [`Tensor::read`]
//!   borrows its tensor; it does not need your `Gpu`.
//! - Do not write a tensor of more than 4 MiB while it is being read back: it is read in pieces.
//!
//! ## Memory
//!
//! Tensors take their buffers from a pool, and a buffer goes back to the pool when the last clone of its tensor is
//! dropped. [`Gpu::memory`] gives how much is in use and how much is kept. Both together are at most 4 MiB or twice the
//! most that was recently in use, and up to three times what the last submissions used. So repeated calls on the same
//! shapes make no buffers, and buffers of sizes that are no longer used are freed. [`Gpu::trim`] frees all that is
//! kept, and so does running out of memory. Buffers are not cleared between uses. Uploads and read-backs of any size
//! pass through some 16 MiB of staging.
//!
//! The crate also keeps the pipelines and the calls' parameters that were used last: at least 256 pipelines and the
//! parameters of 4,096 calls, and at most twice as many. It keeps parameters from a warm-up or from their second use
//! on, so shapes that never come back leave nothing. (On a software adapter the driver's code takes a MiB or two for
//! each pipeline.)
//!
//! If an argument is larger than the device's `max_storage_buffer_binding_size`, the operator runs in parts along the
//! batch. An argument that has no batch to cut is refused with [`Error::LimitExceeded`], for example a convolution's
//! weight, or the input of batch norm in training or of the mean of a loss. So is a single image that is too large, and
//! a tensor of more than `max_buffer_size`.
//!
//! ## Threads and errors
//!
//! [`Gpu`] and [`Tensor`] are `Send` and `Sync`. Reads can be awaited on any executor. A [`Recorder`] belongs to the
//! encoder that it borrows.
//!
//! Eager calls that are submitted together fail together: then every tensor that they would have written returns the
//! error, and so do running statistics that they would have updated. After [`Error::OutOfMemory`] the device still
//! works. After [`Error::DeviceLost`] it does not: every later call returns this error, and read-backs that wait end
//! with it. Make a new device and a new `Gpu`.
//!
//! [`wgpu`]: crate::wgpu
//! [`Gpu`]: crate::Gpu
//! [`Gpu::from_wgpu`]: crate::Gpu::from_wgpu
//! [`Gpu::new`]: crate::Gpu::new
//! [`Gpu::record`]: crate::Gpu::record
//! [`Gpu::record_in_pass`]: crate::Gpu::record_in_pass
//! [`Gpu::record_own`]: crate::Gpu::record_own
//! [`Gpu::submit`]: crate::Gpu::submit
//! [`Gpu::memory`]: crate::Gpu::memory
//! [`Gpu::trim`]: crate::Gpu::trim
//! [`Tensor`]: crate::Tensor
//! [`Tensor::slice`]: crate::Tensor::slice
//! [`Tensor::read`]: crate::Tensor::read
//! [`Tensor::read_blocking`]: crate::Tensor::read_blocking
//! [`Tensor::from_buffer`]: crate::Tensor::from_buffer
//! [`Recorder`]: crate::Recorder
//! [`Error`]: crate::Error
//! [`Error::LimitExceeded`]: crate::Error::LimitExceeded
//! [`Error::OutOfMemory`]: crate::Error::OutOfMemory
//! [`Error::DeviceLost`]: crate::Error::DeviceLost
