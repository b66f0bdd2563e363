//! avg_pool2d: the mean over sliding windows.

use crate::error::{Error, Result};
use crate::ops::max_pool2d::check_padding;
use crate::shape::{self, ImageShape};
use crate::window::Window;

const NAME: &str = "avg_pool2d";

/// Parameters of [`avg_pool2d`](crate::avg_pool2d), as in `torch.nn.functional.avg_pool2d`. Pairs are (rows, columns).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvgPool2dParams {
    /// The window's size.
    pub kernel_size: [usize; 2],
    /// How far windows are apart; `kernel_size` if `None`.
    pub stride: Option<[usize; 2]>,
    /// Zeros added on every side; at most half of `kernel_size`.
    pub padding: [usize; 2],
    /// Count partial windows at the end.
    pub ceil_mode: bool,
    /// Count the padding among the elements that a sum is divided by.
    pub count_include_pad: bool,
    /// What every sum is divided by instead; not 0.
    pub divisor_override: Option<i64>,
}

impl AvgPool2dParams {
    /// Windows of this size, side by side.
    pub fn new(kernel_size: [usize; 2]) -> Self {
        AvgPool2dParams {
            kernel_size,
            stride: None,
            padding: [0, 0],
            ceil_mode: false,
            count_include_pad: true,
            divisor_override: None,
        }
    }
}

/// A validated [`avg_pool2d`](crate::avg_pool2d) on an input of known shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvgPool2d {
    pub(crate) input: ImageShape,
    pub(crate) windows: [Window; 2],
    pub(crate) out_rows: usize,
    pub(crate) out_cols: usize,
    pub(crate) count_include_pad: bool,
    pub(crate) divisor_override: Option<i64>,
}

impl AvgPool2d {
    /// Checks the parameters against an input of shape (N,C,H,W) or (C,H,W).
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an `input` of another rank or with an empty dimension other than N, a
    /// `kernel_size` or `stride` of 0, a `padding` above half of `kernel_size`, a `divisor_override` of 0, and windows
    /// that do not fit; [`Error::LimitExceeded`] for sizes that cannot be counted.
    pub fn new(input: &[usize], params: &AvgPool2dParams) -> Result<Self> {
        let input = ImageShape::new(NAME, input)?;
        let windows = Window::pair(
            NAME,
            "kernel_size",
            params.kernel_size,
            params.stride.unwrap_or(params.kernel_size),
            params.padding,
            [1, 1],
        )?;
        check_padding(NAME, params.kernel_size, params.padding)?;
        if params.divisor_override == Some(0) {
            return Err(Error::invalid(NAME, "divisor_override", "not 0", "0"));
        }
        let out_rows = windows[0].output_length(NAME, input.rows, params.ceil_mode)?;
        let out_cols = windows[1].output_length(NAME, input.cols, params.ceil_mode)?;
        let operator = AvgPool2d {
            input,
            windows,
            out_rows,
            out_cols,
            count_include_pad: params.count_include_pad,
            divisor_override: params.divisor_override,
        };
        shape::element_count(NAME, "output", &operator.output_shape())?;
        Ok(operator)
    }

