// parts: weight_gradient, squares
// The gradient of a convolution's weight as a product of matrices in tiles, for GPUs: see parts/weight_gradient.wgsl. Of
// each group
//     sums[o, c] = sum over k of grad[o, k] * patches[c, k]
// where the column c is an input channel and a kernel element, and k a pixel of the batch.
//
// A workgroup of SIDE by SIDE invocations computes a tile of 4 * SIDE * HALVES channels by as many columns, from a slice of
// TILE_K pixels at a time, in workgroup memory. An invocation computes 4 by 4 of the tile, or 8 by 8 as four such squares,
// half a tile apart: see parts/gemm.wgsl. A split takes a range of pixels, 4 for each of its blocks.

@group(0) @binding(1) var<storage, read> input: array<f32>;            // [images, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> grad: array<f32>;             // [images, groups * out_channels, out_rows, out_cols]

override SIDE: u32 = 16u;
override HALVES: u32 = 1u;
override TILE_K: u32 = 16u;

const TILE_STEPS: u32 = 16u;

// [TILE_K, vectors of 4 channels or columns], plus one vector a row so that rows begin in different banks.
var<workgroup> grads: array<vec4<f32>, TILE_K * (SIDE * HALVES + 1u)>;
var<workgroup> inputs: array<vec4<f32>, TILE_K * (SIDE * HALVES + 1u)>;
// The pixels of this slice and the next: see step_of.
var<workgroup> steps: array<vec4<i32>, 2u * TILE_STEPS>;

// A pixel: its image's first plane of the input, the row and column of the input where its window begins, and its place in
// the group's first plane of grad, or -1 if there is no such pixel.
fn step_of(group: i32, pixel: i32, end: i32) -> vec4<i32> {
    let plane = params.out_rows * params.out_cols;
    let image = pixel / plane;
    let place = pixel - image * plane;
    let row = place / params.out_cols;
    let grad_at = (image * params.groups + group) * params.out_channels * plane + place;
    return vec4<i32>(
        (image * params.groups + group) * params.in_channels * params.in_rows * params.in_cols,
        row * params.rows.stride - params.rows.padding,
        (place - row * params.out_cols) * params.cols.stride - params.cols.padding,
        select(-1, grad_at, pixel < end),
    );
}

