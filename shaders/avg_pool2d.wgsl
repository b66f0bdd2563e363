// parts: pool_params, pairs
// avg_pool2d: output[n,c,y,x] = (sum over the window at (y,x) of input[n,c]) / divisor, where the divisor is
// divisor_override, or the window's size with the padding, or its size without.
//
// One invocation computes OUTPUTS output elements. A window of very many elements is cut into ranges of rows and
// columns, one dispatch each. Every dispatch but the first continues from the sum in output; the last divides.

override WORKGROUP_SIZE: u32 = 64u;
// How many output elements an invocation computes, one after the other: finding the first takes divisions.
override OUTPUTS: u32 = 1u;

@group(0) @binding(1) var<storage, read> input: array<f32>;            // [planes, in_rows, in_cols]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;     // [planes, out_rows, out_cols]

// The mean of the output element at `at`, which is at `out_row` and `out_col` of a plane.
fn average(at: u32, plane: i32, out_row: i32, out_col: i32) {
    let start_row = out_row * params.rows.stride - params.rows.padding;
    let start_col = out_col * params.cols.stride - params.cols.padding;
    let padded_end_row = min(start_row + params.rows.kernel, params.padded_rows);
    let padded_end_col = min(start_col + params.cols.kernel, params.padded_cols);
    let first_row = max(start_row, 0);
    let first_col = max(start_col, 0);
    let end_row = min(padded_end_row, params.in_rows);
    let end_col = min(padded_end_col, params.in_cols);

    var sum = vec2<f32>(0.0, 0.0);
    if (params.is_first == 0u) {
        sum.x = output[at];
    }
    let plane_begin = i32(params.input_base) + plane * params.in_rows * params.in_cols;
    for (var row = first_row + params.row_begin; row < min(first_row + params.row_end, end_row); row++) {
        let row_begin = plane_begin + row * params.in_cols;
        for (var col = first_col + params.col_begin; col < min(first_col + params.col_end, end_col); col++) {
            sum = add(sum, input[row_begin + col]);
        }
    }
    let total = rounded(sum);
    if (params.is_last == 0u) {
        output[at] = total;
        return;
    }

    // As floats, since their product can pass 2^31.
    var divisor = f32(end_row - first_row) * f32(end_col - first_col);
    if (params.has_divisor_override != 0u) {
        divisor = params.divisor_override;
    } else if (params.count_include_pad != 0u) {
        divisor = f32(padded_end_row - start_row) * f32(padded_end_col - start_col);
    }
    let is_outside = first_row >= end_row || first_col >= end_col;
    output[at] = select(total / divisor, 0.0, is_outside);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn avg_pool2d(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = ((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane) * OUTPUTS;
    var out_col = i32(first) % params.out_cols;
    var out_row = i32(first) / params.out_cols % params.out_rows;
    var plane = i32(first) / params.out_cols / params.out_rows;
    for (var index = first; index < min(first + OUTPUTS, params.count); index++) {
        average(params.output_base + index, plane, out_row, out_col);
        out_col++;
        if (out_col == params.out_cols) {
            out_col = 0;
            out_row++;
        }
        if (out_row == params.out_rows) {
            out_row = 0;
            plane++;
        }
    }
}
