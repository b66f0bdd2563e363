// roi_pool: output[k,c,y,x] = max of input[batch(k), c] over the bin (y,x) of box k, or 0 where the bin is empty.
//
// The bins come as a table, since their edges need IEEE division: for each box the image, then pooled_rows first rows,
// pooled_rows end rows, pooled_cols first columns and pooled_cols end columns, all inside the image.
//
// One invocation computes one output element. Bins of very many elements are cut into ranges of rows and columns, one
// dispatch each; every dispatch but the first goes on from the maximum in output.
//
// As in torchvision the maximum starts from the lowest finite f32, and a NaN is never above it.

struct Params {
    output_count: u32,
    channels: i32,
    in_rows: i32,
    in_cols: i32,
    pooled_rows: i32,
    pooled_cols: i32,
    // The range of a bin's elements that this dispatch visits.
    row_begin: i32,
    row_end: i32,
    col_begin: i32,
    col_end: i32,
    is_first: u32,
    // Where they begin in what is bound.
    bins_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;            // [batch, channels, in_rows, in_cols], bits of f32
@group(0) @binding(2) var<storage, read> bins: array<i32>;             // [boxes, 1 + 2 * pooled_rows + 2 * pooled_cols]
@group(0) @binding(3) var<storage, read_write> output: array<u32>;     // [boxes, channels, pooled_rows, pooled_cols], bits of f32

const MAGNITUDE: u32 = 0x7fffffffu;
const INFINITY: u32 = 0x7f800000u;
const LOWEST: u32 = 0xff7fffffu;

// Integers in the order of the floats; both zeros give 0.
fn ordered(bits: u32) -> i32 {
    let magnitude = i32(bits & MAGNITUDE);
    return select(magnitude, -magnitude, bits > MAGNITUDE);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn roi_pool(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.output_count) {
        return;
    }
    let pooled_col = i32(index) % params.pooled_cols;
    let pooled_row = i32(index) / params.pooled_cols % params.pooled_rows;
    let plane = i32(index) / params.pooled_cols / params.pooled_rows;
    let channel = plane % params.channels;
    let box = plane / params.channels;

    let box_bins = i32(params.bins_base) + box * (1 + 2 * params.pooled_rows + 2 * params.pooled_cols);
    let row_bins = box_bins + 1;
    let col_bins = row_bins + 2 * params.pooled_rows;
    let image = bins[box_bins];
    let first_row = bins[row_bins + pooled_row];
    let end_row = bins[row_bins + params.pooled_rows + pooled_row];
    let first_col = bins[col_bins + pooled_col];
    let end_col = bins[col_bins + params.pooled_cols + pooled_col];
    if (first_row >= end_row || first_col >= end_col) {
        output[params.output_base + index] = 0u;
        return;
    }

    var best = LOWEST;
    if (params.is_first == 0u) {
        best = output[params.output_base + index];
    }
    let plane_begin = (image * params.channels + channel) * params.in_rows;
    for (var row = first_row + params.row_begin; row < min(first_row + params.row_end, end_row); row++) {
        let row_begin = (plane_begin + row) * params.in_cols;
        for (var col = first_col + params.col_begin; col < min(first_col + params.col_end, end_col); col++) {
            let value = input[row_begin + col];
            if ((value & MAGNITUDE) <= INFINITY && ordered(value) > ordered(best)) {
                best = value;
            }
        }
    }
    output[params.output_base + index] = best;
}
