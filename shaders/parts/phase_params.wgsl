// parts: window
// The params of transposed convolutions by gathering, by phases and of points.

struct Params {
    rows: Window,
    cols: Window,
    epilogue: vec4<u32>,    // see epilogue.wgsl
    output_count: u32,
    groups: i32,
    in_channels: i32,       // of a group
    out_channels: i32,      // of a group
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    // The greatest common divisors of stride and dilation.
    divisor_rows: i32,
    divisor_cols: i32,
    // The inverse of dilation / divisor modulo stride / divisor.
    inverse_rows: i32,
    inverse_cols: i32,
    // The range of products that this dispatch adds.
    channel_begin: i32,
    channel_end: i32,
    // The range of the kernel elements that an output or its phase uses.
    tap_row_begin: i32,
    tap_row_end: i32,
    tap_col_begin: i32,
    tap_col_end: i32,
    // Whether sums are added to what the output holds.
    continues: u32,
    has_bias: u32,
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
