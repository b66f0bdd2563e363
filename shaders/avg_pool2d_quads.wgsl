// parts: pool_params, pairs, quads
// avg_pool2d as in avg_pool2d.wgsl, where the lengths of rows of input and output are multiples of 4.
//
// One invocation computes a quad: see parts/quads.wgsl.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;              // [planes, in_rows, in_cols]
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;       // [planes, out_rows, out_cols]

// Loads the elements of a row that the 4 windows need.
fn load_span(span: ptr<function, array<f32, 32>>, plane_begin: i32, row: i32, first_col: i32) {
    for (var block = 0; block < BLOCKS; block++) {
        let col = first_col - LEFT + 4 * block;
        let is_inside = row >= 0 && row < params.in_rows && col >= 0 && col < params.in_cols;
        let at = select(0, (plane_begin + row * params.in_cols + col) / 4, is_inside);
        let values = select(vec4<f32>(), input[at], is_inside);
        for (var element = 0; element < 4; element++) {
            (*span)[4 * block + element] = values[element];
        }
    }
}

// Continues the sum of the window of this number from 0 to 3.
fn visit(sum: ptr<function, vec2<f32>>, span: ptr<function, array<f32, 32>>, window: i32) {
    for (var kernel_col = 0; kernel_col < KERNEL_COLS; kernel_col++) {
        *sum = add(*sum, (*span)[LEFT + window * STRIDE_COLS + kernel_col]);
    }
}

// The mean of a sum over the window that begins there.
fn mean(sum: vec2<f32>, start_row: i32, start_col: i32) -> f32 {
    let total = rounded(sum);
    let padded_end_row = min(start_row + KERNEL_ROWS, params.padded_rows);
    let padded_end_col = min(start_col + KERNEL_COLS, params.padded_cols);
    let rows = min(padded_end_row, params.in_rows) - max(start_row, 0);
    let cols = min(padded_end_col, params.in_cols) - max(start_col, 0);
    var divisor = f32(rows) * f32(cols);
    if (params.has_divisor_override != 0u) {
        divisor = params.divisor_override;
    } else if (params.count_include_pad != 0u) {
        divisor = f32(padded_end_row - start_row) * f32(padded_end_col - start_col);
    }
    return select(total / divisor, 0.0, rows <= 0 || cols <= 0);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn avg_pool2d_quads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number >= params.count) {
        return;
    }
    let quads = params.out_cols / 4;
    let out_row = i32(number) / quads;
    let plane = out_row / params.out_rows;
    let first_row = (out_row - plane * params.out_rows) * params.rows.stride - params.rows.padding;
    let first_col = (i32(number) - out_row * quads) * 4 * STRIDE_COLS - params.cols.padding;
    let plane_begin = i32(params.input_base) + plane * params.in_rows * params.in_cols;

    var sum_0: vec2<f32>;
    var sum_1: vec2<f32>;
    var sum_2: vec2<f32>;
    var sum_3: vec2<f32>;
    for (var kernel_row = 0; kernel_row < KERNEL_ROWS; kernel_row++) {
        var span: array<f32, 32>;
        load_span(&span, plane_begin, first_row + kernel_row, first_col);
        visit(&sum_0, &span, 0);
        visit(&sum_1, &span, 1);
        visit(&sum_2, &span, 2);
        visit(&sum_3, &span, 3);
    }
    output[params.output_base / 4u + number] = vec4<f32>(
        mean(sum_0, first_row, first_col),
        mean(sum_1, first_row, first_col + STRIDE_COLS),
        mean(sum_2, first_row, first_col + 2 * STRIDE_COLS),
        mean(sum_3, first_row, first_col + 3 * STRIDE_COLS),
    );
}
