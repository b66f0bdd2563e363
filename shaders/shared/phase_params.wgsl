// What transposed convolutions by gathering, by phases and of points are given.

struct Params {
    output_count: u32,
    groups: i32,
    in_channels: i32,       // of a group
    out_channels: i32,      // of a group
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    kernel_rows: i32,
    kernel_cols: i32,
    stride_rows: i32,
    stride_cols: i32,
    padding_rows: i32,
    padding_cols: i32,
    dilation_rows: i32,
    dilation_cols: i32,
    // The greatest common divisors of stride and dilation.
    divisor_rows: i32,
    divisor_cols: i32,
    // What dilation / divisor is multiplied with to give 1, modulo stride / divisor.
    inverse_rows: i32,
    inverse_cols: i32,
    // The range of products that this dispatch adds.
    channel_begin: i32,
    channel_end: i32,
    // Of the kernel elements that an output or its phase uses.
    tap_row_begin: i32,
    tap_row_end: i32,
    tap_col_begin: i32,
    tap_col_end: i32,
    is_first: u32,
    has_bias: u32,
    // Where they begin in what is bound.
    input_base: u32,
    output_base: u32,
}
