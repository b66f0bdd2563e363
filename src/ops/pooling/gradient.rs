//! What the gradients of the pools share: each element of grad_input is a sum over the windows that contain it.

use std::fmt;

use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Binding, Dispatch, Kernel, LoopParts, UniformWindow, split_loops, uniform};
use crate::shape::ImageShape;
use crate::window::Window;

uniform! {
    pub(crate) struct PoolGradientParams {
        rows: UniformWindow,
        cols: UniformWindow,
        count: u32,
        in_rows: i32,
        in_cols: i32,
        padded_rows: i32,
        padded_cols: i32,
        out_rows: i32,
        out_cols: i32,
        row_begin: i32,
        row_end: i32,
        col_begin: i32,
        col_end: i32,
        count_include_pad: u32,
        has_divisor_override: u32,
        divisor_override: f32,
        adds: u32,
        output_base: u32,
        input_base: u32,
    }
}

/// The kernels of a pool's gradient.
pub(crate) struct PoolGradientKernels {
    pub quads: &'static Kernel,
    pub windows: &'static Kernel,
}

/// How the gradient of a pool is computed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolGradientPlan {
    /// An invocation computes some rows of the columns between the begins of 4 windows, from blocks of the output. The kernel is
    /// specialised for one window length and stride of columns.
    #[doc(hidden)]
    Quads(QuadGradients),
    /// An invocation computes 4 columns, from windows one by one, cut into ranges of rows and columns of windows where loops
    /// would be too long.
    #[doc(hidden)]
    Windows { parts: LoopParts, is_dilated: bool },
}

impl fmt::Display for PoolGradientPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolGradientPlan::Quads(_) => f.write_str("the columns of 4 windows an invocation, from blocks"),
            PoolGradientPlan::Windows { parts, .. } => {
                f.write_str("4 columns an invocation, from windows")?;
                if parts.len() > 1 { write!(f, ", in {} parts", parts.len()) } else { Ok(()) }
            }
        }
    }
}

/// The most windows that contain one of some positions beside each other.
fn most_windows(window: &Window, positions: usize, out: usize) -> usize {
    let reach = (window.extent() as usize).saturating_add(positions - 1);
    reach.div_ceil(window.stride).min(out).max(1)
}

impl PoolGradientPlan {
    pub(in crate::ops) fn new(on: &Capabilities, input: &ImageShape, windows: &[Window; 2], out: [usize; 2]) -> Self {
        if let Some(quads) = QuadGradients::new(input, windows, out) {
            return PoolGradientPlan::Quads(quads);
        }
        let lengths = [1, most_windows(&windows[0], 1, out[0]), most_windows(&windows[1], 4, out[1])];
        let is_dilated = windows.iter().any(|window| window.dilation > 1);
        PoolGradientPlan::Windows { parts: split_loops(on, lengths, 1), is_dilated }
    }

    /// The dispatches for some planes. `params` lacks what follows from the plan.
    pub(in crate::ops) fn dispatches(
        &self,
        kernels: &PoolGradientKernels,
        planes: usize,
        params: PoolGradientParams,
        arguments: &[Binding],
        add: &mut dyn FnMut(Dispatch),
    ) {
        if planes == 0 {
            return;
        }
        match self {
            PoolGradientPlan::Quads(quads) => {
                let width = 4 * params.cols.stride as usize;
                let fields = (params.in_rows as usize).div_ceil(quads.rows) * (params.in_cols as usize).div_ceil(width);
                let count = planes * fields;
                let params = PoolGradientParams { count: count as u32, row_end: i32::MAX, ..params };
                let dispatch = Dispatch::per_element(kernels.quads, params.to_bytes(), arguments, count);
                add(quads.specialize(dispatch));
            }
            PoolGradientPlan::Windows { parts, is_dilated } => {
                let count = planes * params.in_rows as usize * (params.in_cols as usize).div_ceil(4);
                for (index, [_, rows, cols]) in parts.iter().enumerate() {
                    let params = PoolGradientParams {
                        count: count as u32,
                        row_begin: rows.start as i32,
                        row_end: rows.end as i32,
                        col_begin: cols.start as i32,
                        col_end: cols.end as i32,
                        adds: u32::from(params.adds != 0 || index > 0),
                        ..params
                    };
                    let dispatch = Dispatch::per_element(kernels.windows, params.to_bytes(), arguments, count);
                    // Means have no dilation.
                    add(if *is_dilated { dispatch.with_constant("IS_DILATED", 1) } else { dispatch });
                }
            }
        }
    }
}

