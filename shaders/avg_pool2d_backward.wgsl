// parts: pool_divisor, column_blocks
// The gradient of avg_pool2d: grad_input[y, x] is the sum of grad_output / divisor over the windows that contain (y, x), with
// the divisor of each window's mean.
//
// One invocation computes 4 columns of a row, from the windows that reach over them: each row of windows is added up, and then
// the rows.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> grad_output: array<f32>;            // [planes, out_rows, out_cols]
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;       // [planes, in_rows, in_cols]

@compute @workgroup_size(WORKGROUP_SIZE)
fn avg_pool2d_backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number >= params.count) {
        return;
    }
    let block = column_block(number);
    let columns = block.col + vec4<i32>(0, 1, 2, 3);
    let rows = windows_over(block.row, block.row, params.rows, params.out_rows, params.row_begin, params.row_end);
    let last_col = min(block.col + 3, params.in_cols - 1);
    let cols = windows_over(block.col, last_col, params.cols, params.out_cols, params.col_begin, params.col_end);
    var sums = vec4<f32>();
    for (var out_row = rows.x; out_row < rows.y; out_row++) {
        let begin = i32(params.output_base) + (block.plane * params.out_rows + out_row) * params.out_cols;
        var of_row = vec4<f32>();
        for (var out_col = cols.x; out_col < cols.y; out_col++) {
            let share = grad_output[begin + out_col] / divisor(out_row, out_col);
            let offsets = columns + params.cols.padding - out_col * params.cols.stride;
            let has_columns = (offsets >= vec4<i32>()) & (offsets < vec4<i32>(params.cols.kernel));
            of_row += select(vec4<f32>(), vec4<f32>(share), has_columns);
        }
        sums += of_row;
    }
    write_columns(block, sums);
}