@compute @workgroup_size(SIDE, SIDE)
fn multiply(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile_size = i32(4u * SIDE * HALVES);
    let kernel_size = params.rows.kernel * params.cols.kernel;
    let all_columns = params.in_channels * kernel_size;
    let column_tiles = (all_columns + tile_size - 1) / tile_size;
    let channel_tiles = (params.out_channels + tile_size - 1) / tile_size;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let first_column = number % column_tiles * tile_size;
    let first_channel = number / column_tiles % channel_tiles * tile_size;
    let group = number / column_tiles / channel_tiles % params.groups;
    let split = number / column_tiles / channel_tiles / params.groups;
    if (split >= params.splits) {
        return;
    }

    let out_plane = params.out_rows * params.out_cols;
    let begin = 4 * split * params.split_blocks;
    let end = min(begin + 4 * params.split_blocks, params.images * out_plane);
    let vectors = SIDE * HALVES;
    let invocations = SIDE * SIDE;

    // The 4 columns whose inputs this invocation loads at every step.
    let vector = lane % vectors;
    let columns = first_column + i32(4u * vector) + vec4<i32>(0, 1, 2, 3);
    let is_column = columns < vec4<i32>(all_columns);
    let in_channel = columns / kernel_size;
    let kernel_element = columns - in_channel * kernel_size;
    let kernel_row = kernel_element / params.cols.kernel;
    let column_rows = kernel_row * params.rows.dilation;
    let column_cols = (kernel_element - kernel_row * params.cols.kernel) * params.cols.dilation;
    let column_planes = i32(params.input_base) + in_channel * params.in_rows * params.in_cols;

    var sums_0: Square;
    var sums_1: Square;
    var sums_2: Square;
    var sums_3: Square;
    if (lane < TILE_K) {
        steps[lane] = step_of(group, begin + i32(lane), end);
    }
    workgroupBarrier();
    var slot = 0u;
    for (var k = begin; k < end; k += i32(TILE_K)) {
        for (var step = lane / vectors; step < TILE_K; step += invocations / vectors) {
            let at = steps[slot + step];
            let row = at.y + column_rows;
            let col = at.z + column_cols;
            let is_inside = is_column & (row >= vec4<i32>()) & (row < vec4<i32>(params.in_rows))
                & (col >= vec4<i32>()) & (col < vec4<i32>(params.in_cols)) & vec4<bool>(at.w >= 0);
            let place = select(vec4<i32>(), column_planes + at.x + row * params.in_cols + col, is_inside);
            let values = vec4<f32>(input[place.x], input[place.y], input[place.z], input[place.w]);
            inputs[step * (vectors + 1u) + vector] = select(vec4<f32>(), values, is_inside);
        }
        for (var item = lane; item < TILE_K * vectors; item += invocations) {
            let step = item % TILE_K;
            let channels = first_channel + i32(4u * (item / TILE_K)) + vec4<i32>(0, 1, 2, 3);
            let at = steps[slot + step].w;
            let is_inside = (channels < vec4<i32>(params.out_channels)) & vec4<bool>(at >= 0);
            let place = select(vec4<i32>(), i32(params.grad_base) + channels * out_plane + at, is_inside);
            let values = vec4<f32>(grad[place.x], grad[place.y], grad[place.z], grad[place.w]);
            grads[step * (vectors + 1u) + item / TILE_K] = select(vec4<f32>(), values, is_inside);
        }
        slot = TILE_STEPS - slot;
        if (lane < TILE_K) {
            steps[slot + lane] = step_of(group, k + i32(TILE_K + lane), end);
        }
        workgroupBarrier();
        for (var step = 0u; step < TILE_K; step++) {
            let row = step * (vectors + 1u);
            let g = grads[row + lane / SIDE];
            let x = inputs[row + lane % SIDE];
            add_square(&sums_0, g, x);
            if (HALVES > 1u) {
                let upper_g = grads[row + SIDE + lane / SIDE];
                let upper_x = inputs[row + SIDE + lane % SIDE];
                add_square(&sums_1, g, upper_x);
                add_square(&sums_2, upper_g, x);
                add_square(&sums_3, upper_g, upper_x);
            }
        }
        workgroupBarrier();
    }

    let channel = first_channel + i32(4u * (lane / SIDE));
    let column = first_column + i32(4u * (lane % SIDE));
    let half = i32(4u * SIDE);
    let tile = Tile(group, split, all_columns);
    store_square(sums_0, tile, channel, column);
    if (HALVES > 1u) {
        store_square(sums_1, tile, channel, column + half);
        store_square(sums_2, tile, channel + half, column);
        store_square(sums_3, tile, channel + half, column + half);
    }
}

struct Tile {
    group: i32,
    split: i32,
    columns: i32,
}

fn store_square(square: Square, tile: Tile, channel: i32, column: i32) {
    store_channel(square.channel_0, tile, channel, column);
    store_channel(square.channel_1, tile, channel + 1, column);
    store_channel(square.channel_2, tile, channel + 2, column);
    store_channel(square.channel_3, tile, channel + 3, column);
}

fn store_channel(values: vec4<f32>, tile: Tile, channel: i32, column: i32) {
    if (channel >= params.out_channels) {
        return;
    }
    let at = (tile.group * params.out_channels + channel) * tile.columns + column;
    let rest = tile.columns - column;
    if (rest > 0) { store(at, tile.split, values.x); }
    if (rest > 1) { store(at + 1, tile.split, values.y); }
    if (rest > 2) { store(at + 2, tile.split, values.z); }
    if (rest > 3) { store(at + 3, tile.split, values.w); }
}
