// parts: weights|weights_subgroup, phase_params, bias, patches, stores, no_epilogue|epilogue
// conv_transpose2d with a stride as large as the kernel, no padding and no output_padding, in patches: every input
// pixel becomes a rectangle of rows.kernel by cols.kernel output pixels,
//     output[n,o,y * rows.kernel + u, x * cols.kernel + v] = bias[o] + sum over i of
//         weight[group(o) * in_channels + i, o % out_channels, u, v] * input[n, group(o) * in_channels + i, y, x]
// so that (o,u,v) are the channels of a convolution with a kernel of 1 by 1. Planes of the input are made of blocks of 4.
//
// One invocation computes a patch: 8 input pixels, which are 2 blocks, of CHANNELS of these channels, in registers:
//
//                block   low         high
//     channel 0          sums_0[0]   sums_0[1]
//     channel 1          sums_0[2]   sums_0[3]     every input is used CHANNELS times, every weight 8 times
//     ..
//
// All invocations of a workgroup have the same channels, so that they share the loads of weights: see
// parts/weights_subgroup.wgsl.
//
// A sum of very many products is cut into ranges of channels, one dispatch each. Every dispatch but the first continues
// from the sum in output.

override WORKGROUP_SIZE: u32 = 8u;

@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;      // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;           // [groups * in_channels, out_channels, rows.kernel, cols.kernel]
@group(0) @binding(4) var<storage, read_write> output: array<f32>;     // [batch, groups * out_channels, out_rows, out_cols]

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_points(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let kernel_size = params.rows.kernel * params.cols.kernel;
    let channels = params.out_channels * kernel_size;
    let pixels = params.in_rows * params.in_cols;
    let plane_blocks = pixels / 4;
    let workgroup_pixels = PIXELS * i32(WORKGROUP_SIZE);
    let tiles = (pixels + workgroup_pixels - 1) / workgroup_pixels;
    let channel_blocks = (channels + CHANNELS - 1) / CHANNELS;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let plane = number / channel_blocks / tiles;
    // A plane is a group of an image.
    if (u32(plane * channels * pixels) >= params.output_count) {
        return;
    }
    let first_channel = number % channel_blocks * CHANNELS;
    let first_block = 2 * (number / channel_blocks % tiles * i32(WORKGROUP_SIZE) + i32(lane.index));
    // Invocations past the last block compute that block again, and do not write it.
    let blocks = min(first_block + vec2<i32>(0, 1), vec2<i32>(plane_blocks - 1));

    let group_weights = plane % params.groups * params.in_channels * channels;
    let weights_0 = weight_places(lane, group_weights, first_channel, channels - 1, 1);
    let weights_8 = weight_places(lane, group_weights, first_channel + 8, channels - 1, 1);

    var sums_0: array<vec4<f32>, 16>;
    var sums_8: array<vec4<f32>, 16>;
    let begin = i32(params.input_base) / 4 + plane * params.in_channels * plane_blocks;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let low = input[begin + channel * plane_blocks + blocks.x];
        let high = input[begin + channel * plane_blocks + blocks.y];
        let at = channel * channels;
        add_products(&sums_0, load_weights(weights_0, at), low, high);
        if (CHANNELS > 8) {
            add_products(&sums_8, load_weights(weights_8, at), low, high);
        }
    }

    let low_pixels = blocks.x * 4 + vec4<i32>(0, 1, 2, 3);
    let high_pixels = blocks.y * 4 + vec4<i32>(0, 1, 2, 3);
    let places = OutputPlaces(
        plane,
        plane_blocks - first_block,
        low_pixels / params.in_cols * params.rows.kernel * params.out_cols
            + low_pixels % params.in_cols * params.cols.kernel,
        high_pixels / params.in_cols * params.rows.kernel * params.out_cols
            + high_pixels % params.in_cols * params.cols.kernel,
    );
    write_patch(places, first_channel, &sums_0, &sums_8);
}

struct OutputPlaces {
    plane: i32,
    // The number of blocks from the first on.
    blocks: i32,
    // Where the pixels' rectangles of output begin in their plane.
    low: vec4<i32>,
    high: vec4<i32>,
}

fn write_channel(places: OutputPlaces, number: i32, low: vec4<f32>, high: vec4<f32>) {
    let kernel_size = params.rows.kernel * params.cols.kernel;
    let group_channel = number / kernel_size;
    if (group_channel >= params.out_channels) {
        return;
    }
    let element = number - group_channel * kernel_size;
    let row = element / params.cols.kernel;
    let channel = places.plane * params.out_channels + group_channel;
    let begin = i32(params.output_base) + (channel * params.out_rows + row) * params.out_cols
        + element - row * params.cols.kernel;
    let out_channel = channel % (params.groups * params.out_channels);
    let start = bias_of(out_channel);
    write_pixels(begin + places.low, vec4<bool>(places.blocks > 0), out_channel, start, low);
    write_pixels(begin + places.high, vec4<bool>(places.blocks > 1), out_channel, start, high);
}
