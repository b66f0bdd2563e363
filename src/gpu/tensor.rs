//! Tensors: a buffer with a shape.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};

use ndarray::{Array, ArrayBase, ArrayD, Data, Dimension, IxDyn};

use crate::error::{Error, Result};
use crate::gpu::eager::Submission;
use crate::gpu::pool::PooledBuffer;
use crate::gpu::recorder::foreign_buffer;
use crate::gpu::{Gpu, lock};
use crate::shape::{self, ELEMENT_BYTES};

/// The operator's name in errors about tensors themselves.
pub(super) const TENSOR: &str = "tensor";

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
}

/// What a tensor can hold: `f32` and, for class indices and positions, `i32`.
pub trait Element: sealed::Sealed + bytemuck::Pod + Send + Sync {
    /// The distinct values of freshly uploaded data, where an operator checks them later.
    #[doc(hidden)]
    fn distinct(data: &[Self]) -> Option<Arc<[i32]>>;
}

impl Element for f32 {
    fn distinct(_: &[f32]) -> Option<Arc<[i32]>> {
        None
    }
}

impl Element for i32 {
    fn distinct(data: &[i32]) -> Option<Arc<[i32]>> {
        // Class indices come in runs, so most of them go before the sort.
        let mut values: Vec<i32> = data.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
        values.sort_unstable();
        values.dedup();
        Some(values.into())
    }
}

/// A contiguous, row-major tensor on a device.
///
/// It is a handle: clones share one buffer, and so does what [`flatten`](crate::flatten) returns.
#[derive(Clone)]
pub struct Tensor<T = f32> {
    gpu: Gpu,
    storage: Arc<Storage>,
    shape: Vec<usize>,
    element: PhantomData<T>,
}

impl<T: Element> fmt::Debug for Tensor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tensor")
            .field("shape", &self.shape)
            .field("element", &std::any::type_name::<T>())
            .field("gpu", &self.gpu)
            .finish_non_exhaustive()
    }
}

/// Where a tensor and its clones hold their data.
#[derive(Debug)]
pub(crate) struct Storage {
    buffer: Buffer,
    offset: u64,
    /// The values that were uploaded, for as long as nobody else has written.
    distinct: Mutex<Option<Arc<[i32]>>>,
    /// What wrote it last: an eager call, or the pieces of an upload.
    submissions: Mutex<Vec<Arc<Submission>>>,
}

#[derive(Debug)]
enum Buffer {
    Own(PooledBuffer),
    Callers(wgpu::Buffer),
}

impl Storage {
    /// A buffer that is no tensor's.
    pub fn over(buffer: wgpu::Buffer) -> Self {
        Storage {
            buffer: Buffer::Callers(buffer),
            offset: 0,
            distinct: Mutex::default(),
            submissions: Mutex::default(),
        }
    }

    pub fn buffer(&self) -> &wgpu::Buffer {
        match &self.buffer {
            Buffer::Own(buffer) => buffer.buffer(),
            Buffer::Callers(buffer) => buffer,
        }
    }

    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// It may be written by others than operators.
    pub fn forget_values(&self) {
        lock(&self.distinct).take();
    }

    /// Fails if an eager call that was to write it did not run.
    pub fn check(&self) -> Result<()> {
        lock(&self.submissions).iter().try_for_each(|submission| submission.check())
    }

    /// It is written anew.
    pub fn set_submission(&self, submission: &Arc<Submission>) {
        let mut submissions = lock(&self.submissions);
        submissions.clear();
        submissions.push(Arc::clone(submission));
    }

    /// More of it is written.
    pub fn add_submission(&self, submission: &Arc<Submission>) {
        let mut submissions = lock(&self.submissions);
        if submissions.last().is_none_or(|last| !Arc::ptr_eq(last, submission)) {
            submissions.push(Arc::clone(submission));
        }
    }
}