    /// The shape of the output.
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
    use super::{AvgPool2d, AvgPool2dParams, NAME};
    use crate::error::Result;
    use crate::gpu::Gpu;
    use crate::gpu::kernel::{Dispatch, Kernel, kernel, outputs_per_invocation, split_loops, uniform};
    use crate::gpu::operator::{Operator, Part, Sealed, Split};
    use crate::gpu::quads::QuadWindows;
    use crate::gpu::recorder::{Argument, Recorder};
    use crate::gpu::tensor::Tensor;
    use crate::reference;
    use crate::validation::{Replay, magnitudes, read, replay, rounding, unless_overflown};

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
                row_begin: i32,
                row_end: i32,
                col_begin: i32,
                col_end: i32,
                is_first: u32,
                is_last: u32,
                count_include_pad: u32,
                has_divisor_override: u32,
                divisor_override: f32,
                hidden_zero: u32,
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
            count_include_pad: u32,
            has_divisor_override: u32,
            divisor_override: f32,
            hidden_zero: u32,
            input_base: u32,
            output_base: u32,
        }
    }

    static AVG_POOL2D: Kernel = kernel!("avg_pool2d", "avg_pool2d", Params, [(1, Read), (2, ReadWrite)]);
    static QUADS: Kernel = kernel!("avg_pool2d_quads", "avg_pool2d_quads", QuadParams, [(1, Read), (2, ReadWrite)]);
    pub(crate) const KERNELS: &[&Kernel] = &[&AVG_POOL2D, &QUADS];

    /// The buffers of a recorded [`AvgPool2d`].
    #[derive(Debug, Clone, Copy)]
    pub struct AvgPool2dBuffers<'a> {
        /// f32, of the input's shape.
        pub input: wgpu::BufferSlice<'a>,
        /// f32, of the output's shape.
        pub output: wgpu::BufferSlice<'a>,
    }

    impl Sealed for AvgPool2d {}

    impl Operator for AvgPool2d {
        fn name(&self) -> &'static str {
            NAME
        }

        fn split(&self) -> Split {
            // Planes have nothing to do with each other.
            let [input, output] = [self.input.rows * self.input.cols, self.out_rows * self.out_cols];
            Split { items: self.input.batch * self.input.channels, shares: vec![("input", input), ("output", output)] }
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
            let ranges = split_loops(
                gpu,
                [1, rows.kernel.min(self.input.rows), cols.kernel.min(self.input.cols)],
                outputs as u32,
            );
            ranges
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
                        row_begin: row_range.start as i32,
                        row_end: row_range.end as i32,
                        col_begin: col_range.start as i32,
                        col_end: col_range.end as i32,
                        is_first: u32::from(index == 0),
                        is_last: u32::from(index + 1 == ranges.len()),
                        count_include_pad: u32::from(self.count_include_pad),
                        has_divisor_override: u32::from(self.divisor_override.is_some()),
                        divisor_override: self.divisor_override.unwrap_or(1) as f32,
                        hidden_zero: 0,
                        input_base: part.base("input"),
                        output_base: part.base("output"),
                    };
                    Dispatch::per_element(
                        &AVG_POOL2D,
                        params.to_bytes(),
                        vec!["input", "output"],
                        output_count.div_ceil(outputs),
                    )
                    .with_constant("OUTPUTS", outputs as u32)
                })
                .collect()
        }
    }

    impl AvgPool2d {
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
                count_include_pad: u32::from(self.count_include_pad),
                has_divisor_override: u32::from(self.divisor_override.is_some()),
                divisor_override: self.divisor_override.unwrap_or(1) as f32,
                hidden_zero: 0,
                input_base: part.base("input"),
                output_base: part.base("output"),
            };
            windows.specialize(Dispatch::per_element(&QUADS, params.to_bytes(), vec!["input", "output"], quads))
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
        /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a buffer that is too small, misaligned,
        /// without `STORAGE`, or both read and written; [`Error::LimitExceeded`](crate::Error::LimitExceeded) for the
        /// device's limits.
        pub fn record(&self, recorder: &mut Recorder<'_>, buffers: &AvgPool2dBuffers<'_>) -> Result<()> {
            let arguments = [
                Argument::read("input", buffers.input, self.input.count()),
                Argument::write("output", buffers.output, self.output_shape().iter().product()),
            ];
            recorder.run(self, &arguments)
        }
    }

    /// The mean over sliding windows of an input (N,C,H,W) or (C,H,W), as
    /// [`torch.nn.functional.avg_pool2d`](https://pytorch.org/docs/2.11/generated/torch.nn.functional.avg_pool2d.html).
    ///
    /// ```no_run
    /// # fn main() -> Result<(), wgdnn::Error> {
    /// use wgdnn::{AvgPool2dParams, Gpu, Tensor, avg_pool2d};
    ///
    /// let gpu = Gpu::new_blocking()?;
    /// let input = Tensor::from_array(&gpu, &ndarray::Array4::<f32>::ones((1, 3, 32, 32)))?;
    /// let means = avg_pool2d(&input, &AvgPool2dParams::new([2, 2]))?;
    /// assert_eq!(means.shape(), [1, 3, 16, 16]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`AvgPool2d::new`] and [`AvgPool2d::record`].
    pub fn avg_pool2d(input: &Tensor, params: &AvgPool2dParams) -> Result<Tensor> {
        let operator = AvgPool2d::new(input.shape(), params)?;
        let output = Tensor::uninitialized(input.gpu(), NAME, &operator.output_shape())?;
        input.gpu().eager(&operator, &[input.storage()], &[output.storage()], |recorder| {
            operator.record(recorder, &AvgPool2dBuffers { input: input.own_slice(), output: output.own_slice() })
        })?;
        replay(input.gpu(), NAME, || {
            let x = read(input)?;
            let expected = reference::avg_pool2d(&x, params)?;
            let sums = reference::avg_pool2d(&magnitudes(&x), params)?.into_flat();
            // A sum is its mean times this, or less.
            let elements = (params.kernel_size[0] * params.kernel_size[1]) as f64;
            let elements = operator.divisor_override.map_or(elements, |divisor| divisor.unsigned_abs() as f64);
            Replay { operator: NAME, shapes: vec![("input", input.shape().to_vec())] }.floats(
                "output",
                &output,
                &expected,
                |index| {
                    let mean = f64::from(sums[index].abs());
                    unless_overflown(mean * elements, rounding(8, mean))
                },
            )?;
            Ok(())
        })?;
        Ok(output)
    }
}
