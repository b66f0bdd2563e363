//! max_pool2d: the maximum over sliding windows.

use crate::error::{Error, Result};
use crate::shape::{self, ImageShape};
use crate::window::Window;

const NAME: &str = "max_pool2d";

/// Parameters of [`max_pool2d`](crate::max_pool2d), as in `torch.nn.functional.max_pool2d`. Pairs are (rows, columns).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool2dParams {
    /// The window's size.
    pub kernel_size: [usize; 2],
    /// How far windows are apart; `kernel_size` if `None`.
    pub stride: Option<[usize; 2]>,
    /// Positions added on every side, never chosen; at most half of `kernel_size`.
    pub padding: [usize; 2],
    /// How far elements of a window are apart.
    pub dilation: [usize; 2],
    /// Count partial windows at the end.
    pub ceil_mode: bool,
    /// Also return where each maximum is.
    pub return_indices: bool,
}

impl MaxPool2dParams {
    /// Windows of this size, side by side.
    pub fn new(kernel_size: [usize; 2]) -> Self {
        MaxPool2dParams {
            kernel_size,
            stride: None,
            padding: [0, 0],
            dilation: [1, 1],
            ceil_mode: false,
            return_indices: false,
        }
    }
}

/// A validated [`max_pool2d`](crate::max_pool2d) on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaxPool2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) return_indices: bool,
}

/// Checks pooling's padding, which PyTorch holds to half of the window without its dilation.
pub(super) fn check_padding(operator: &'static str, kernel_size: [usize; 2], padding: [usize; 2]) -> Result<()> {
    let most = kernel_size.map(|length| length / 2);
    if padding[0] > most[0] || padding[1] > most[1] {
        return Err(Error::invalid(
            operator,
            "padding",
            format!("at most half of kernel_size, {most:?}"),
            format!("{padding:?}"),
        ));
    }
    Ok(())
}

impl MaxPool2d {
    /// Checks the parameters against an input of shape (N,C,H,W) or (C,H,W).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` of another rank or with an empty dimension other than N, a
    /// `kernel_size`, `stride` or `dilation` of 0, a `padding` above half of `kernel_size`, and windows that do not fit;
    /// [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], params: &MaxPool2dParams) -> Result<Self> {
        let input = ImageShape::new(NAME, input)?;
        let windows = Window::pair(
            NAME,
            "kernel_size",
            params.kernel_size,
            params.stride.unwrap_or(params.kernel_size),
            params.padding,
            params.dilation,
        )?;
        check_padding(NAME, params.kernel_size, params.padding)?;
        let out_rows = windows[0].output_length(NAME, input.rows, params.ceil_mode)?;
        let out_cols = windows[1].output_length(NAME, input.cols, params.ceil_mode)?;
        let operator = MaxPool2d { input, windows, out_rows, out_cols, return_indices: params.return_indices };
        shape::element_count(NAME, "output", &operator.output_shape())?;
        Ok(operator)
    }

    /// The shape of the output, and of the indices.
    pub fn output_shape(&self) -> Vec<usize> {
        self.input.with_plane(self.input.channels, self.out_rows, self.out_cols)
    }

    /// Bytes of workspace that recording needs: none.
    pub fn workspace_size(&self) -> u64 {
        0
    }
}

#[cfg(feature = "gpu")]
pub use on_gpu::*;

#[cfg(feature = "gpu")]
mod on_gpu {
    use super::{MaxPool2d, MaxPool2dParams, NAME};
    use crate::error::Result;
    use crate::gpu::Gpu;
    use crate::gpu::kernel::{Dispatch, Kernel, kernel, outputs_per_invocation, split_loops, uniform};
    use crate::gpu::operator::{Operator, Part, Sealed, Split};
    use crate::gpu::quads::QuadWindows;
    use crate::gpu::recorder::{Argument, Recorder};
    use crate::gpu::tensor::Tensor;
    use crate::reference;
    use crate::validation::{Replay, read, replay};

    uniform! {
            struct Params {
                output_count: u32,
                in_rows: i32,
                in_cols: i32,
                out_rows: i32,
                out_cols: i32,
                kernel_rows: i32,
                kernel_cols: i32,
                stride_rows: i32,
                stride_cols: i32,
                padding_rows: i32,
                padding_cols: i32,
                dilation_rows: i32,
                dilation_cols: i32,
                row_begin: i32,
                row_end: i32,
                col_begin: i32,
                col_end: i32,
                is_first: u32,
    input_base: u32,
    output_base: u32,
            }
        }

