// parts: order
// roi_pool: output[k,c,y,x] = max of input[batch(k), c] over the bin (y,x) of box k, or 0 where the bin is empty.
//
// The bins come as a table, since their edges need IEEE division. For each box: the image, pooled_rows first rows,
// pooled_rows end rows, pooled_cols first columns and pooled_cols end columns, all inside the image.
//
// roi_pool, for GPUs: one invocation computes one output element, so that neighbours write side by side.
// roi_pool_channels, for adapters that run on a CPU: one invocation computes the same bin of 4 channels, so that the
// invocations of a subgroup, with the same bin, run the same loops. roi_pool_argmax and roi_pool_argmax_channels also
// give argmax[k,c,y,x] = row * in_cols + col of the maximum in its plane.
//
// Bins of very many elements are cut into ranges of rows and columns, one dispatch each. Every dispatch but the first
// continues from the maximum in output, and argmax.
//
// As in torchvision the maximum starts from the lowest finite f32, and a NaN is never above it. argmax is -1 if no
// element is above it.

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
    // Where they begin in their bindings, in elements.
    bins_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;            // [batch, channels, in_rows, in_cols], bits of f32
@group(0) @binding(2) var<storage, read> bins: array<i32>;             // [boxes, 1 + 2 * pooled_rows + 2 * pooled_cols]
@group(0) @binding(3) var<storage, read_write> output: array<u32>;     // [boxes, channels, pooled_rows, pooled_cols], bits of f32
@group(0) @binding(4) var<storage, read_write> argmax: array<i32>;     // as output

const LOWEST: u32 = 0xff7fffffu;

// The maximum so far, and its position in its plane.
struct Best {
    value: u32,
    index: i32,
}

fn nothing() -> Best {
    return Best(LOWEST, -1);
}

// The ordered maximum, raised to a value if that is above. A NaN never is.
fn better(best: Best, value: u32, index: i32) -> Best {
    let is_better = !is_nan_of(value) && ordered(value) > ordered(best.value);
    return Best(select(best.value, value, is_better), select(best.index, index, is_better));
}

// A bin of a box: where it is in the input. It is empty if an end is not after its begin.
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

// An output element: its bin, and its channel.
struct Element {
    bin: Bin,
    channel: i32,
}

fn element_of(index: u32) -> Element {
    let pooled_col = i32(index) % params.pooled_cols;
    let pooled_row = i32(index) / params.pooled_cols % params.pooled_rows;
    let plane = i32(index) / params.pooled_cols / params.pooled_rows;
    return Element(bin_of(plane / params.channels, pooled_row, pooled_col), plane % params.channels);
}

// Goes through the range of an element's bin.
fn best_of(element: Element, before: Best) -> Best {
    let bin = element.bin;
    var best = before;
    let plane_begin = (bin.image * params.channels + element.channel) * params.in_rows * params.in_cols;
    for (var row = bin.first_row + params.row_begin; row < min(bin.first_row + params.row_end, bin.end_row); row++) {
        let end_col = min(bin.first_col + params.col_end, bin.end_col);
        for (var col = bin.first_col + params.col_begin; col < end_col; col++) {
            let index = row * params.in_cols + col;
            best = better(best, input[plane_begin + index], index);
        }
    }
    return best;
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
    let out = params.output_base + index;
    let element = element_of(index);
    if (is_empty(element.bin)) {
        output[out] = 0u;
        return;
    }
    var best = nothing();
    if (params.is_first == 0u) {
        best.value = output[out];
    }
    output[out] = best_of(element, best).value;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn roi_pool_argmax(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.output_count) {
        return;
    }
    let out = params.output_base + index;
    let element = element_of(index);
    if (is_empty(element.bin)) {
        output[out] = 0u;
        argmax[out] = -1;
        return;
    }
    var best = nothing();
    if (params.is_first == 0u) {
        best = Best(output[out], argmax[out]);
    }
    best = best_of(element, best);
    output[out] = best.value;
    argmax[out] = best.index;
}