impl<T: Element> Tensor<T> {
    /// Uploads an array of any rank and memory order.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] above the device's buffer sizes, [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn from_array<S, D>(gpu: &Gpu, array: &ArrayBase<S, D>) -> Result<Self>
    where
        S: Data<Elem = T>,
        D: Dimension,
    {
        let standard = array.as_standard_layout();
        let data = standard.as_slice().expect("an array in standard layout is a slice");
        Self::from_slice(gpu, data, array.shape())
    }

    /// Uploads `data` as a row-major tensor of `shape`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `data` has not as many elements as `shape`; otherwise as [`Tensor::from_array`].
    pub fn from_slice(gpu: &Gpu, data: &[T], shape: &[usize]) -> Result<Self> {
        let elements = shape::element_count(TENSOR, "shape", shape)?;
        if elements != data.len() {
            return Err(Error::invalid(
                TENSOR,
                "data",
                format!("the {elements} elements of shape {shape:?}"),
                format!("{}", data.len()),
            ));
        }
        let buffer = Buffer::Own(gpu.storage_buffer(TENSOR, "shape", elements, true)?);
        let tensor = Self::over(gpu, buffer, 0, shape, T::distinct(data));
        gpu.upload(&tensor.storage, bytemuck::cast_slice(data))?;
        Ok(tensor)
    }

