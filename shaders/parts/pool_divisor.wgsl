// parts: pool_gradient
// What avg_pool2d divides the sums over windows by.

// How many positions of a window along an axis count.
fn counted(window_index: i32, window: Window, length: i32, padded: i32) -> f32 {
    let start = window_index * window.stride - window.padding;
    let end = min(start + window.kernel, padded);
    return f32(select(min(end, length) - max(start, 0), end - start, params.count_include_pad != 0u));
}

// As floats, since their product can pass 2^31.
fn divisor(out_row: i32, out_col: i32) -> f32 {
    let rows = counted(out_row, params.rows, params.in_rows, params.padded_rows);
    let cols = counted(out_col, params.cols, params.in_cols, params.padded_cols);
    return select(rows * cols, params.divisor_override, params.has_divisor_override != 0u);
}
