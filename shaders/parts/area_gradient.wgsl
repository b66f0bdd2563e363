// parts: area_edges, column_blocks
// The gradients of the means of areas, which adaptive_avg_pool2d and interpolate share: grad_input[p,y,x] is the sum of
// grad_output[p] / size over the areas that contain (y, x), of `size` elements each: see parts/areas.wgsl. Along an axis, those
// with a position are the positions of the output in an area of its own: the areas of as many parts as the input has
// elements.
//
// One invocation computes 4 columns of a row: each row of areas is added up, and then the rows.

struct Params {
    count: u32,             // of invocations
    in_rows: u32,
    in_cols: u32,
    out_rows: u32,
    out_cols: u32,
    // The areas of this dispatch, counted from the first that contains an element: rows and columns of them.
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

// The areas of this dispatch that have positions from `first` to `last`: begin and end.
fn areas_over(first: u32, last: u32, length: u32, parts: u32, begin: u32, end: u32) -> vec2<u32> {
    let begins = begin_of(first, parts, length);
    let ends = end_of(last, parts, length);
    // `end` may be as large as a u32 can be.
    return vec2<u32>(begins + begin, begins + min(end, ends - begins));
}

// Where the next area begins along an axis, as a quotient and its rest, which add up without divisions.
fn next_begin(begin: vec2<u32>, step: vec2<u32>, parts: u32) -> vec2<u32> {
    let rest = begin.y + step.y;
    let carries = rest >= parts;
    return vec2<u32>(begin.x + step.x + select(0u, 1u, carries), rest - select(0u, parts, carries));
}

// Where the area ends that is before one that begins there.
fn end_before(begin: vec2<u32>) -> u32 {
    return begin.x + select(0u, 1u, begin.y > 0u);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn area_gradient(
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
    let rows = areas_over(row, row, params.in_rows, params.out_rows, params.row_begin, params.row_end);
    let cols = areas_over(columns.x, last_col, params.in_cols, params.out_cols, params.col_begin, params.col_end);
    let row_step = begin_and_rest(1u, params.in_rows, params.out_rows);
    let col_step = begin_and_rest(1u, params.in_cols, params.out_cols);
    let first_col = begin_and_rest(cols.x, params.in_cols, params.out_cols);
    var at_row = begin_and_rest(rows.x, params.in_rows, params.out_rows);
    var sums = vec4<f32>();
    for (var out_row = rows.x; out_row < rows.y; out_row++) {
        let begin = params.output_base + (u32(block.plane) * params.out_rows + out_row) * params.out_cols;
        let next_row = next_begin(at_row, row_step, params.out_rows);
        let height = f32(end_before(next_row) - at_row.x);
        at_row = next_row;
        var at_col = first_col;
        var of_row = vec4<f32>();
        for (var out_col = cols.x; out_col < cols.y; out_col++) {
            let next_col = next_begin(at_col, col_step, params.out_cols);
            let end = end_before(next_col);
            let share = grad_output[begin + out_col] / (height * f32(end - at_col.x));
            let has_columns = (columns >= vec4<u32>(at_col.x)) & (columns < vec4<u32>(end));
            of_row += select(vec4<f32>(), vec4<f32>(share), has_columns);
            at_col = next_col;
        }
        sums += of_row;
    }
    write_columns(block, sums);
}