    /// A tensor over a caller's buffer, from `offset` bytes on. The buffer needs the usage `STORAGE`, and `COPY_SRC`
    /// to be read back.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the buffer is too small for `shape`, lacks the usage, is of another device or
    /// destroyed, or if `offset` is not a multiple of the device's `min_storage_buffer_offset_alignment`;
    /// [`Error::DeviceLost`].
    pub fn from_buffer(gpu: &Gpu, buffer: wgpu::Buffer, offset: u64, shape: &[usize]) -> Result<Self> {
        let bytes = shape::element_count(TENSOR, "shape", shape)? as u64 * ELEMENT_BYTES;
        let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment);
        if !offset.is_multiple_of(alignment) {
            return Err(Error::invalid(
                TENSOR,
                "offset",
                format!("a multiple of {alignment} bytes"),
                format!("{offset} bytes"),
            ));
        }
        if buffer.size().saturating_sub(offset) < bytes.max(ELEMENT_BYTES) {
            return Err(Error::invalid(
                TENSOR,
                "buffer",
                format!("at least {} bytes from the offset on", bytes.max(ELEMENT_BYTES)),
                format!("{} bytes in all, offset {offset}", buffer.size()),
            ));
        }
        if !buffer.usage().contains(wgpu::BufferUsages::STORAGE) {
            return Err(Error::invalid(TENSOR, "buffer", "the usage STORAGE", format!("{:?}", buffer.usage())));
        }
        gpu.try_binding(&buffer, offset, ELEMENT_BYTES)
            .map_err(|error| foreign_buffer(TENSOR, "buffer", gpu.explained(error)))?;
        Ok(Self::over(gpu, Buffer::Callers(buffer), offset, shape, None))
    }

    /// A tensor for an operator to write; what it holds until then is not specified.
    pub(crate) fn uninitialized(gpu: &Gpu, operator: &'static str, shape: &[usize]) -> Result<Self> {
        let elements = shape::element_count(operator, "output", shape)?;
        let buffer = Buffer::Own(gpu.storage_buffer(operator, "output", elements, false)?);
        Ok(Self::over(gpu, buffer, 0, shape, None))
    }

    /// A tensor to be written, by [`Gpu::record_own`] say; what it holds until then is not specified.
    ///
    /// # Errors
    /// As [`Tensor::from_array`].
    pub fn empty(gpu: &Gpu, shape: &[usize]) -> Result<Self> {
        let elements = shape::element_count(TENSOR, "shape", shape)?;
        let buffer = Buffer::Own(gpu.storage_buffer(TENSOR, "shape", elements, false)?);
        Ok(Self::over(gpu, buffer, 0, shape, None))
    }

    fn over(gpu: &Gpu, buffer: Buffer, offset: u64, shape: &[usize], distinct: Option<Arc<[i32]>>) -> Self {
        let distinct = Mutex::new(distinct);
        Tensor {
            gpu: gpu.clone(),
            storage: Arc::new(Storage { buffer, offset, distinct, submissions: Mutex::default() }),
            shape: shape.to_vec(),
            element: PhantomData,
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The same data under another shape with as many elements.
    pub(crate) fn with_shape(&self, shape: Vec<usize>) -> Self {
        Tensor { shape, ..self.clone() }
    }

    /// The device it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product::<usize>()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part of its buffer that holds it, to be used in an encoder of your own or written through the queue. An empty
    /// tensor has one element's room.
    ///
    /// Eager calls that are pending are submitted first, as by [`Gpu::submit`], so that what you submit from now on comes
    /// behind them. Submit it before you make eager calls that are to come behind: they may be submitted at any time.
    /// [`Gpu::record_own`] has dispatches of yours in order without either.
    ///
    /// The buffer is yours to use for as long as you like: once this was called it is not given to another tensor, even
    /// when this one is dropped. Since you may write it, operators do not count on the class indices any more that were
    /// uploaded into it.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub fn slice(&self) -> Result<wgpu::BufferSlice<'_>> {
        self.gpu.check_device()?;
        // On its own: a failure concerns the tensors that these calls write, and no other.
        let _ = self.gpu.submit();
        self.storage.check()?;
        self.storage.forget_values();
        if let Buffer::Own(buffer) = &self.storage.buffer {
            buffer.set_exposed(true);
        }
        Ok(self.own_slice())
    }

    /// [`Tensor::slice`] for an eager call, behind which the buffer may go to another tensor.
    pub(crate) fn own_slice(&self) -> wgpu::BufferSlice<'_> {
        let bytes = (self.len() as u64).max(1) * ELEMENT_BYTES;
        self.storage.buffer().slice(self.storage.offset..self.storage.offset + bytes)
    }

    /// The distinct values, if it was uploaded and its type is one whose values operators check.
    pub(crate) fn distinct(&self) -> Option<Arc<[i32]>> {
        lock(&self.storage.distinct).clone()
    }

    /// Reads it back, after everything that writes it. The future does not block its executor.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a foreign buffer without `COPY_SRC`, [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`], [`Error::Validation`] if wgpu refused something that was pending.
    pub async fn read(&self) -> Result<ArrayD<T>> {
        let data = self.gpu.read_storage(&self.storage, self.readable()?).await?;
        Ok(self.to_array(data))
    }

    /// [`Tensor::read`], waiting for it.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_blocking(&self) -> Result<ArrayD<T>> {
        let data = self.gpu.read_storage_blocking(&self.storage, self.readable()?)?;
        Ok(self.to_array(data))
    }

    /// The bytes to read back.
    fn readable(&self) -> Result<u64> {
        let usage = self.storage.buffer().usage();
        if !usage.contains(wgpu::BufferUsages::COPY_SRC) {
            let expected = "the usage COPY_SRC, to be read back";
            return Err(Error::invalid(TENSOR, "buffer", expected, format!("{usage:?}")));
        }
        Ok(self.len() as u64 * ELEMENT_BYTES)
    }

    fn to_array(&self, data: Vec<T>) -> ArrayD<T> {
        Array::from_shape_vec(IxDyn(&self.shape), data).expect("a tensor's shape is that of its data")
    }
}

/// Checks that an operator's arguments are of one [`Gpu`]: each has eager calls of its own pending.
pub(crate) fn expect_same_gpu(
    operator: &'static str,
    gpu: &Gpu,
    others: &[(&'static str, Option<&Gpu>)],
) -> Result<()> {
    for (argument, other) in others {
        if let Some(actual) = other.and_then(|other| gpu.difference(other)) {
            return Err(Error::invalid(operator, argument, "a tensor of the Gpu of input", actual));
        }
    }
    Ok(())
}
