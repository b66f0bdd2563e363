// parts: pool_gradient
// The gradient of max_pool2d: grad_input[y, x] is the sum of grad_output over the windows whose maximum is at (y, x), as
// `indices` tells. One invocation computes one element, from the windows that contain it, in their order.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> grad_output: array<f32>;            // [planes, out_rows, out_cols]
@group(0) @binding(2) var<storage, read> indices: array<i32>;                // as grad_output
@group(0) @binding(3) var<storage, read_write> grad_input: array<f32>;       // [planes, in_rows, in_cols]

@compute @workgroup_size(WORKGROUP_SIZE)
fn max_pool2d_backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.count) {
        return;
    }
    let row = i32(index) / params.in_cols;
    let plane = row / params.in_rows;
    let y = row - plane * params.in_rows;
    let x = i32(index) - row * params.in_cols;
    let position = y * params.in_cols + x;
    let rows = windows_of(y, params.rows, params.out_rows, params.row_begin, params.row_end);
    let cols = windows_of(x, params.cols, params.out_cols, params.col_begin, params.col_end);
    var sum = 0.0;
    for (var out_row = rows.x; out_row < rows.y; out_row++) {
        let begin = i32(params.output_base) + (plane * params.out_rows + out_row) * params.out_cols;
        for (var out_col = cols.x; out_col < cols.y; out_col++) {
            if (indices[begin + out_col] == position && is_in(y, out_row, params.rows) && is_in(x, out_col, params.cols)) {
                sum += grad_output[begin + out_col];
            }
        }
    }
    let at = params.input_base + index;
    if (params.adds != 0u) {
        sum += grad_input[at];
    }
    grad_input[at] = sum;
}
