//! Pooling of 4 output elements an invocation, from blocks of 4 elements of the input.

use crate::gpu::kernel::Dispatch;
use crate::shape::ImageShape;
use crate::window::Window;

/// As many blocks as a kernel has room for.
const MAX_BLOCKS: usize = 8;

/// Larger windows are better cut into rows and columns by the general kernels.
const MAX_KERNEL_ROWS: usize = 32;

/// The constants of a kernel that is made for windows of one size and stride.
#[derive(Debug)]
pub(crate) struct QuadWindows {
    constants: [(&'static str, usize); 5],
}

impl QuadWindows {
    /// None where rows are not made of blocks, or windows are too large or dilated.
    pub fn new(input: &ImageShape, out_cols: usize, [rows, cols]: &[Window; 2]) -> Option<Self> {
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

    pub fn specialize(self, dispatch: Dispatch) -> Dispatch {
        self.constants.into_iter().fold(dispatch, |dispatch, (name, value)| dispatch.with_constant(name, value as u32))
    }
}