/// How many numbers are added up, one after the other, for an element of a pool's gradient, with what it is added to.
pub(in crate::ops) fn terms(windows: &[Window; 2], out: [usize; 2]) -> usize {
    most_windows(&windows[0], 1, out[0]) + most_windows(&windows[1], 1, out[1]) + 2
}

impl PoolGradientParams {
    /// The params without those that follow from the plan, and without divisors.
    pub(in crate::ops) fn new(
        input: &ImageShape,
        out: [usize; 2],
        [rows, cols]: &[Window; 2],
        adds: bool,
        [grad_output, grad_input]: [Binding; 2],
    ) -> Self {
        PoolGradientParams {
            rows: rows.into(),
            cols: cols.into(),
            in_rows: input.rows as i32,
            in_cols: input.cols as i32,
            padded_rows: (input.rows + rows.padding_after) as i32,
            padded_cols: (input.cols + cols.padding_after) as i32,
            out_rows: out[0] as i32,
            out_cols: out[1] as i32,
            adds: u32::from(adds),
            output_base: grad_output.base,
            input_base: grad_input.base,
            ..Default::default()
        }
    }
}

/// The most blocks that a kernel has room for, of a row of the output and of what an invocation computes.
const MAX_BLOCKS: i64 = 8;

/// More rows of windows would be cut.
const MAX_WINDOW_ROWS: usize = 64;

/// More pairs of a column and a window would not be unrolled.
const MAX_PAIRS: i64 = 192;

/// The constants of a kernel for one length and stride of windows along columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuadGradients {
    constants: [(&'static str, u32); 6],
    /// How many rows an invocation computes.
    rows: usize,
}

impl QuadGradients {
    /// `None` if rows are not made of blocks, or windows are too long or dilated.
    fn new(input: &ImageShape, [rows, cols]: &[Window; 2], out: [usize; 2]) -> Option<Self> {
        let fits = input.cols.is_multiple_of(4)
            && out[1].is_multiple_of(4)
            && [rows, cols].iter().all(|window| window.dilation == 1)
            && most_windows(rows, 1, out[0]) <= MAX_WINDOW_ROWS
            && cols.kernel.max(cols.stride) <= MAX_PAIRS as usize;
        if !fits {
            return None;
        }
        let [kernel, stride, padding] = [cols.kernel, cols.stride, cols.padding_before].map(|length| length as i64);
        // The windows that have columns of these, counted from the one that would begin at the first without padding.
        let first = (padding - kernel).div_euclid(stride) + 1;
        let last = 3 + (stride - 1 + padding) / stride;
        let left = first.rem_euclid(4);
        let windows = last - first + 1;
        let blocks = (left + windows + 3) / 4;
        let is_small = blocks <= MAX_BLOCKS && stride <= MAX_BLOCKS && 4 * stride * windows <= MAX_PAIRS;
        let constants = [
            ("KERNEL_COLS", kernel),
            ("STRIDE_COLS", stride),
            ("PADDING_COLS", padding),
            ("LEFT", left),
            ("WINDOWS", windows),
            ("BLOCKS_BEFORE", (left - first) / 4),
        ];
        // Rows share what they load. More of them would compare more maxima that are in none.
        let rows = if stride <= MAX_BLOCKS / 2 { 2 } else { 1 };
        let constants = constants.map(|(name, value)| (name, value as u32));
        is_small.then_some(QuadGradients { constants, rows })
    }

    fn specialize(&self, dispatch: Dispatch) -> Dispatch {
        let dispatch = dispatch.with_constant("ROWS", self.rows as u32);
        self.constants.iter().fold(dispatch, |dispatch, &(name, value)| dispatch.with_constant(name, value))
    }
}