    uniform! {
        struct QuadParams {
            quad_count: u32,
            in_rows: i32,
            in_cols: i32,
            out_rows: i32,
            out_cols: i32,
            stride_rows: i32,
            padding_rows: i32,
            padding_cols: i32,
            input_base: u32,
            output_base: u32,
        }
    }

    static VALUES: Kernel = kernel!("max_pool2d", "max_pool2d", Params, [(1, Read), (2, ReadWrite)]);
    static WITH_INDICES: Kernel =
        kernel!("max_pool2d", "max_pool2d_with_indices", Params, [(1, Read), (2, ReadWrite), (3, ReadWrite)]);
    static QUADS: Kernel = kernel!("max_pool2d_quads", "max_pool2d_quads", QuadParams, [(1, Read), (2, ReadWrite)]);
    static QUADS_WITH_INDICES: Kernel = kernel!(
        "max_pool2d_quads",
        "max_pool2d_quads_with_indices",
        QuadParams,
        [(1, Read), (2, ReadWrite), (3, ReadWrite)]
    );
    pub(crate) const KERNELS: &[&Kernel] = &[&VALUES, &WITH_INDICES, &QUADS, &QUADS_WITH_INDICES];

    /// The buffers of a recorded [`MaxPool2d`].
    #[derive(Debug, Clone, Copy)]
    pub struct MaxPool2dBuffers<'a> {
        /// f32, of the input's shape.
        pub input: wgpu::BufferSlice<'a>,
        /// f32, of the output's shape.
        pub output: wgpu::BufferSlice<'a>,
        /// i32, of the output's shape; with `return_indices`.
        pub indices: Option<wgpu::BufferSlice<'a>>,
    }

    /// What [`max_pool2d`] returns.
    #[derive(Debug, Clone)]
    pub struct MaxPool2dOutput {
        /// The maxima, (N,C,H,W) or (C,H,W).
        pub output: Tensor,
        /// With `return_indices`: where each is, as row * width + column in its plane of the input.
        pub indices: Option<Tensor<i32>>,
    }

    impl Sealed for MaxPool2d {}

    impl Operator for MaxPool2d {
        fn name(&self) -> &'static str {
            NAME
        }

        fn split(&self) -> Split {
            // Planes have nothing to do with each other.
            let [input, output] = [self.input.rows * self.input.cols, self.out_rows * self.out_cols];
            Split {
                items: self.input.batch * self.input.channels,
                shares: vec![("input", input), ("output", output), ("indices", output)],
            }
        }

        fn dispatches(&self, gpu: &Gpu, part: &Part) -> Vec<Dispatch> {
            let planes = part.items;
            let output_count = planes * self.out_rows * self.out_cols;
            if output_count == 0 {
                return Vec::new();
            }
            if let Some(windows) = QuadWindows::new(&self.input, self.out_cols, &self.windows) {
                return vec![self.quads(part, windows)];
            }
            let outputs = outputs_per_invocation(gpu);
            let [rows, cols] = &self.windows;
            // No window has more elements inside the input than this.
            let inside =
                |length: usize, window: &crate::window::Window| window.kernel.min(length.div_ceil(window.dilation));
            let lengths = [1, inside(self.input.rows, rows), inside(self.input.cols, cols)];
            let (kernel, arguments) = if self.return_indices {
                (&WITH_INDICES, vec!["input", "output", "indices"])
            } else {
                (&VALUES, vec!["input", "output"])
            };
            split_loops(gpu, lengths, outputs as u32)
                .iter()
                .enumerate()
                .map(|(index, [_, row_range, col_range])| {
                    let params = Params {
                        output_count: output_count as u32,
                        in_rows: self.input.rows as i32,
                        in_cols: self.input.cols as i32,
                        out_rows: self.out_rows as i32,
                        out_cols: self.out_cols as i32,
                        kernel_rows: rows.kernel as i32,
                        kernel_cols: cols.kernel as i32,
                        stride_rows: rows.stride as i32,
                        stride_cols: cols.stride as i32,
                        padding_rows: rows.padding_before as i32,
                        padding_cols: cols.padding_before as i32,
                        dilation_rows: rows.dilation as i32,
                        dilation_cols: cols.dilation as i32,
                        row_begin: row_range.start as i32,
                        row_end: row_range.end as i32,
                        col_begin: col_range.start as i32,
                        col_end: col_range.end as i32,
                        is_first: u32::from(index == 0),
                        input_base: part.base("input"),
                        output_base: part.base("output"),
                    };
                    Dispatch::per_element(kernel, params.to_bytes(), arguments.clone(), output_count.div_ceil(outputs))
                        .with_constant("OUTPUTS", outputs as u32)
                })
                .collect()
        }
    }

    impl MaxPool2d {
        /// Four output elements an invocation, in one dispatch.
        fn quads(&self, part: &Part, windows: QuadWindows) -> Dispatch {
            let [rows, cols] = &self.windows;
            let quads = part.items * self.out_rows * self.out_cols / 4;
            let params = QuadParams {
                quad_count: quads as u32,
                in_rows: self.input.rows as i32,
                in_cols: self.input.cols as i32,
                out_rows: self.out_rows as i32,
                out_cols: self.out_cols as i32,
                stride_rows: rows.stride as i32,
                padding_rows: rows.padding_before as i32,
                padding_cols: cols.padding_before as i32,
                input_base: part.base("input"),
                output_base: part.base("output"),
            };
            let (kernel, arguments) = if self.return_indices {
                (&QUADS_WITH_INDICES, vec!["input", "output", "indices"])
            } else {
                (&QUADS, vec!["input", "output"])
            };
            windows.specialize(Dispatch::per_element(kernel, params.to_bytes(), arguments, quads))
        }

        /// Compiles what recording needs, now rather than then.
        ///
        /// # Errors
        /// As [`Gpu::warm_up`].
        pub fn warm_up(&self, gpu: &Gpu) -> Result<()> {
            gpu.warm_up(&[self])
        }

        /// Records the operator on the caller's buffers.
        ///
        /// # Errors
        /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is missing, too small,
        /// misaligned, without `STORAGE`, or both read and written;
        /// [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the device's limits.
        pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &MaxPool2dBuffers<'_>) -> Result<()> {
            let output_count = self.output_shape().iter().product();
            let indices =
                Argument::optional(NAME, "indices", buffers.indices, self.return_indices.then_some(output_count))?;
            let mut arguments = vec![
                Argument::read("input", buffers.input, self.input.count()),
                Argument::write("output", buffers.output, output_count),
            ];
            arguments.extend(indices.map(Argument::written));
            recorder.run(self, &arguments)
        }
    }

    /// The maximum over sliding windows of an input (N,C,H,W) or (C,H,W), as
    /// [`torch.nn.functional.max_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.max_pool2d.html).
    ///
    /// A NaN is above everything, and of equal values the first is taken.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{Gpu, MaxPool2dParams, Tensor, max_pool2d};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::zeros((1, 3, 32, 32)))?;
    /// let pooled = max_pool2d(&input, &MaxPool2dParams::new([2, 2]))?;
    /// assert_eq!(pooled.output.shape(), [1, 3, 16, 16]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`MaxPool2d::new`] and [`MaxPool2d::record`].
    pub fn max_pool2d(input: &Tensor, params: &MaxPool2dParams) -> Result<MaxPool2dOutput> {
        let gpu = input.gpu();
        let operator = MaxPool2d::new(input.shape(), params)?;
        let output = Tensor::uninitialized(gpu, NAME, &operator.output_shape())?;
        let indices =
            params.return_indices.then(|| Tensor::uninitialized(gpu, NAME, &operator.output_shape())).transpose()?;
        let mut writes = vec![output.storage()];
        writes.extend(indices.as_ref().map(Tensor::storage));
        gpu.eager(&operator, &[input.storage()], &writes, |recorder| {
            operator.record(
                recorder,
                &MaxPool2dBuffers {
                    input: input.own_slice(),
                    output: output.own_slice(),
                    indices: indices.as_ref().map(Tensor::own_slice),
                },
            )
        })?;
        replay(gpu, NAME, || {
            let expected = reference::max_pool2d(&read(input)?, params)?;
            let held = Replay { operator: NAME, shapes: vec![("input", input.shape().to_vec())] };
            held.floats("output", &output, &expected.output, |_| 0.0)?;
            if let (Some(indices), Some(expected)) = (&indices, &expected.indices) {
                held.integers("indices", indices, expected)?;
            }
            Ok(())
        })?;
        Ok(MaxPool2dOutput { output, indices })
    }
}
