// parts: divide
// Blocks of 4 columns of a gradient, the last of a row of as many as are left. The file binds `params` and `grad_input`, an
// array of [planes, in_rows, in_cols] from params.input_base on.

struct ColumnBlock {
    plane: i32,
    row: i32,
    // The first of its columns.
    col: i32,
}

fn column_block(number: u32) -> ColumnBlock {
    let blocks = (u32(params.in_cols) + 3u) / 4u;
    let row = divided(number, blocks);
    let plane = divided(row, u32(params.in_rows));
    let row_of_plane = row - plane * u32(params.in_rows);
    return ColumnBlock(i32(plane), i32(row_of_plane), i32(4u * (number - row * blocks)));
}

fn write_element(at: u32, sum: f32) {
    var result = sum;
    if (params.adds != 0u) {
        result += grad_input[at];
    }
    grad_input[at] = result;
}

fn write_columns(block: ColumnBlock, sums: vec4<f32>) {
    let place = (block.plane * i32(params.in_rows) + block.row) * i32(params.in_cols) + block.col;
    let at = params.input_base + u32(place);
    let left = i32(params.in_cols) - block.col;
    write_element(at, sums.x);
    if (left > 1) { write_element(at + 1u, sums.y); }
    if (left > 2) { write_element(at + 2u, sums.z); }
    if (left > 3) { write_element(at + 3u, sums.w); }
}
