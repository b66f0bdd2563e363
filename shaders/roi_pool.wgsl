// roi_pool: output[k,c,y,x] = max of input[batch(k), c] over the bin (y,x) of box k, or 0 where the bin is empty.
//
// The bins come as a table, since their edges need IEEE division: for each box the image, then pooled_rows first rows,
// pooled_rows end rows, pooled_cols first columns and pooled_cols end columns, all inside the image.
//
// roi_pool: one invocation computes one output element, so that neighbours write side by side, as a GPU would have it.
// roi_pool_channels: one invocation computes the same bin of 4 channels, so that those of a subgroup, with the same bin,
// go through the same loops: for adapters that run on a CPU. Bins of very many elements are cut into ranges of rows and columns, one
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

// The ordered maximum goes up to a value; one that is a NaN is never above.
fn better(best: u32, value: u32) -> u32 {
    let is_better = (value & MAGNITUDE) <= INFINITY && ordered(value) > ordered(best);
    return select(best, value, is_better);
}

// A bin of a box: where it is in the input, and empty if an end is not behind its begin.
struct Bin {
    image: i32,
    first_row: i32,
    end_row: i32,
    first_col: i32,
    end_col: i32,
}

fn bin_of(box: i32, pooled_row: i32, pooled_col: i32) -> Bin {
    let box_bins = i32(params.bins_base) + box * (1 + 2 * params.pooled_rows + 2 * params.pooled_cols);
    let row_bins = box_bins + 1;
    let col_bins = row_bins + 2 * params.pooled_rows;
    return Bin(
        bins[box_bins],
        bins[row_bins + pooled_row],
        bins[row_bins + params.pooled_rows + pooled_row],
        bins[col_bins + pooled_col],
        bins[col_bins + params.pooled_cols + pooled_col],
    );
}

fn is_empty(bin: Bin) -> bool {
    return bin.first_row >= bin.end_row || bin.first_col >= bin.end_col;
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
    let bin = bin_of(plane / params.channels, pooled_row, pooled_col);
    if (is_empty(bin)) {
        output[params.output_base + index] = 0u;
        return;
    }

    var best = LOWEST;
    if (params.is_first == 0u) {
        best = output[params.output_base + index];
    }
    let plane_begin = (bin.image * params.channels + channel) * params.in_rows;
    for (var row = bin.first_row + params.row_begin; row < min(bin.first_row + params.row_end, bin.end_row); row++) {
        let row_begin = (plane_begin + row) * params.in_cols;
        let end_col = min(bin.first_col + params.col_end, bin.end_col);
        for (var col = bin.first_col + params.col_begin; col < end_col; col++) {
            best = better(best, input[row_begin + col]);
        }
    }
    output[params.output_base + index] = best;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn roi_pool_channels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane);
    let quads = (params.channels + 3) / 4;
    let number = index / quads;
    let channel = (index - number * quads) * 4;
    let bins_of_a_box = params.pooled_rows * params.pooled_cols;
    let box = number / bins_of_a_box;
    let place = number - box * bins_of_a_box;
    let plane = box * params.channels + channel;
    if (u32(plane * bins_of_a_box) >= params.output_count) {
        return;
    }
    let bin = bin_of(box, place / params.pooled_cols, place % params.pooled_cols);

    // Behind the last channel that one again, which is not written.
    let channels = min(channel + vec4<i32>(0, 1, 2, 3), vec4<i32>(params.channels - 1));
    let in_plane = params.in_rows * params.in_cols;
    let plane_begin = (bin.image * params.channels + channels) * in_plane;
    let out = vec4<u32>((box * params.channels + channels) * bins_of_a_box + place) + params.output_base;
    var best_0 = LOWEST;
    var best_1 = LOWEST;
    var best_2 = LOWEST;
    var best_3 = LOWEST;
    if (params.is_first == 0u) {
        best_0 = output[out.x];
        best_1 = output[out.y];
        best_2 = output[out.z];
        best_3 = output[out.w];
    }
    for (var row = bin.first_row + params.row_begin; row < min(bin.first_row + params.row_end, bin.end_row); row++) {
        let end_col = min(bin.first_col + params.col_end, bin.end_col);
        for (var col = bin.first_col + params.col_begin; col < end_col; col++) {
            let at = plane_begin + row * params.in_cols + col;
            best_0 = better(best_0, input[at.x]);
            best_1 = better(best_1, input[at.y]);
            best_2 = better(best_2, input[at.z]);
            best_3 = better(best_3, input[at.w]);
        }
    }
    let bests = select(vec4<u32>(best_0, best_1, best_2, best_3), vec4<u32>(), is_empty(bin));
    let rest = params.channels - channel;
    output[out.x] = bests.x;
    if (rest > 1) { output[out.y] = bests.y; }
    if (rest > 2) { output[out.z] = bests.z; }
    if (rest > 3) { output[out.w] = bests.w; }
}
