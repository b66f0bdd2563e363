// parts: pool_params, order
// max_pool2d: output[n,c,y,x] = max over the window at (y,x) of input[n,c]. The first of equal values wins, and a NaN
// wins over all numbers. max_pool2d_with_indices also gives indices[n,c,y,x] = row * in_cols + col of the winner in its
// plane.
//
// One invocation computes OUTPUTS output elements. A window of very many elements is cut into ranges of rows and
// columns, one dispatch each. Every dispatch but the first continues from the results in output and indices.
//
// Values are kept as bits and compared as integers, since drivers may assume that there are no NaN.

override WORKGROUP_SIZE: u32 = 64u;
// How many output elements an invocation computes, one after the other: finding the first takes divisions.
override OUTPUTS: u32 = 1u;

@group(0) @binding(1) var<storage, read> input: array<u32>;            // [planes, in_rows, in_cols], bits of f32
@group(0) @binding(2) var<storage, read_write> output: array<u32>;     // [planes, out_rows, out_cols], bits of f32
@group(0) @binding(3) var<storage, read_write> indices: array<i32>;    // as output

// How many steps of `dilation` lead from a position in the padding into the input.
fn steps_inside(start: i32, dilation: i32) -> i32 {
    // Without a division, which is slow.
    if (dilation == 1) {
        return max(-start, 0);
    }
    return select(0, (dilation - 1 - start) / dilation, start < 0);
}

// How many of the `kernel` elements from `first` on lie before `length`. `first` is not in the padding before the
// input.
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

// The best of the output element at `place` after this dispatch's range; earlier dispatches found `so_far`.
fn best_of(place: Place, so_far: Best) -> Best {
    let start_row = place.row * params.rows.stride - params.rows.padding;
    let start_col = place.col * params.cols.stride - params.cols.padding;
    let skipped_rows = steps_inside(start_row, params.rows.dilation);
    let skipped_cols = steps_inside(start_col, params.cols.dilation);
    let first_row = start_row + skipped_rows * params.rows.dilation;
    let first_col = start_col + skipped_cols * params.cols.dilation;
    let rows = taps_inside(first_row, skipped_rows, params.rows.kernel, params.rows.dilation, params.in_rows);
    let cols = taps_inside(first_col, skipped_cols, params.cols.kernel, params.cols.dilation, params.in_cols);

    var best = so_far;
    if (params.is_first != 0u) {
        best = Best(NEGATIVE_INFINITY, first_row * params.in_cols + first_col);
    }
    let plane_begin = i32(params.input_base) + place.plane * params.in_rows * params.in_cols;
    for (var row_tap = params.row_begin; row_tap < min(params.row_end, rows); row_tap++) {
        let row_index = (first_row + row_tap * params.rows.dilation) * params.in_cols;
        for (var col_tap = params.col_begin; col_tap < min(params.col_end, cols); col_tap++) {
            let position = row_index + first_col + col_tap * params.cols.dilation;
            let value = input[plane_begin + position];
            // Only a later NaN wins over a NaN, as in PyTorch.
            if (is_nan_of(value) || (!is_nan_of(best.value) && ordered(value) > ordered(best.value))) {
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
    for (var index = first; index < min(first + OUTPUTS, params.count); index++) {
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
    for (var index = first; index < min(first + OUTPUTS, params.count); index++) {
        let at = params.output_base + index;
        let best = best_of(place, Best(output[at], indices[at]));
        output[at] = best.value;
        indices[at] = best.index;
        place = next(place);
    }
}
