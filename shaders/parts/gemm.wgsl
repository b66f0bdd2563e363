// parts: window, squares, convolution, stores
// A product of matrices that are never made (implicit GEMM), shared by the convolutions: of each problem
//     output[m, n] = bias[m] + sum over k of weight[m, k] * patches[k, n]
// where m is an output channel of a group, n a pixel of the batch's output, and k stands for an input channel and kernel
// element, so that patches[k, n] is an element of the input, or 0 outside of it.
//
// A workgroup of SIDE by SIDE invocations computes a tile of TILE channels by TILE pixels, from a slice of TILE_K steps
// of k at a time, in workgroup memory. An invocation computes 4 by 4 of the tile, or 8 by 8 as four such squares, half
// a tile apart, so that neighbours read neighbouring vectors:
//
//                 inputs[k]   . . x . . . . . x . . .        sums_0: lower half of the channels and of the pixels;
//     weights[k]  w           . . # . . . . . # . . .        sums_1: upper half of the pixels;
//                 .                                          sums_2, sums_3: the same, upper half of the channels
//                 w           . . # . . . . . # . . .
//
// Small outputs have few tiles. Then `splits` workgroups share a tile, each with a range of k, and `add_splits` adds
// their sums from workspace, in order.
//
// A sum of very many products is cut into ranges of k, one dispatch each. Every dispatch but the first continues from
// the sum in output.
//
// A file that names this says what a problem is: Problem, problem_of, step_of, windows_of, output_places, mended.

struct Params {
    rows: Window,
    cols: Window,
    epilogue: vec4<u32>,    // see epilogue.wgsl
    images: i32,
    // For the problem that has most.
    largest_pixels: i32,
    groups: i32,
    in_channels: i32,       // of a group
    out_channels: i32,      // of a group
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    // The greatest common divisors of stride and dilation, for transposed convolutions.
    divisor_rows: i32,
    divisor_cols: i32,
    // The range of k of this dispatch, and the length of a split's range.
    k_begin: i32,
    k_end: i32,
    k_per_split: i32,
    splits: i32,
    // Whether sums are added to what the output holds.
    continues: u32,
    has_bias: u32,
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
    workspace_base: u32,
}

override SIDE: u32 = 16u;
// 1 for squares of 4 by 4 an invocation, 2 for 8 by 8.
override HALVES: u32 = 1u;
override TILE_K: u32 = 16u;
override WORKGROUP_SIZE: u32 = 64u;

// The largest TILE_K.
const TILE_STEPS: u32 = 16u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(5) var<storage, read_write> workspace: array<f32>;  // [splits] of output

// [TILE_K, vectors of 4 channels or pixels], plus one vector a row so that rows begin in different banks.
var<workgroup> weights: array<vec4<f32>, TILE_K * (SIDE * HALVES + 1u)>;
var<workgroup> inputs: array<vec4<f32>, TILE_K * (SIDE * HALVES + 1u)>;
// The steps of k of this slice and of the next one: see step_of.
var<workgroup> steps: array<vec4<i32>, 2u * TILE_STEPS>;

// The windows of 4 pixels: where they begin, in rows and columns of the input, and where their first planes begin.
struct Windows {
    rows: vec4<i32>,
    cols: vec4<i32>,
    begins: vec4<i32>,
}

// A workgroup's tile.
struct Tile {
    problem: Problem,
    split: i32,
    first_channel: i32,
    // Its range of k.
    k_begin: i32,
    k_end: i32,
}

