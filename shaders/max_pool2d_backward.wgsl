// parts: pool_gradient, column_blocks
// The gradient of max_pool2d: grad_input[y, x] is the sum of grad_output over the windows whose maximum is at (y, x), as
// `indices` tells.
//
// One invocation computes 4 columns of a row, from the windows that reach over them: each row of windows is added up, and then
// the rows.

override WORKGROUP_SIZE: u32 = 64u;
override IS_DILATED: u32 = 0u;

@group(0) @binding(1) var<storage, read> grad_output: array<f32>;            // [planes, out_rows, out_cols]
@group(0) @binding(2) var<storage, read> indices: array<i32>;                // as grad_output
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;       // [planes, in_rows, in_cols]

// Whether a position is an element of a window.
fn is_in(position: i32, window_index: i32, window: Window) -> bool {
    let offset = position + window.padding - window_index * window.stride;
    let is_between = offset >= 0 && offset <= window.dilation * (window.kernel - 1);
    if (IS_DILATED != 0u) {
        return is_between && offset % window.dilation == 0;
    }
    return is_between;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn max_pool2d_backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number >= params.count) {
        return;
    }
    let block = column_block(number);
    let position = block.row * params.in_cols + block.col;
    let rows = windows_over(block.row, block.row, params.rows, params.out_rows, params.row_begin, params.row_end);
    let last_col = min(block.col + 3, params.in_cols - 1);
    let cols = windows_over(block.col, last_col, params.cols, params.out_cols, params.col_begin, params.col_end);
    var sums = vec4<f32>();
    for (var out_row = rows.x; out_row < rows.y; out_row++) {
        let begin = i32(params.output_base) + (block.plane * params.out_rows + out_row) * params.out_cols;
        let has_row = is_in(block.row, out_row, params.rows);
        var of_row = vec4<f32>();
        for (var out_col = cols.x; out_col < cols.y; out_col++) {
            let column = indices[begin + out_col] - position;
            let has_both = has_row && is_in(block.col + column, out_col, params.cols);
            let grad = select(0.0, grad_output[begin + out_col], has_both);
            of_row += select(vec4<f32>(), vec4<f32>(grad), vec4<i32>(column) == vec4<i32>(0, 1, 2, 3));
        }
        sums += of_row;
    }
    write_columns(block, sums);
}
