// parts: between, column_blocks
// The gradient of interpolate: grad_input[n,c,y,x] is the sum of grad_output[n,c] over the positions of the output whose nearest
// position is (y, x), or which are between it and others, times how much of it they have: see interpolate.wgsl.
//
// One invocation computes 4 columns of a row. Positions of the input never go back, so those of the output that have one are a
// range. Each column of the output is added up, and then the columns.

struct Params {
    count: u32,             // of invocations
    in_rows: u32,
    in_cols: u32,
    out_rows: u32,
    out_cols: u32,
    align_corners: u32,
    scale_rows: f32,
    scale_cols: f32,
    // The positions of the output in this dispatch, counted from the first that has an element: rows and columns of them.
    row_begin: u32,
    row_end: u32,
    col_begin: u32,
    col_end: u32,
    // Whether sums are added to what is there.
    adds: u32,
    // Where they begin in their bindings, in elements.
    output_base: u32,
    input_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;            // [planes, out_rows, out_cols]
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;       // [planes, in_rows, in_cols]

// The first position of the output whose first position of the input is this one or a later one; out_length if there is none.
fn first_output(position: u32, scale: f32, length: u32, out_length: u32) -> u32 {
    if (position == 0u) {
        return 0u;
    }
    // Near it, but for roundings, and for a scale of 0.
    let is_center = MODE == NEAREST_EXACT || (MODE == BILINEAR && params.align_corners == 0u);
    let offset = select(0.0, 0.5, MODE == BILINEAR && is_center);
    let near = ceil((f32(position) + offset) / scale - select(0.0, 0.5, is_center));
    var output = u32(clamp(near, 0.0, f32(out_length)));
    while (output > 0u && between(output - 1u, scale, length, out_length).first >= position) {
        output--;
    }
    while (output < out_length && between(output, scale, length, out_length).first < position) {
        output++;
    }
    return output;
}

// The positions of the output of this dispatch that have positions of the input from `first` to `last`: begin and end.
fn outputs_of(first: u32, last: u32, scale: f32, lengths: vec2<u32>, begin: u32, end: u32) -> vec2<u32> {
    // Those that are between the position before and the first one have that too.
    let before = first - select(0u, 1u, MODE == BILINEAR && first > 0u);
    let begins = first_output(before, scale, lengths.x, lengths.y);
    let ends = first_output(last + 1u, scale, lengths.x, lengths.y);
    // `end` may be as large as a u32 can be.
    return vec2<u32>(begins + begin, begins + min(end, ends - begins));
}

// The sum of a column of the output over rows of it, as much as they have of this row. One that has it twice gives it twice, as
// in PyTorch, which shows where a share is 0 and a gradient infinite.
fn column(out_begin: u32, out_col: u32, row: u32, rows: vec2<u32>) -> f32 {
    var sum = 0.0;
    for (var out_row = rows.x; out_row < rows.y; out_row++) {
        let grad = grad_output[out_begin + out_row * params.out_cols + out_col];
        if (MODE != BILINEAR) {
            sum += grad;
        } else {
            let places = between(out_row, params.scale_rows, params.in_rows, params.out_rows);
            sum += select(0.0, places.first_share * grad, places.first == row);
            sum += select(0.0, places.second_share * grad, places.second == row);
        }
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn interpolate_backward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number >= params.count) {
        return;
    }
    let block = column_block(number);
    let columns = u32(block.col) + vec4<u32>(0u, 1u, 2u, 3u);
    let last_col = min(columns.w, params.in_cols - 1u);
    let row = u32(block.row);
    let lengths = vec4<u32>(params.in_rows, params.out_rows, params.in_cols, params.out_cols);
    let rows = outputs_of(row, row, params.scale_rows, lengths.xy, params.row_begin, params.row_end);
    let cols = outputs_of(columns.x, last_col, params.scale_cols, lengths.zw, params.col_begin, params.col_end);
    let out_begin = params.output_base + u32(block.plane) * params.out_rows * params.out_cols;
    var sums = vec4<f32>();
    for (var out_col = cols.x; out_col < cols.y; out_col++) {
        let sum = column(out_begin, out_col, row, rows);
        let places = between(out_col, params.scale_cols, params.in_cols, params.out_cols);
        sums += select(vec4<f32>(), vec4<f32>(places.first_share * sum), columns == vec4<u32>(places.first));
        if (MODE == BILINEAR) {
            sums += select(vec4<f32>(), vec4<f32>(places.second_share * sum), columns == vec4<u32>(places.second));
        }
    }
    write_columns(block, sums);
}
