//! The convolutions and their gradients as products of matrices.

use std::ops::Range;

use ndarray::{Array1, Array2, Array4, ArrayD, ArrayView2, ArrayView3, ArrayView4, Axis, s};

use super::super::{matrix_of, pixel_blocks};
use crate::window::Window;

/// The inputs of a group's planes that meet every element of its kernels, or the zeros around them, for these pixels of an
/// output with this many columns: [channel and kernel element, pixel].
fn patches_of(
    planes: ArrayView3<'_, f32>,
    windows: &[Window; 2],
    pixels: Range<usize>,
    out_cols: usize,
) -> Array2<f64> {
    let [rows, cols] = windows;
    let (channels, in_rows, in_cols) = planes.dim();
    let mut patches = Array2::zeros((channels * rows.kernel * cols.kernel, pixels.len()));
    for (element, mut patch) in patches.outer_iter_mut().enumerate() {
        let (kernel_row, kernel_col) = (element / cols.kernel % rows.kernel, element % cols.kernel);
        let plane: ArrayView2<'_, f32> = planes.index_axis(Axis(0), element / cols.kernel / rows.kernel);
        for (pixel, cell) in pixels.clone().zip(&mut patch) {
            let row = rows.position(pixel / out_cols, kernel_row, in_rows);
            let col = cols.position(pixel % out_cols, kernel_col, in_cols);
            if let (Some(row), Some(col)) = (row, col) {
                *cell = f64::from(plane[[row, col]]);
            }
        }
    }
    patches
}

/// The convolution of (N,C,H,W) with a weight (O,C/groups,R,S), with this many rows and columns.
pub(in super::super) fn convolved(
    planes: ArrayView4<'_, f32>,
    weight: ArrayView4<'_, f32>,
    windows: &[Window; 2],
    [out_rows, out_cols]: [usize; 2],
) -> Array4<f64> {
    let (batch, all_in_channels, ..) = planes.dim();
    let (all_out_channels, in_channels, kernel_rows, kernel_cols) = weight.dim();
    let groups = all_in_channels / in_channels;
    let out_channels = all_out_channels / groups;
    let products = in_channels * kernel_rows * kernel_cols;
    let mut output = Array4::zeros((batch, all_out_channels, out_rows, out_cols));
    for group in 0..groups {
        let channels = group * out_channels..(group + 1) * out_channels;
        let weights = matrix_of(weight.slice(s![channels, .., .., ..]), out_channels);
        for n in 0..batch {
            let group_planes = planes.slice(s![n, group * in_channels..(group + 1) * in_channels, .., ..]);
            for block in pixel_blocks(out_rows * out_cols, products) {
                let sums = weights.dot(&patches_of(group_planes, windows, block.clone(), out_cols));
                for ((channel, pixel), &sum) in sums.indexed_iter() {
                    let pixel = block.start + pixel;
                    output[[n, group * out_channels + channel, pixel / out_cols, pixel % out_cols]] = sum;
                }
            }
        }
    }
    output
}

/// The gradient of a convolution's weight (O,C/groups,R,S), from what its windows slide over, (N,C,H,W), and what belongs
/// to the pixels of its output, (N,O,rows,columns): products with the patches that meet a kernel, added over all pixels.
pub(in super::super) fn weight_gradient(
    planes: ArrayView4<'_, f32>,
    pixels: ArrayView4<'_, f32>,
    windows: &[Window; 2],
    groups: usize,
) -> Array4<f64> {
    let (batch, all_in_channels, ..) = planes.dim();
    let (_, all_out_channels, out_rows, out_cols) = pixels.dim();
    let [in_channels, out_channels] = [all_in_channels, all_out_channels].map(|channels| channels / groups);
    let kernel = windows.map(|window| window.kernel);
    let products = in_channels * kernel[0] * kernel[1];
    let mut gradient = Array2::<f64>::zeros((all_out_channels, products));
    for group in 0..groups {
        let channels = group * out_channels..(group + 1) * out_channels;
        for n in 0..batch {
            let group_planes = planes.slice(s![n, group * in_channels..(group + 1) * in_channels, .., ..]);
            let group_pixels = matrix_of(pixels.slice(s![n, channels.clone(), .., ..]), out_channels);
            for block in pixel_blocks(out_rows * out_cols, products) {
                let patches = patches_of(group_planes, windows, block.clone(), out_cols);
                let sums = group_pixels.slice(s![.., block]).dot(&patches.t());
                let mut rows = gradient.slice_mut(s![channels.clone(), ..]);
                rows += &sums;
            }
        }
    }
    let shape = (all_out_channels, in_channels, kernel[0], kernel[1]);
    gradient.into_shape_with_order(shape).expect("the weight's elements")
}

/// The gradient of a bias of these channels.
pub(in super::super) fn channel_sums(grad_output: ArrayView4<'_, f32>) -> ArrayD<f64> {
    let sums = grad_output.axis_iter(Axis(1)).map(|channel| channel.iter().map(|&x| f64::from(x)).sum());
    sums.collect::<Array1<f64>>().into_dyn()
}

/// The transposed convolution of (N,C,H,W) with a weight (C,O/groups,R,S), with this many rows and columns.
pub(in super::super) fn transposed(
    planes: ArrayView4<'_, f32>,
    weight: ArrayView4<'_, f32>,
    [rows, cols]: &[Window; 2],
    [out_rows, out_cols]: [usize; 2],
    groups: usize,
) -> Array4<f64> {
    let (batch, all_in_channels, in_rows, in_cols) = planes.dim();
    let out_channels = weight.dim().1;
    let in_channels = all_in_channels / groups;
    let products = out_channels * rows.kernel * cols.kernel;
    let mut sums = Array4::zeros((batch, groups * out_channels, out_rows, out_cols));
    for group in 0..groups {
        let channels = group * in_channels..(group + 1) * in_channels;
        let weights = matrix_of(weight.slice(s![channels.clone(), .., .., ..]), in_channels);
        for n in 0..batch {
            let inputs = matrix_of(planes.slice(s![n, channels.clone(), .., ..]), in_channels);
            for block in pixel_blocks(in_rows * in_cols, products) {
                let columns = weights.t().dot(&inputs.slice(s![.., block.clone()]));
                for ((element, pixel), product) in columns.indexed_iter() {
                    let pixel = block.start + pixel;
                    let (kernel_row, kernel_col) = (element / cols.kernel % rows.kernel, element % cols.kernel);
                    let channel = group * out_channels + element / cols.kernel / rows.kernel;
                    // Where the window that a convolution would read its output's pixel from has this element.
                    let y = rows.position(pixel / in_cols, kernel_row, out_rows);
                    let x = cols.position(pixel % in_cols, kernel_col, out_cols);
                    if let (Some(y), Some(x)) = (y, x) {
                        sums[[n, channel, y, x]] += product;
                    }
                }
            }
        }
    }
    sums
}
