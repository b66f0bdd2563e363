//! # Use it on your own device
//!
//! [`Gpu::from_wgpu`] takes a device and a queue that your program made, for rendering say, and shares them. This page
//! tells what the two may expect of each other. `examples/render.rs` is a whole program: its frame draws the result of a
//! convolution without a read-back.
//!
//! ```no_run
//! # async fn start(adapter: wgdnn::wgpu::Adapter) -> Result<(), Box<dyn std::error::Error>> {
//! use wgdnn::{Gpu, wgpu};
//!
//! // No feature is needed. These are used where they are: the first by conv_transpose2d's scatter-add, the second by
//! // convolutions on adapters that run on a CPU, the third by Gpu::profile, the last by Gpu::open_pipeline_cache.
//! let useful = wgpu::Features::SHADER_FLOAT32_ATOMIC
//!     | wgpu::Features::SUBGROUP
//!     | wgpu::Features::TIMESTAMP_QUERY
//!     | wgpu::Features::PIPELINE_CACHE;
//! let (device, queue) = adapter
//!     .request_device(&wgpu::DeviceDescriptor {
//!         required_features: adapter.features() & useful,
//!         // WebGPU's defaults do, but then a binding has at most 128 MiB.
//!         required_limits: adapter.limits(),
//!         ..Default::default()
//!     })
//!     .await?;
//! let gpu = Gpu::from_wgpu(device.clone(), queue.clone());
//! # Ok(())
//! # }
//! ```
//!
//! Make one [`Gpu`] and clone it: each that you make has caches and pending calls of its own, and tensors of two do not mix.
//! The device must come from
//! the wgpu that this crate re-exports as [`wgpu`], and what you give to a `Gpu` from its own device. wgpu
//! has no way to ask, and panics itself if a resource comes from another `Instance`.
//!
//! ## Two ways to call
//!
//! | | recorded: [`Gpu::record`], [`Gpu::record_in_pass`] | eager: [`conv2d`](crate::conv2d) on [`Tensor`]s |
//! |---|---|---|
//! | runs on | your buffers | buffers of ours, or yours by [`Tensor::from_buffer`] |
//! | goes into | your encoder or your open compute pass | an encoder of ours |
//! | is submitted | by you | by a read-back, by [`Gpu::submit`] and [`Tensor::slice`], after 128 calls or 256 MiB, and by an upload of many MiB or with much memory in use |
//! | makes on the GPU | nothing, after `warm_up`; bind groups where buffers are new | buffers, out of the pool if it has them |
//! | waits | never | for nothing, but: an upload of more than 8 MiB, a read-back, and once when memory runs out |
//!
//! ## Your own kernels on tensors
//!
//! [`Gpu::record_own`] puts your dispatches among the eager calls, in order: nothing has to be submitted before or behind.
//! `examples/own_kernel.rs` does.
//!
//! An encoder of your own is in order if you take the tensors' slices first, submit it next, and make the eager calls that
//! come behind it last: [`Tensor::slice`] submits the calls before, and those behind are submitted at any time.
//!
//! ```no_run
//! # fn record(_: &mut wgdnn::wgpu::CommandEncoder, _: wgdnn::wgpu::BufferSlice<'_>) {}
//! # fn main() -> Result<(), wgdnn::Error> {
//! # let gpu = wgdnn::Gpu::new_blocking()?;
//! # let image = wgdnn::Tensor::from_slice(&gpu, &[0.0; 4], &[4])?;
//! let features = wgdnn::sigmoid(&image)?;
//! let slice = features.slice()?; // Behind this, what is submitted comes behind sigmoid.
//! let mut encoder = gpu.device().create_command_encoder(&Default::default());
//! record(&mut encoder, slice); // Your own: it reads and writes the slice.
//! gpu.queue().submit([encoder.finish()]);
//! let again = wgdnn::sigmoid(&features)?; // Of what the encoder wrote.
//! # Ok(())
//! # }
//! ```
//!
//! What stays your duty: an encoder that is recorded once and submitted many times, or a slice that is kept, needs a
//! [`Gpu::submit`] before each submit that has to come behind eager calls. So does a buffer that you made yourself and gave
//! to [`Tensor::from_buffer`], if you use it without the tensor's slice.
//!
//! ## What we touch
//!
//! - **Your encoder:** the first operator that is recorded into it begins a compute pass, and dropping the [`Recorder`]
//!   ends it, so keep one recorder for a sequence of operators. Nothing else is recorded.
//! - **Your pass:** the pipeline and bind group 0 are set, and left set. Your own bind groups 1 and up, as far as the
//!   pipeline layouts agree, are yours.
//! - **Your buffers:** exactly the range of the slice that is asked for, from its start; the rest keeps its bytes. They
//!   need the usage `STORAGE`, and offsets in multiples of `min_storage_buffer_offset_alignment`. One that is written must
//!   stand for no other argument, since wgpu tracks whole buffers.
//! - **Your queue:** eager calls submit to it. Their order among themselves is that of the calls. What you submit or write
//!   comes behind those that were made before the last [`Gpu::submit`] or [`Tensor::slice`]: see above.
//! - **Your device:** objects are made on it, all labelled. Its uncaptured-error handler and its device-lost callback are
//!   not touched: what we do runs inside error scopes and comes back as an [`Error`]. What wgpu finds wrong with an encoder
//!   of yours, at `finish` or at your submit, comes to your handler. On a device of [`Gpu::new`] such errors are logged
//!   until you set a handler; that one is yours to replace.
//! - **Polling:** recording never polls. [`Tensor::read_blocking`] polls on its thread and [`Tensor::read`] on one thread
//!   of ours, which starts with the first read. A failed call polls once, to see whether the device is lost. You may poll
//!   as you like; so may you not.
//! - **Your callbacks:** wgpu runs those of `map_async` and `on_submitted_work_done` inside whatever polls or submits, so
//!   they may run in [`Gpu::submit`], in a read, in an upload, in an eager call, in a failed call, and on the thread for
//!   read-backs. No lock of ours is held there: a callback may call operators, submit and trim. It must not wait for a
//!   read-back, which is what polls for it, and no lock that it takes may be held by a thread that calls us.
//!
//! ## What must stay alive
//!
//! - wgpu keeps what is recorded alive, so buffers, tensors and the `Gpu` may be dropped before the submit. A tensor
//!   whose buffer you have seen, by [`Tensor::slice`], never gives it to another tensor.
//! - Bind groups are kept for reuse, and hold buffers of yours. One that is recorded once is not held; one that is
//!   recorded again is let go some 256 to 512 recorders after its last use, where all eager calls up to a submit count as
//!   one, or by [`Gpu::trim`]. `Buffer::destroy` frees it at once.
//! - A read-back may be dropped whenever you like, and so may an encoder that is not submitted. The future of
//!   [`Tensor::read`] borrows its tensor, and needs no `Gpu` of yours.
//! - Do not write a tensor of more than 4 MiB while it is being read back: it comes in pieces.
//!
//! ## Memory
//!
//! Tensors are taken from a pool, and go back to it when the last clone is dropped. [`Gpu::memory`] tells how much is in
//! use and how much is kept: with what is in use, at most 4 MiB or twice the most that was in use of late, and up to three
//! times of what the last submissions used. So calls on the same shapes again and again make no buffers, and sizes that are
//! gone leave none behind. [`Gpu::trim`] gives all of it back, as does running out of memory. Buffers are not cleared
//! between uses. Uploads and read-backs pass through some 16 MiB of staging, however large they are.
//!
//! Beside that, at least 256 pipelines and the parameters of 4,096 calls are kept, twice as many at most, those used last.
//! Parameters are kept from a warm-up or from their second use on, so ever new shapes leave nothing. (On a software adapter
//! the driver's code takes a MiB or two for each pipeline.)
//!
//! Where an argument is larger than the device's `max_storage_buffer_binding_size`, the operator runs in parts along the
//! batch. What has no batch to cut, like a convolution's weight, batch norm in training or the mean of a loss, is refused
//! with [`Error::LimitExceeded`]; so is an image that is too large alone, and a tensor of more than `max_buffer_size`.
//!
//! ## Threads and errors
//!
//! [`Gpu`] and [`Tensor`] are `Send` and `Sync`. Reads can be awaited on any executor. A [`Recorder`] belongs to the
//! encoder that it borrows.
//!
//! Eager calls that are submitted together fail together: then what each would have written returns the error, also
//! running statistics that would have been updated. [`Error::OutOfMemory`] leaves the device in use. [`Error::DeviceLost`] does not: every later call returns it, and
//! read-backs that wait end with it; make a new device and a new `Gpu`.
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
