// parts: weights|weights_subgroup, convolution_params, bias, patches, no_epilogue|epilogue
// conv2d with a kernel of 1 by 1, stride 1 and no padding, in patches:
//     output[n,o,p] = bias[o] + sum over i of weight[o,i] * input[n, group(o) * in_channels + i, p]
// where in_channels is the number of input channels of a group, and planes of pixels p are made of blocks of 4.
//
// One invocation computes a patch: 8 pixels, which are 2 blocks, of CHANNELS output channels, in registers:
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

// Whether the weight is [groups * in_channels, out_channels]: for gradients.
override IS_MIRRORED: u32 = 0u;

@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;              // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;                   // [groups * out_channels, in_channels]
@group(0) @binding(4) var<storage, read_write> output: array<vec4<f32>>;       // [batch, groups * out_channels, out_rows, out_cols]

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_points(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let pixels = params.out_rows * params.out_cols;
    let plane_blocks = pixels / 4;
    let workgroup_pixels = PIXELS * i32(WORKGROUP_SIZE);
    let tiles = (pixels + workgroup_pixels - 1) / workgroup_pixels;
    let channel_blocks = (params.out_channels + CHANNELS - 1) / CHANNELS;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let plane = number / channel_blocks / tiles;
    // A plane is a group of an image.
    if (u32(plane * params.out_channels * pixels) >= params.count) {
        return;
    }
    let first_channel = number % channel_blocks * CHANNELS;
    let first_block = 2 * (number / channel_blocks % tiles * i32(WORKGROUP_SIZE) + i32(lane.index));
    // Invocations past the last block compute that block again, and do not write it.
    let blocks = min(first_block + vec2<i32>(0, 1), vec2<i32>(plane_blocks - 1));

    let group_weights = plane % params.groups * params.out_channels * params.in_channels;
    let last = params.out_channels - 1;
    let is_transposed = IS_MIRRORED != 0u;
    let weight_step = select(params.in_channels, 1, is_transposed);
    let channel_step = select(1, params.out_channels, is_transposed);
    let weights_0 = weight_places(lane, group_weights, first_channel, last, weight_step);
    let weights_8 = weight_places(lane, group_weights, first_channel + 8, last, weight_step);

    var sums_0: array<vec4<f32>, 16>;
    var sums_8: array<vec4<f32>, 16>;
    let begin = i32(params.input_base) / 4 + plane * params.in_channels * plane_blocks;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let low = input[begin + channel * plane_blocks + blocks.x];
        let high = input[begin + channel * plane_blocks + blocks.y];
        add_products(&sums_0, load_weights(weights_0, channel * channel_step), low, high);
        if (CHANNELS > 8) {
            add_products(&sums_8, load_weights(weights_8, channel * channel_step), low, high);
        }
    }

    let places = OutputPlaces(plane, plane_blocks, first_block);
    write_patch(places, first_channel, &sums_0, &sums_8);
}

struct OutputPlaces {
    plane: i32,
    plane_blocks: i32,
    first_block: i32,
}

fn write_channel(places: OutputPlaces, group_channel: i32, low: vec4<f32>, high: vec4<f32>) {
    if (group_channel >= params.out_channels) {
        return;
    }
    let channel = places.plane * params.out_channels + group_channel;
    let out_channel = channel % (params.groups * params.out_channels);
    let start = bias_of(out_channel);
    let at = i32(params.output_base) / 4 + channel * places.plane_blocks + places.first_block;
    write_block(at, places.first_block < places.plane_blocks, out_channel, start + low);
    write_block(at + 1, places.first_block + 1 < places.plane_blocks, out_channel, start + high);
}

fn write_block(at: i32, is_inside: bool, channel: i32, sums: vec4<f32>) {
    if (is_inside) {
        var values = sums;
        if (params.continues != 0u) {
            values += output[at];
        }
        output[at] = finished_block(values, at, channel);
    }
}
