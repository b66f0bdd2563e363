//! Tensors: a buffer with a shape.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use ndarray::{Array, ArrayBase, ArrayD, Data, Dimension, IxDyn};

use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::gpu::storage::{Buffer, Storage, TENSOR};
use crate::shape::{self, ELEMENT_BYTES};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i32 {}
}

/// The element types of tensors: `f32`, and `i32` for class indices and positions.
pub trait Element: sealed::Sealed + bytemuck::Pod + Send + Sync {
    /// The distinct values of uploaded data, if an operator checks them later.
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
        // Class indices come in runs, so this removes most of them before the sort.
        let mut values: Vec<i32> = data.chunk_by(|a, b| a == b).map(|run| run[0]).collect();
        values.sort_unstable();
        values.dedup();
        Some(values.into())
    }
}

/// A contiguous, row-major tensor on a device.
///
/// It is a handle: clones share one buffer, and so does what [`Tensor::reshape`] and [`flatten`](crate::flatten) return.
///
/// The buffers that this crate makes have the usages `STORAGE | COPY_SRC | COPY_DST`, so every method works on them. A
/// buffer of yours, in [`Tensor::from_buffer`], needs `STORAGE`. The methods that read ([`Tensor::read`],
/// [`Tensor::read_vec`] and their blocking forms) also need `COPY_SRC`, and [`Tensor::write`] needs `COPY_DST`.
#[derive(Clone)]
pub struct Tensor<T = f32> {
    gpu: Gpu,
    storage: Arc<Storage>,
    /// Where it begins in its storage, in bytes, if it is a part of that.
    part: Option<u64>,
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
    /// [`Error::InvalidArgument`] if `data` and `shape` differ in their number of elements; otherwise as
    /// [`Tensor::from_array`].
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
        gpu.upload(&tensor.storage, None, bytemuck::cast_slice(data))?;
        Ok(tensor)
    }

    /// A tensor in a caller's buffer, from `offset` bytes on. The buffer needs the usage `STORAGE`; add `COPY_SRC` to
    /// read the tensor back, and `COPY_DST` for [`Tensor::write`].
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
            .map_err(|error| gpu.explained(error).about_buffer(TENSOR, "buffer".into()))?;
        Ok(Self::over(gpu, Buffer::Callers(buffer), offset, shape, None))
    }

    /// A tensor for an operator to write. Its contents are arbitrary until then.
    pub(crate) fn uninitialized(
        gpu: &Gpu,
        operator: &'static str,
        argument: &'static str,
        shape: &[usize],
    ) -> Result<Self> {
        let elements = shape::element_count(operator, argument, shape)?;
        let buffer = Buffer::Own(gpu.storage_buffer(operator, argument, elements, false)?);
        Ok(Self::over(gpu, buffer, 0, shape, None))
    }

    /// A tensor of zeros.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// # let gpu = wgdnn::Gpu::new_blocking()?;
    /// let running_mean = wgdnn::Tensor::<f32>::zeros(&gpu, &[64])?;
    /// assert_eq!(running_mean.read_vec_blocking()?, [0.0; 64]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::from_array`].
    pub fn zeros(gpu: &Gpu, shape: &[usize]) -> Result<Self> {
        let elements = shape::element_count(TENSOR, "shape", shape)?;
        let buffer = Buffer::Own(gpu.storage_buffer(TENSOR, "shape", elements, true)?);
        let zero = [T::zeroed()];
        let tensor = Self::over(gpu, buffer, 0, shape, T::distinct(&zero[..elements.min(1)]));
        gpu.clear(&tensor.storage, elements.max(1) as u64 * ELEMENT_BYTES)?;
        Ok(tensor)
    }

    /// A tensor to be written, for example by [`Tensor::write`] or [`Gpu::record_own`]. Its contents are arbitrary
    /// until then.
    ///
    /// # Errors
    /// As [`Tensor::from_array`].
    pub fn empty(gpu: &Gpu, shape: &[usize]) -> Result<Self> {
        let elements = shape::element_count(TENSOR, "shape", shape)?;
        let buffer = Buffer::Own(gpu.storage_buffer(TENSOR, "shape", elements, false)?);
        Ok(Self::over(gpu, buffer, 0, shape, None))
    }

    fn over(gpu: &Gpu, buffer: Buffer, offset: u64, shape: &[usize], distinct: Option<Arc<[i32]>>) -> Self {
        Tensor {
            gpu: gpu.clone(),
            storage: Arc::new(Storage::new(buffer, offset, distinct)),
            part: None,
            shape: shape.to_vec(),
            element: PhantomData,
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Whether it is a part of its storage.
    pub(crate) fn is_part(&self) -> bool {
        self.part.is_some()
    }

    /// The same data under another shape with as many elements.
    pub(crate) fn with_shape(&self, shape: Vec<usize>) -> Self {
        Tensor { shape, ..self.clone() }
    }

    /// The same data under another shape with as many elements. Both tensors share one buffer.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// # let gpu = wgdnn::Gpu::new_blocking()?;
    /// let rows = wgdnn::Tensor::from_slice(&gpu, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
    /// assert_eq!(rows.reshape(&[3, 2, 1])?.shape(), [3, 2, 1]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `shape` and the tensor differ in their number of elements.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self> {
        if shape::element_count(TENSOR, "shape", shape)? != self.len() {
            let expected = format!("a shape of {} elements, as {:?} has", self.len(), self.shape);
            return Err(Error::invalid(TENSOR, "shape", expected, format!("{shape:?}")));
        }
        Ok(self.with_shape(shape.to_vec()))
    }

    /// The tensor of this shape in its buffer from a byte on. Both share the buffer, of which it must be a part.
    pub(super) fn part(&self, begin: u64, shape: &[usize]) -> Self {
        Tensor { part: Some(self.part.unwrap_or(0) + begin), shape: shape.to_vec(), ..self.clone() }
    }

    /// The device that it is on.
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

    /// The slice of its buffer that holds it. Use it in an encoder of your own, or write to it through the queue. An
    /// empty tensor has room for one element.
    ///
    /// This first submits the pending eager calls, as [`Gpu::submit`] does, so that what you submit from now on runs
    /// after them. Submit it before you make eager calls that must run later, since these may be submitted at any time.
    /// [`Gpu::record_own`] keeps your dispatches in order without either step.
    ///
    /// The buffer is yours to use for as long as you like: no other tensor gets it, even after this one is dropped.
    /// Since you may write it, operators no longer rely on class indices that were uploaded into it.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub fn slice(&self) -> Result<wgpu::BufferSlice<'_>> {
        self.gpu.check_device()?;
        // A failure shows in the tensors that these calls write, and concerns no other.
        let _ = self.gpu.submit();
        self.storage.check()?;
        self.storage.forget_values();
        self.storage.expose();
        Ok(self.own_slice())
    }

    /// [`Tensor::slice`] for an eager call. After the call the buffer may go to another tensor.
    pub(crate) fn own_slice(&self) -> wgpu::BufferSlice<'_> {
        let bytes = (self.len() as u64).max(1) * ELEMENT_BYTES;
        let begin = self.storage.offset() + self.part.unwrap_or(0);
        self.storage.buffer().slice(begin..begin + bytes)
    }

    /// The distinct values, if it was uploaded and operators check values of its type.
    pub(crate) fn distinct(&self) -> Option<Arc<[i32]>> {
        self.storage.distinct()
    }

    /// Replaces its contents, row-major. Clones and reshaped tensors share its buffer, and so get them too.
    ///
    /// Eager calls that this thread made before read the old contents, later ones the new ones. For this the pending
    /// calls are submitted, as by [`Gpu::submit`]. If you use the tensor in an encoder of your own, call
    /// [`Tensor::slice`] after this and before your submit.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// # use wgdnn::{Gpu, Tensor, sigmoid};
    /// let gpu = Gpu::new_blocking()?;
    /// let frame = Tensor::empty(&gpu, &[2, 2])?;
    /// for value in [0.0, 0.5, 1.0] {
    ///     frame.write(&[value; 4])?;
    ///     println!("{:?}", sigmoid(&frame)?.read_vec_blocking()?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `data` and the tensor differ in their number of elements, and for a buffer of
    /// yours that lacks `COPY_DST` or is destroyed; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn write(&self, data: &[T]) -> Result<()> {
        if data.len() != self.len() {
            let expected = format!("the {} elements of shape {:?}", self.len(), self.shape);
            return Err(Error::invalid(TENSOR, "data", expected, format!("{}", data.len())));
        }
        self.gpu.check_device()?;
        self.storage.expect_usage(wgpu::BufferUsages::COPY_DST, "the usage COPY_DST, to be written")?;
        if self.storage.is_callers() {
            // Copied together with other uploads, which a destroyed buffer must not spoil.
            let binding = self.gpu.try_binding(self.storage.buffer(), self.storage.offset(), ELEMENT_BYTES);
            binding.map_err(|error| self.gpu.explained(error).about_buffer(TENSOR, "buffer".into()))?;
        }
        // Uploads are submitted before the pending calls, which may read the old contents. A failure concerns only the
        // tensors that these calls write.
        let _ = self.gpu.submit();
        self.storage.forget_values();
        self.gpu.upload(&self.storage, self.part, bytemuck::cast_slice(data))?;
        self.storage.set_values(T::distinct(data));
        Ok(())
    }

    /// Reads it back, after everything that writes it. The future does not block its executor.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a buffer of yours without `COPY_SRC`; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`], and [`Error::Validation`] if wgpu refused a pending call.
    pub async fn read(&self) -> Result<ArrayD<T>> {
        Ok(self.to_array(self.read_vec().await?))
    }

    /// [`Tensor::read`], blocking until it is done.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_blocking(&self) -> Result<ArrayD<T>> {
        Ok(self.to_array(self.read_vec_blocking()?))
    }

    /// [`Tensor::read`] into a vector, row-major.
    ///
    /// ```no_run
    /// # async fn read() -> Result<(), wgdnn::Error> {
    /// # let gpu = wgdnn::Gpu::new().await?;
    /// let tensor = wgdnn::Tensor::from_slice(&gpu, &[1, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(tensor.read_vec().await?, [1, 2, 3, 4]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub async fn read_vec(&self) -> Result<Vec<T>> {
        self.gpu.read_storage(&self.storage, self.readable()?).await
    }

    /// [`Tensor::read_vec`], blocking until it is done.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read_vec_blocking(&self) -> Result<Vec<T>> {
        self.gpu.read_storage_blocking(&self.storage, self.readable()?)
    }

    /// The bytes of its storage to read back.
    fn readable(&self) -> Result<Range<u64>> {
        self.storage.expect_usage(wgpu::BufferUsages::COPY_SRC, "the usage COPY_SRC, to be read back")?;
        let begin = self.part.unwrap_or(0);
        Ok(begin..begin + self.len() as u64 * ELEMENT_BYTES)
    }

    fn to_array(&self, data: Vec<T>) -> ArrayD<T> {
        Array::from_shape_vec(IxDyn(&self.shape), data).expect("a tensor's shape is that of its data")
    }
}
