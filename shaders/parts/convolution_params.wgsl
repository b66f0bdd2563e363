// parts: window
// The params of convolutions whose products are cut into ranges of channels and kernel elements.

struct Params {
    rows: Window,
    cols: Window,
    epilogue: vec4<u32>,    // see epilogue.wgsl
    count: u32,             // of output elements; in scatter_add, of input elements
    groups: i32,
    in_channels: i32,       // of a group
    out_channels: i32,      // of a group
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    // The range of products that this dispatch adds.
    channel_begin: i32,
    channel_end: i32,
    kernel_row_begin: i32,
    kernel_row_end: i32,
    kernel_col_begin: i32,
    kernel_col_end: i32,
    // Whether sums are added to what the output holds.
    continues: u32,
    has_bias: u32,
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
