// parts: pool_gradient
// The gradients of pools by quads, where the lengths of rows of input and output are multiples of 4, and dilation is 1. The file
// binds `params` and `grad_input`, blocks of [planes, in_rows, in_cols].
//
// One invocation computes a field: ROWS rows of the columns that lie between the begins of 4 windows and those of the next 4,
// without the padding. For each row of windows it loads the blocks of the output that hold the windows over these columns, once:
//
//     kernel 3, stride 2, padding 1      columns   0   1   2   3   4   5   6   7
//                                        windows  ------0   2-------2   4-------4
//                                                     1-------1   3-------3
//
// Loops over a field and its windows have constant bounds, so that compilers unroll them.

override KERNEL_COLS: i32 = 3;
override STRIDE_COLS: i32 = 2;
override PADDING_COLS: i32 = 1;
// A field has at most 32 elements.
override ROWS: i32 = 2;
// The windows over a field's columns: how many of the blocks' first are before them, and how many they are, at most 32 with
// these.
override LEFT: i32 = 0;
override WINDOWS: i32 = 5;
// The blocks before the 4 windows' own.
override BLOCKS_BEFORE: i32 = 0;

struct Field {
    plane: i32,
    // The first of its rows, of 4 windows, and of its columns.
    row: i32,
    out_col: i32,
    col: i32,
}

fn field_of(number: u32) -> Field {
    let width = 4 * STRIDE_COLS;
    let of_a_row = u32(params.in_cols + width - 1) / u32(width);
    let of_a_plane = u32(params.in_rows + ROWS - 1) / u32(ROWS);
    let row = divided(number, of_a_row);
    let plane = divided(row, of_a_plane);
    let quad = i32(number - row * of_a_row);
    return Field(i32(plane), i32(row - plane * of_a_plane) * ROWS, 4 * quad, width * quad);
}

// The rows of windows over these rows: begin and end.
fn window_rows(field: Field) -> vec2<i32> {
    let last_row = min(field.row + ROWS, params.in_rows) - 1;
    return windows_over(field.row, last_row, params.rows, params.out_rows, 0, params.row_end);
}

// Whether a row of windows has one of these rows.
fn has_row(field: Field, out_row: i32, row: i32) -> bool {
    let offset = field.row + row + params.rows.padding - out_row * params.rows.stride;
    return offset >= 0 && offset < params.rows.kernel;
}

// Whether a window, counted from the blocks' first, has one of these columns.
fn has_column(window: i32, column: i32) -> bool {
    let offset = column + PADDING_COLS - (window - 4 * BLOCKS_BEFORE) * STRIDE_COLS;
    return offset >= 0 && offset < KERNEL_COLS;
}

// The blocks to load for each row of windows: at most 8.
fn block_count() -> i32 {
    return (LEFT + WINDOWS + 3) / 4;
}

// The first window of a block.
fn first_window(field: Field, block: i32) -> i32 {
    return field.out_col + 4 * (block - BLOCKS_BEFORE);
}

// Where a block of the output is, and whether it is there.
struct OutputBlock {
    at: i32,
    is_inside: bool,
}

fn output_block(field: Field, out_row: i32, block: i32) -> OutputBlock {
    let out_col = first_window(field, block);
    let is_inside = out_col >= 0 && out_col < params.out_cols;
    let row = field.plane * params.out_rows + out_row;
    let at = (i32(params.output_base) + row * params.out_cols + out_col) / 4;
    return OutputBlock(select(0, at, is_inside), is_inside);
}

fn write_field(field: Field, sums: ptr<function, array<f32, 32>>) {
    let begin = field.plane * params.in_rows + field.row;
    for (var row = 0; row < ROWS; row++) {
        let first = (i32(params.input_base) + (begin + row) * params.in_cols + field.col) / 4;
        for (var block = 0; block < STRIDE_COLS; block++) {
            if (field.row + row < params.in_rows && field.col + 4 * block < params.in_cols) {
                let i = 4 * (row * STRIDE_COLS + block);
                var result = vec4<f32>((*sums)[i], (*sums)[i + 1], (*sums)[i + 2], (*sums)[i + 3]);
                if (params.adds != 0u) {
                    result += grad_input[first + block];
                }
                grad_input[first + block] = result;
            }
        }
    }
}
