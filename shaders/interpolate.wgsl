// parts: divide, between
// interpolate: output[n,c,y,x] = input[n,c] at the nearest row and column, or between the two rows and columns around a
// position: with s = scale of an axis and i a position in the output,
//     nearest          floor(i * s)
//     nearest-exact    floor((i + 0.5) * s)
//     bilinear         max((i + 0.5) * s - 0.5, 0), or i * s with align_corners
//
// One invocation computes a block of 4 columns where rows of the output are in blocks, or an element.

struct Params {
    count: u32,
    in_rows: u32,
    in_cols: u32,
    out_rows: u32,
    out_cols: u32,
    align_corners: u32,
    scale_rows: f32,
    scale_cols: f32,
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;                    // [planes, in_rows, in_cols]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;             // [planes, out_rows, out_cols]
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<f32>>;

// A number of both rows between two columns, whose numbers are given as (upper, lower).
fn blend(rows: Between, cols: Between, first: vec2<f32>, second: vec2<f32>) -> f32 {
    let between = cols.first_share * first + cols.second_share * second;
    return rows.first_share * between.x + rows.second_share * between.y;
}

fn cols_of(out_col: u32) -> Between {
    return between(out_col, params.scale_cols, params.in_cols, params.out_cols);
}

// A column of the two rows that begin there.
fn column(begins: vec2<u32>, col: u32) -> vec2<f32> {
    return vec2<f32>(input[begins.x + col], input[begins.y + col]);
}

fn element_of(rows: Between, begins: vec2<u32>, out_col: u32) -> f32 {
    let cols = cols_of(out_col);
    if (MODE != BILINEAR) {
        return input[begins.x + cols.first];
    }
    return blend(rows, cols, column(begins, cols.first), column(begins, cols.second));
}

fn one_of(columns: array<vec2<f32>, 4>, index: u32) -> vec2<f32> {
    let low = select(columns[0], columns[1], index == 1u);
    return select(low, select(columns[2], columns[3], index == 3u), index > 1u);
}

// 4 elements beside each other. Where the output has at least twice the columns of the input, they take 4 columns at most,
// which are loaded once. (Of rows so long that float32 has not all their positions, they may take more.)
fn elements_of(rows: Between, begins: vec2<u32>, out_col: u32) -> vec4<f32> {
    var results: vec4<f32>;
    let start = cols_of(out_col).first;
    if (MODE == BILINEAR && params.scale_cols <= 0.5 && cols_of(out_col + 3u).second - start < 4u) {
        let last = params.in_cols - 1u;
        let columns = array<vec2<f32>, 4>(
            column(begins, start),
            column(begins, min(start + 1u, last)),
            column(begins, min(start + 2u, last)),
            column(begins, min(start + 3u, last)),
        );
        for (var i = 0u; i < 4u; i++) {
            let cols = cols_of(out_col + i);
            results[i] = blend(rows, cols, one_of(columns, cols.first - start), one_of(columns, cols.second - start));
        }
    } else {
        for (var i = 0u; i < 4u; i++) {
            results[i] = element_of(rows, begins, out_col + i);
        }
    }
    return results;
}

// Where both rows of the input begin that a row of all planes of the output is between.
fn begins_of(rows: Between, plane: u32) -> vec2<u32> {
    return params.input_base + (plane * params.in_rows + vec2<u32>(rows.first, rows.second)) * params.in_cols;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let row = divided(index, params.out_cols);
        let plane = divided(row, params.out_rows);
        let rows = between(row - plane * params.out_rows, params.scale_rows, params.in_rows, params.out_rows);
        let col = index - row * params.out_cols;
        output[params.output_base + index] = element_of(rows, begins_of(rows, plane), col);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let row = divided(4u * block, params.out_cols);
        let plane = divided(row, params.out_rows);
        let rows = between(row - plane * params.out_rows, params.scale_rows, params.in_rows, params.out_rows);
        let begins = begins_of(rows, plane);
        let col = 4u * block - row * params.out_cols;
        output_blocks[params.output_base / 4u + block] = elements_of(rows, begins, col);
    }
}
