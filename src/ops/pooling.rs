//! What the pools share: how they are computed and cut.

use std::fmt;

use crate::gpu::capabilities::Capabilities;
use crate::gpu::kernel::{Binding, Dispatch, LoopParts, UniformBytes, UniformWindow, split_loops, uniform};
use crate::shape::ImageShape;
use crate::window::Window;

mod gradient;

pub use gradient::PoolGradientPlan;
pub(super) use gradient::{PoolGradientKernels, PoolGradientParams, terms};

uniform! {
    pub(crate) struct PoolParams {
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

/// How a pool is computed.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolPlan {
    /// An invocation computes a quad, 4 elements of the output, from blocks of the input. The kernel is specialised for
    /// one window size and stride.
    #[doc(hidden)]
    Quads(QuadWindows),
    /// Windows one by one, cut into ranges of rows and columns where loops would be too long.
    #[doc(hidden)]
    Windows {
        /// How many elements of the output an invocation computes, one after the other.
        outputs: usize,
        parts: LoopParts,
    },
}

impl fmt::Display for PoolPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolPlan::Quads(_) => f.write_str("4 outputs an invocation, from blocks"),
            PoolPlan::Windows { outputs, parts } => {
                write!(f, "windows, {outputs} an invocation")?;
                if parts.len() > 1 { write!(f, ", in {} parts", parts.len()) } else { Ok(()) }
            }
        }
    }
}

impl PoolParams {
    /// The params of a pool, without those that follow from the plan.
    pub(super) fn new(input: &ImageShape, out: [usize; 2], [rows, cols]: &[Window; 2], bases: [Binding; 2]) -> Self {
        PoolParams {
            rows: rows.into(),
            cols: cols.into(),
            in_rows: input.rows as i32,
            in_cols: input.cols as i32,
            padded_rows: (input.rows + rows.padding_after) as i32,
            padded_cols: (input.cols + cols.padding_after) as i32,
            out_rows: out[0] as i32,
            out_cols: out[1] as i32,
            input_base: bases[0].base,
            output_base: bases[1].base,
            ..Default::default()
        }
    }
}

impl PoolPlan {
    /// The dispatches. `dispatch` makes one for the kernel of quads or of windows, given the number of invocations;
    /// `params` lacks what follows from the plan.
    pub(super) fn dispatches(
        &self,
        outputs_in_all: usize,
        params: PoolParams,
        dispatch: impl Fn(bool, UniformBytes, usize) -> Dispatch,
        add: &mut dyn FnMut(Dispatch),
    ) {
        match self {
            PoolPlan::Quads(windows) => {
                let quads = outputs_in_all / 4;
                let params = PoolParams { count: quads as u32, ..params };
                add(windows.specialize(dispatch(true, params.to_bytes(), quads)));
            }
            PoolPlan::Windows { outputs, parts } => {
                for (index, [_, row_range, col_range]) in parts.iter().enumerate() {
                    let params = PoolParams {
                        count: outputs_in_all as u32,
                        row_begin: row_range.start as i32,
                        row_end: row_range.end as i32,
                        col_begin: col_range.start as i32,
                        col_end: col_range.end as i32,
                        is_first: u32::from(index == 0),
                        is_last: u32::from(index + 1 == parts.len()),
                        ..params
                    };
                    add(dispatch(false, params.to_bytes(), outputs_in_all.div_ceil(*outputs))
                        .with_constant("OUTPUTS", *outputs as u32));
                }
            }
        }
    }

    /// The plan for windows of which at most `inside` elements lie within the input.
    pub(super) fn new(
        on: &Capabilities,
        input: &ImageShape,
        out_cols: usize,
        windows: &[Window; 2],
        [rows, cols]: [usize; 2],
    ) -> Self {
        if let Some(windows) = QuadWindows::new(input, out_cols, windows) {
            return PoolPlan::Quads(windows);
        }
        // An invocation needs divisions to find its first element. On a GPU, neighbouring invocations on neighbouring
        // elements matter more.
        let outputs = if on.is_software() { 4 } else { 1 };
        PoolPlan::Windows { outputs, parts: split_loops(on, [1, rows, cols], outputs as u32) }
    }
}

/// The most blocks that a kernel has room for.
const MAX_BLOCKS: usize = 8;

/// Larger windows run faster in the general kernels, cut into ranges of rows and columns.
const MAX_KERNEL_ROWS: usize = 32;

/// The constants of a kernel for one window size and stride.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuadWindows {
    constants: [(&'static str, usize); 5],
}

impl QuadWindows {
    /// `None` if rows are not made of blocks, or windows are too large or dilated.
    fn new(input: &ImageShape, out_cols: usize, [rows, cols]: &[Window; 2]) -> Option<Self> {
        let left = cols.padding_before.next_multiple_of(4) - cols.padding_before;
        let blocks = (left + 3 * cols.stride + cols.kernel).div_ceil(4);
        let fits = input.cols.is_multiple_of(4)
            && out_cols.is_multiple_of(4)
            && [rows, cols].iter().all(|window| window.dilation == 1)
            && blocks <= MAX_BLOCKS
            && rows.kernel <= MAX_KERNEL_ROWS;
        let constants = [
            ("KERNEL_ROWS", rows.kernel),
            ("KERNEL_COLS", cols.kernel),
            ("STRIDE_COLS", cols.stride),
            ("LEFT", left),
            ("BLOCKS", blocks),
        ];
        fits.then_some(QuadWindows { constants })
    }

    pub(super) fn specialize(&self, dispatch: Dispatch) -> Dispatch {
        self.constants.iter().fold(dispatch, |dispatch, &(name, value)| dispatch.with_constant(name, value as u32))
    }
}