// A bin of 4 channels.
struct Quad {
    bin: Bin,
    // Where the planes begin in input.
    planes: vec4<i32>,
    // Where the elements are in output, and their number, 0 past the last 4 channels. Past the last channel, that
    // channel again, which is not written.
    out: vec4<u32>,
    count: i32,
}

fn quad_of(index: i32) -> Quad {
    let quads = (params.channels + 3) / 4;
    let number = index / quads;
    let channel = (index - number * quads) * 4;
    let bins_of_a_box = params.pooled_rows * params.pooled_cols;
    let box = number / bins_of_a_box;
    let place = number - box * bins_of_a_box;
    let is_behind = u32((box * params.channels + channel) * bins_of_a_box) >= params.output_count;
    // Without a branch around it, which is slow.
    let bin = bin_of(select(box, 0, is_behind), place / params.pooled_cols, place % params.pooled_cols);
    let channels = min(channel + vec4<i32>(0, 1, 2, 3), vec4<i32>(params.channels - 1));
    let planes = (bin.image * params.channels + channels) * (params.in_rows * params.in_cols);
    let out = vec4<u32>((box * params.channels + channels) * bins_of_a_box + place) + params.output_base;
    return Quad(bin, planes, out, select(params.channels - channel, 0, is_behind));
}

// The maxima of 4 channels.
struct Bests {
    values: vec4<u32>,
    indices: vec4<i32>,
}

fn bests_of(quad: Quad, before: Bests) -> Bests {
    let bin = quad.bin;
    var best_0 = Best(before.values.x, before.indices.x);
    var best_1 = Best(before.values.y, before.indices.y);
    var best_2 = Best(before.values.z, before.indices.z);
    var best_3 = Best(before.values.w, before.indices.w);
    for (var row = bin.first_row + params.row_begin; row < min(bin.first_row + params.row_end, bin.end_row); row++) {
        let end_col = min(bin.first_col + params.col_end, bin.end_col);
        for (var col = bin.first_col + params.col_begin; col < end_col; col++) {
            let index = row * params.in_cols + col;
            let at = quad.planes + index;
            best_0 = better(best_0, input[at.x], index);
            best_1 = better(best_1, input[at.y], index);
            best_2 = better(best_2, input[at.z], index);
            best_3 = better(best_3, input[at.w], index);
        }
    }
    let values = vec4<u32>(best_0.value, best_1.value, best_2.value, best_3.value);
    return Bests(
        select(values, vec4<u32>(), is_empty(bin)),
        vec4<i32>(best_0.index, best_1.index, best_2.index, best_3.index),
    );
}

fn values_of(out: vec4<u32>) -> vec4<u32> {
    return vec4<u32>(output[out.x], output[out.y], output[out.z], output[out.w]);
}

fn write_values(quad: Quad, values: vec4<u32>) {
    output[quad.out.x] = values.x;
    if (quad.count > 1) { output[quad.out.y] = values.y; }
    if (quad.count > 2) { output[quad.out.z] = values.z; }
    if (quad.count > 3) { output[quad.out.w] = values.w; }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn roi_pool_channels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quad = quad_of(i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane));
    if (quad.count == 0) {
        return;
    }
    var bests = Bests(vec4<u32>(LOWEST), vec4<i32>(-1));
    if (params.is_first == 0u) {
        bests.values = values_of(quad.out);
    }
    write_values(quad, bests_of(quad, bests).values);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn roi_pool_argmax_channels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let quad = quad_of(i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane));
    if (quad.count == 0) {
        return;
    }
    let out = quad.out;
    var bests = Bests(vec4<u32>(LOWEST), vec4<i32>(-1));
    if (params.is_first == 0u) {
        bests = Bests(values_of(out), vec4<i32>(argmax[out.x], argmax[out.y], argmax[out.z], argmax[out.w]));
    }
    bests = bests_of(quad, bests);
    write_values(quad, bests.values);
    argmax[out.x] = bests.indices.x;
    if (quad.count > 1) { argmax[out.y] = bests.indices.y; }
    if (quad.count > 2) { argmax[out.z] = bests.indices.z; }
    if (quad.count > 3) { argmax[out.w] = bests.indices.w; }
}
