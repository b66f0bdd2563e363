// parts: window
// The params of the pools' gradients, and the windows that contain a position.

struct Params {
    rows: Window,
    cols: Window,
    count: u32,
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    // The windows of this dispatch, counted from the first that contains an element: rows and columns of them.
    row_begin: i32,
    row_end: i32,
    col_begin: i32,
    col_end: i32,
    // Whether sums are added to what is there.
    adds: u32,
    output_base: u32,
    input_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// The windows of this dispatch that contain a position: begin and end.
fn windows_of(position: i32, window: Window, count: i32, begin: i32, end: i32) -> vec2<i32> {
    let padded = position + window.padding;
    let before = padded - window.dilation * (window.kernel - 1);
    let first = max(0, (before + window.stride - 1) / window.stride);
    return vec2<i32>(first + begin, min(min(first + end, padded / window.stride + 1), count));
}

// Whether a position that lies between the ends of a window is an element of it.
fn is_in(position: i32, window_index: i32, window: Window) -> bool {
    return (position + window.padding - window_index * window.stride) % window.dilation == 0;
}
