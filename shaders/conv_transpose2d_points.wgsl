// conv_transpose2d with a stride as large as the kernel, no padding and no output_padding, in patches: every input pixel
// becomes a block of kernel_rows by kernel_cols output pixels,
//     output[n,o,y * kernel_rows + u, x * kernel_cols + v] = bias[o] + sum over i of
//         weight[group(o) * in_channels + i, o % out_channels, u, v] * input[n, group(o) * in_channels + i, y, x]
// so that (o,u,v) are the channels of a convolution with a kernel of 1 by 1. Planes of the input are made of blocks of 4.
//
// One invocation computes 8 input pixels, which are 2 blocks, of CHANNELS of these channels, in registers:
//
//                block   low         high
//     channel 0          sums_0[0]   sums_0[1]
//     channel 1          sums_0[2]   sums_0[3]     every input is used CHANNELS times, every weight 8 times
//     ..
//
// All invocations of a workgroup have the same channels, so that they share the loads of weights: see
// shared/weights_subgroup.wgsl.
//
// A sum of very many products is cut into ranges of channels, one dispatch each; every dispatch but the first goes on
// from the sum in output.

override WORKGROUP_SIZE: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;      // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;           // [groups * in_channels, out_channels, kernel_rows, kernel_cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [groups * out_channels]; anything without has_bias
@group(0) @binding(4) var<storage, read_write> output: array<f32>;     // [batch, groups * out_channels, out_rows, out_cols]

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_points(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let kernel_size = params.kernel_rows * params.kernel_cols;
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
    // What is behind the last block computes that again, and is not written.
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
        low_pixels / params.in_cols * params.kernel_rows * params.out_cols
            + low_pixels % params.in_cols * params.kernel_cols,
        high_pixels / params.in_cols * params.kernel_rows * params.out_cols
            + high_pixels % params.in_cols * params.kernel_cols,
    );
    write_channel(places, first_channel + 0, sums_0[0], sums_0[1]);
    if (CHANNELS > 1) {
        write_channel(places, first_channel + 1, sums_0[2], sums_0[3]);
        write_channel(places, first_channel + 2, sums_0[4], sums_0[5]);
        write_channel(places, first_channel + 3, sums_0[6], sums_0[7]);
    }
    if (CHANNELS > 4) {
        write_channel(places, first_channel + 4, sums_0[8], sums_0[9]);
        write_channel(places, first_channel + 5, sums_0[10], sums_0[11]);
        write_channel(places, first_channel + 6, sums_0[12], sums_0[13]);
        write_channel(places, first_channel + 7, sums_0[14], sums_0[15]);
    }
    if (CHANNELS > 8) {
        write_channel(places, first_channel + 8, sums_8[0], sums_8[1]);
        write_channel(places, first_channel + 9, sums_8[2], sums_8[3]);
        write_channel(places, first_channel + 10, sums_8[4], sums_8[5]);
        write_channel(places, first_channel + 11, sums_8[6], sums_8[7]);
        write_channel(places, first_channel + 12, sums_8[8], sums_8[9]);
        write_channel(places, first_channel + 13, sums_8[10], sums_8[11]);
        write_channel(places, first_channel + 14, sums_8[12], sums_8[13]);
        write_channel(places, first_channel + 15, sums_8[14], sums_8[15]);
    }
}

struct OutputPlaces {
    plane: i32,
    // How many blocks there are from the first on.
    blocks: i32,
    // Where the pixels' blocks of output begin in their plane.
    low: vec4<i32>,
    high: vec4<i32>,
}

fn write_channel(places: OutputPlaces, number: i32, low: vec4<f32>, high: vec4<f32>) {
    let kernel_size = params.kernel_rows * params.kernel_cols;
    let group_channel = number / kernel_size;
    if (group_channel >= params.out_channels) {
        return;
    }
    let element = number - group_channel * kernel_size;
    let row = element / params.kernel_cols;
    let channel = places.plane * params.out_channels + group_channel;
    let begin = i32(params.output_base) + (channel * params.out_rows + row) * params.out_cols
        + element - row * params.kernel_cols;
    var start = 0.0;
    if (params.has_bias != 0u) {
        start = bias[channel % (params.groups * params.out_channels)];
    }
    write_block(begin + places.low, places.blocks > 0, start, low);
    write_block(begin + places.high, places.blocks > 1, start, high);
}

fn write_block(at: vec4<i32>, is_inside: bool, start: f32, sums: vec4<f32>) {
    if (is_inside) {
        if (params.is_first == 0u) {
            output[at.x] += sums.x;
            output[at.y] += sums.y;
            output[at.z] += sums.z;
            output[at.w] += sums.w;
        } else {
            output[at.x] = start + sums.x;
            output[at.y] = start + sums.y;
            output[at.z] = start + sums.z;
            output[at.w] = start + sums.w;
        }
    }
}
