// max_pool2d: output[n,c,y,x] = max over the window at (y,x) of input[n,c]; the first of equal values wins, a NaN wins
// over all. max_pool2d_with_indices also gives indices[n,c,y,x] = row * in_cols + col of the winner in its plane.
//
// One invocation computes OUTPUTS output elements. A window of very many elements is cut into ranges of rows and columns,
// one dispatch each; every dispatch but the first goes on from what the one before left in output and indices.
//
// Values are kept as bits and compared as integers: drivers may assume that there are no NaN, and this way none is lost.

struct Params {
    output_count: u32,
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
    // The range of the window's elements inside the input that this dispatch visits.
    row_begin: i32,
    row_end: i32,
    col_begin: i32,
    col_end: i32,
    is_first: u32,
    // Where they begin in what is bound.
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
// How many output elements an invocation computes, one after the other: to find the first takes divisions.
override OUTPUTS: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;            // [planes, in_rows, in_cols], bits of f32
@group(0) @binding(2) var<storage, read_write> output: array<u32>;     // [planes, out_rows, out_cols], bits of f32
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;    // as output

const MAGNITUDE: u32 = 0x7fffffffu;
const INFINITY: u32 = 0x7f800000u;
const NEGATIVE_INFINITY: u32 = 0xff800000u;

fn is_nan(bits: u32) -> bool {
    return (bits & MAGNITUDE) > INFINITY;
}

// Integers in the order of the floats; both zeros give 0.
fn ordered(bits: u32) -> i32 {
    let magnitude = i32(bits & MAGNITUDE);
    return select(magnitude, -magnitude, bits > MAGNITUDE);
}

// How many steps of `dilation` lead from a position in the padding into the input.
fn steps_inside(start: i32, dilation: i32) -> i32 {
    // Without a division, which is dear.
    if (dilation == 1) {
        return max(-start, 0);
    }
    return select(0, (dilation - 1 - start) / dilation, start < 0);
}

// How many of the `kernel` elements from `first` on, which is inside or behind, lie before `length`.
fn taps_inside(first: i32, skipped: i32, kernel: i32, dilation: i32, length: i32) -> i32 {
    if (first >= length) {
        return 0;
    }
    if (dilation == 1) {
        return min(kernel - skipped, length - first);
    }
    return min(kernel - skipped, (length - 1 - first) / dilation + 1);
}

struct Best {
    value: u32,
    // row * in_cols + col
    index: i32,
}

// Where an output element is.
struct Place {
    plane: i32,
    row: i32,
    col: i32,
}

fn place_of(index: u32) -> Place {
    let row = i32(index) / params.out_cols;
    return Place(row / params.out_rows, row % params.out_rows, i32(index) % params.out_cols);
}

fn next(place: Place) -> Place {
    let is_last_col = place.col + 1 == params.out_cols;
    let is_last = is_last_col && place.row + 1 == params.out_rows;
    return Place(
        place.plane + select(0, 1, is_last),
        select(place.row + select(0, 1, is_last_col), 0, is_last),
        select(place.col + 1, 0, is_last_col),
    );
}

// The best of the output element at `place` after this dispatch's range; the dispatches before found `so_far`.
fn best_of(place: Place, so_far: Best) -> Best {
    let start_row = place.row * params.stride_rows - params.padding_rows;
    let start_col = place.col * params.stride_cols - params.padding_cols;
    let skipped_rows = steps_inside(start_row, params.dilation_rows);
    let skipped_cols = steps_inside(start_col, params.dilation_cols);
    let first_row = start_row + skipped_rows * params.dilation_rows;
    let first_col = start_col + skipped_cols * params.dilation_cols;
    let rows = taps_inside(first_row, skipped_rows, params.kernel_rows, params.dilation_rows, params.in_rows);
    let cols = taps_inside(first_col, skipped_cols, params.kernel_cols, params.dilation_cols, params.in_cols);

    var best = so_far;
    if (params.is_first != 0u) {
        best = Best(NEGATIVE_INFINITY, first_row * params.in_cols + first_col);
    }
    let plane_begin = i32(params.input_base) + place.plane * params.in_rows * params.in_cols;
    for (var row_tap = params.row_begin; row_tap < min(params.row_end, rows); row_tap++) {
        let row_index = (first_row + row_tap * params.dilation_rows) * params.in_cols;
        for (var col_tap = params.col_begin; col_tap < min(params.col_end, cols); col_tap++) {
            let position = row_index + first_col + col_tap * params.dilation_cols;
            let value = input[plane_begin + position];
            // Nothing is above a NaN but a later NaN, as in PyTorch.
            if (is_nan(value) || (!is_nan(best.value) && ordered(value) > ordered(best.value))) {
                best = Best(value, position);
            }
        }
    }
    return best;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn max_pool2d(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = ((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane) * OUTPUTS;
    var place = place_of(first);
    for (var index = first; index < min(first + OUTPUTS, params.output_count); index++) {
        let at = params.output_base + index;
        output[at] = best_of(place, Best(output[at], 0)).value;
        place = next(place);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn max_pool2d_with_indices(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = ((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane) * OUTPUTS;
    var place = place_of(first);
    for (var index = first; index < min(first + OUTPUTS, params.output_count); index++) {
        let at = params.output_base + index;
        let best = best_of(place, Best(output[at], indices[at]));
        output[at] = best.value;
        indices[at] = best.index;
        place = next(place);
    }
}
