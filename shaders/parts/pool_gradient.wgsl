// parts: window, divide
// The params of the pools' gradients, and the windows that contain positions.

struct Params {
    rows: Window,
    cols: Window,
    count: u32,             // of invocations
    in_rows: i32,
    in_cols: i32,
    padded_rows: i32,       // with the padding after the last
    padded_cols: i32,
    out_rows: i32,
    out_cols: i32,
    // The windows of this dispatch, counted from the first that contains an element: rows and columns of them.
    row_begin: i32,
    row_end: i32,
    col_begin: i32,
    col_end: i32,
    // For means.
    count_include_pad: u32,
    has_divisor_override: u32,
    divisor_override: f32,
    // Whether sums are added to what is there.
    adds: u32,
    // Where they begin in their bindings, in elements.
    output_base: u32,
    input_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// The windows of this dispatch that reach over a position from `first` to `last`: begin and end.
fn windows_over(first: i32, last: i32, window: Window, count: i32, begin: i32, end: i32) -> vec2<i32> {
    let before = first + window.padding - window.dilation * (window.kernel - 1);
    let begins = i32(divided(u32(max(before + window.stride - 1, 0)), u32(window.stride)));
    let ends = min(i32(divided(u32(last + window.padding), u32(window.stride))) + 1, count);
    // `end` may be as large as an i32 can be.
    return vec2<i32>(begins + begin, begins + min(end, ends - begins));
}