@compute @workgroup_size(SIDE, SIDE)
fn multiply(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile_size = i32(4u * SIDE * HALVES);
    // Every problem has as many tiles as the largest.
    let pixel_tiles = (params.largest_pixels + tile_size - 1) / tile_size;
    let channel_tiles = (params.out_channels + tile_size - 1) / tile_size;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let first_pixel = number % pixel_tiles * tile_size;
    let first_channel = number / pixel_tiles % channel_tiles * tile_size;
    let split = number / pixel_tiles / channel_tiles % params.splits;
    let problem = problem_of(number / pixel_tiles / channel_tiles / params.splits, first_pixel, tile_size);
    if (problem.group >= params.groups || first_pixel >= problem.pixels) {
        return;
    }

    let vectors = SIDE * HALVES;
    let invocations = SIDE * SIDE;
    let k_begin = params.k_begin + split * params.k_per_split;
    let k_end = min(min(k_begin + params.k_per_split, params.k_end), problem.k_size);

    // The 4 pixels whose inputs this invocation loads at every step.
    let vector = lane % vectors;
    let loaded_pixels = first_pixel + i32(4u * vector) + vec4<i32>(0, 1, 2, 3);
    let is_pixel = loaded_pixels < vec4<i32>(problem.pixels);
    let windows = windows_of(problem, loaded_pixels);

    var sums_0: Square;
    var sums_1: Square;
    var sums_2: Square;
    var sums_3: Square;
    if (lane < TILE_K) {
        steps[lane] = step_of(problem, k_begin + i32(lane), k_end);
    }
    workgroupBarrier();
    var slot = 0u;
    for (var k = k_begin; k < k_end; k += i32(TILE_K)) {
        for (var step = lane / vectors; step < TILE_K; step += invocations / vectors) {
            let at = steps[slot + step];
            let row = windows.rows + at.y;
            let col = windows.cols + at.z;
            let is_inside = is_pixel & (row >= vec4<i32>()) & (row < vec4<i32>(params.in_rows))
                & (col >= vec4<i32>()) & (col < vec4<i32>(params.in_cols)) & vec4<bool>(at.w >= 0);
            let place = select(vec4<i32>(), windows.begins + at.x + row * params.in_cols + col, is_inside);
            let values = vec4<f32>(input[place.x], input[place.y], input[place.z], input[place.w]);
            inputs[step * (vectors + 1u) + vector] = select(vec4<f32>(), values, is_inside);
        }
        for (var item = lane; item < TILE_K * vectors; item += invocations) {
            let step = item % TILE_K;
            let channels = first_channel + i32(4u * (item / TILE_K)) + vec4<i32>(0, 1, 2, 3);
            let at = steps[slot + step].w;
            let is_inside = (channels < vec4<i32>(params.out_channels)) & vec4<bool>(at >= 0);
            let place = select(vec4<i32>(), problem.weights_begin + channels * problem.weights_step + at, is_inside);
            let values = vec4<f32>(weight[place.x], weight[place.y], weight[place.z], weight[place.w]);
            weights[step * (vectors + 1u) + item / TILE_K] = select(vec4<f32>(), values, is_inside);
        }
        slot = TILE_STEPS - slot;
        if (lane < TILE_K) {
            steps[slot + lane] = step_of(problem, k + i32(TILE_K + lane), k_end);
        }
        workgroupBarrier();
        for (var step = 0u; step < TILE_K; step++) {
            let begin = step * (vectors + 1u);
            let w = weights[begin + lane / SIDE];
            let x = inputs[begin + lane % SIDE];
            add_square(&sums_0, w, x);
            if (HALVES > 1u) {
                let upper_w = weights[begin + SIDE + lane / SIDE];
                let upper_x = inputs[begin + SIDE + lane % SIDE];
                add_square(&sums_1, w, upper_x);
                add_square(&sums_2, upper_w, x);
                add_square(&sums_3, upper_w, upper_x);
            }
        }
        workgroupBarrier();
    }

    let tile = Tile(problem, split, first_channel, k_begin, k_end);
    let channel = i32(4u * (lane / SIDE));
    let pixel = first_pixel + i32(4u * (lane % SIDE));
    let half = i32(4u * SIDE);
    write_square(sums_0, tile, channel, pixel);
    if (HALVES > 1u) {
        write_square(sums_1, tile, channel, pixel + half);
        write_square(sums_2, tile, channel + half, pixel);
        write_square(sums_3, tile, channel + half, pixel + half);
    }
}

fn write_square(sums: Square, tile: Tile, channel: i32, pixel: i32) {
    let pixels = pixel + vec4<i32>(0, 1, 2, 3);
    let places = output_places(tile.problem, pixels);
    let is_inside = pixels < vec4<i32>(tile.problem.pixels);
    let first = tile.first_channel + channel;
    let square = mended(sums, tile, first, pixels);
    write_channel(square.channel_0, tile, first, places, is_inside);
    write_channel(square.channel_1, tile, first + 1, places, is_inside);
    write_channel(square.channel_2, tile, first + 2, places, is_inside);
    write_channel(square.channel_3, tile, first + 3, places, is_inside);
}

fn write_channel(sums: vec4<f32>, tile: Tile, channel: i32, places: vec4<i32>, is_inside: vec4<bool>) {
    if (channel >= params.out_channels) {
        return;
    }
    let out_channel = tile.problem.group * params.out_channels + channel;
    var start = 0.0;
    if (tile.split == 0) {
        start = bias_of(out_channel);
    }
    let plane_pixels = params.out_rows * params.out_cols;
    let count = params.images * params.groups * params.out_channels * plane_pixels;
    // With splits, the workspace is bound there.
    let base = select(params.output_base, params.workspace_base, params.splits > 1);
    let begin = i32(base) + tile.split * count + channel * plane_pixels;
    write_pixels(begin + places, is_inside, out_channel, start, sums);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn add_splits(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane);
    let count = params.images * params.groups * params.out_channels * params.out_rows * params.out_cols;
    var sum = 0.0;
    // Not by the uniform alone: Mesa would unroll the loop by its value, and compile again for every dispatch.
    for (var split = 0; split < select(0, params.splits, index < count); split++) {
        sum += workspace[i32(params.workspace_base) + split * count + index];
    }
    let channel = index / (params.out_rows * params.out_cols) % (params.groups * params.out_channels);
    write_pixel(i32(params.output_base) + index, index < count, channel, 0.0, sum);
}
