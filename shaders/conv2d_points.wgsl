// conv2d with a kernel of 1 by 1, stride 1 and no padding, in patches:
//     output[n,o,p] = bias[o] + sum over i of weight[o,i] * input[n, group(o) * in_channels + i, p]
// where in_channels is the number of input channels of a group, and planes of pixels p are made of blocks of 4.
//
// One invocation computes 8 pixels, which are 2 blocks, of CHANNELS output channels, in registers:
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

struct Params {
    output_count: u32,
    groups: i32,
    in_channels: i32,       // of a group
    out_channels: i32,      // of a group
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    kernel_rows: i32,
    kernel_cols: i32,
    stride_rows: i32,
    stride_cols: i32,
    padding_rows: i32,      // before the first row
    padding_cols: i32,      // before the first column
    dilation_rows: i32,
    dilation_cols: i32,
    // The range of products that this dispatch adds.
    channel_begin: i32,
    channel_end: i32,
    kernel_row_begin: i32,
    kernel_row_end: i32,
    kernel_col_begin: i32,
    kernel_col_end: i32,
    is_first: u32,
    has_bias: u32,
    // Where they begin in what is bound.
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;              // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;                   // [groups * out_channels, in_channels]
@group(0) @binding(3) var<storage, read> bias: array<f32>;                     // [groups * out_channels]; anything without has_bias
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
    if (u32(plane * params.out_channels * pixels) >= params.output_count) {
        return;
    }
    let first_channel = number % channel_blocks * CHANNELS;
    let first_block = 2 * (number / channel_blocks % tiles * i32(WORKGROUP_SIZE) + i32(lane.index));
    // What is behind the last block computes that again, and is not written.
    let blocks = min(first_block + vec2<i32>(0, 1), vec2<i32>(plane_blocks - 1));

    let group_weights = plane % params.groups * params.out_channels * params.in_channels;
    let last = params.out_channels - 1;
    let weights_0 = weight_places(lane, group_weights, first_channel, last, params.in_channels);
    let weights_8 = weight_places(lane, group_weights, first_channel + 8, last, params.in_channels);

    var sums_0: array<vec4<f32>, 16>;
    var sums_8: array<vec4<f32>, 16>;
    let begin = i32(params.input_base) / 4 + plane * params.in_channels * plane_blocks;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let low = input[begin + channel * plane_blocks + blocks.x];
        let high = input[begin + channel * plane_blocks + blocks.y];
        add_products(&sums_0, load_weights(weights_0, channel), low, high);
        if (CHANNELS > 8) {
            add_products(&sums_8, load_weights(weights_8, channel), low, high);
        }
    }

    let place = OutputPlace(plane, plane_blocks, first_block);
    write_channel(place, first_channel + 0, sums_0[0], sums_0[1]);
    if (CHANNELS > 1) {
        write_channel(place, first_channel + 1, sums_0[2], sums_0[3]);
        write_channel(place, first_channel + 2, sums_0[4], sums_0[5]);
        write_channel(place, first_channel + 3, sums_0[6], sums_0[7]);
    }
    if (CHANNELS > 4) {
        write_channel(place, first_channel + 4, sums_0[8], sums_0[9]);
        write_channel(place, first_channel + 5, sums_0[10], sums_0[11]);
        write_channel(place, first_channel + 6, sums_0[12], sums_0[13]);
        write_channel(place, first_channel + 7, sums_0[14], sums_0[15]);
    }
    if (CHANNELS > 8) {
        write_channel(place, first_channel + 8, sums_8[0], sums_8[1]);
        write_channel(place, first_channel + 9, sums_8[2], sums_8[3]);
        write_channel(place, first_channel + 10, sums_8[4], sums_8[5]);
        write_channel(place, first_channel + 11, sums_8[6], sums_8[7]);
        write_channel(place, first_channel + 12, sums_8[8], sums_8[9]);
        write_channel(place, first_channel + 13, sums_8[10], sums_8[11]);
        write_channel(place, first_channel + 14, sums_8[12], sums_8[13]);
        write_channel(place, first_channel + 15, sums_8[14], sums_8[15]);
    }
}

struct OutputPlace {
    plane: i32,
    plane_blocks: i32,
    first_block: i32,
}

fn write_channel(place: OutputPlace, group_channel: i32, low: vec4<f32>, high: vec4<f32>) {
    if (group_channel >= params.out_channels) {
        return;
    }
    let channel = place.plane * params.out_channels + group_channel;
    var start = 0.0;
    if (params.has_bias != 0u) {
        start = bias[channel % (params.groups * params.out_channels)];
    }
    let at = i32(params.output_base) / 4 + channel * place.plane_blocks + place.first_block;
    write_block(at, place.first_block < place.plane_blocks, start, low);
    write_block(at + 1, place.first_block + 1 < place.plane_blocks, start, high);
}

fn write_block(at: i32, is_inside: bool, start: f32, sums: vec4<f32>) {
    if (is_inside) {
        if (params.is_first == 0u) {
            output[at] += sums;
        } else {
            output[at] = start + sums;
        }
    }
}
