// parts: window
// The params of the pools.

struct Params {
    rows: Window,
    cols: Window,
    count: u32,             // of output elements, or of blocks of 4
    in_rows: i32,
    in_cols: i32,
    padded_rows: i32,       // with the padding after the last
    padded_cols: i32,
    out_rows: i32,
    out_cols: i32,
    // The range of the window's elements inside the input that this dispatch visits.
    row_begin: i32,
    row_end: i32,
    col_begin: i32,
    col_end: i32,
    is_first: u32,
    is_last: u32,
    // For means.
    count_include_pad: u32,
    has_divisor_override: u32,
    divisor_override: f32,
    hidden_zero: u32,       // always 0
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
