// conv2d, in patches: output[n,o,y,x] = bias[o] + sum over i,u,v of
//     weight[o,i,u,v] * input[n, group(o) * in_channels + i, y * stride - padding + u * dilation, x * ... + v * ...]
// where in_channels is the number of input channels of a group, and input is 0 outside its rows and columns.
//
// One invocation computes 8 pixels, next to each other in row-major order, of CHANNELS output channels, in registers:
//
//                pixel   0 1 2 3   4 5 6 7
//     channel 0          low_0     high_0
//     channel 1          low_1     high_1         every input is used CHANNELS times, every weight 8 times
//     ..
//
// All invocations of a workgroup have the same channels, so that weights are read at uniform addresses. This is for
// adapters that run on a CPU, where such a read is one of a scalar and others are a loop over the lanes.
//
// A sum of very many products is cut into ranges of channels and kernel elements, one dispatch each; every dispatch but
// the first goes on from the sum in output.

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
// How many output channels an invocation computes: 1, 4, 8 or 16.
override CHANNELS: i32 = 16;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;            // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;           // [groups * out_channels, in_channels, kernel_rows, kernel_cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [groups * out_channels]; anything without has_bias
@group(0) @binding(4) var<storage, read_write> output: array<f32>;     // [batch, groups * out_channels, out_rows, out_cols]

const PIXELS: i32 = 8;

// Input at 4 places of a plane, 0 where they are outside of it.
fn load(plane_begin: i32, rows: vec4<i32>, cols: vec4<i32>) -> vec4<f32> {
    let inside = (rows >= vec4<i32>()) & (rows < vec4<i32>(params.in_rows))
        & (cols >= vec4<i32>()) & (cols < vec4<i32>(params.in_cols));
    let at = select(vec4<i32>(), rows * params.in_cols + cols, inside) + plane_begin;
    return select(vec4<f32>(), vec4<f32>(input[at.x], input[at.y], input[at.z], input[at.w]), inside);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_patches(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let pixels = params.out_rows * params.out_cols;
    let workgroup_pixels = PIXELS * i32(WORKGROUP_SIZE);
    let tiles = (pixels + workgroup_pixels - 1) / workgroup_pixels;
    let blocks = (params.out_channels + CHANNELS - 1) / CHANNELS;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let plane = number / blocks / tiles;
    // A plane is a group of an image.
    if (u32(plane * params.out_channels * pixels) >= params.output_count) {
        return;
    }
    let first_channel = number % blocks * CHANNELS;
    let first_pixel = number / blocks % tiles * workgroup_pixels + i32(lane) * PIXELS;

    // What is behind the last pixel computes that again, and is not written.
    let low_pixels = min(first_pixel + vec4<i32>(0, 1, 2, 3), vec4<i32>(pixels - 1));
    let high_pixels = min(first_pixel + vec4<i32>(4, 5, 6, 7), vec4<i32>(pixels - 1));
    let low_rows = low_pixels / params.out_cols * params.stride_rows - params.padding_rows;
    let high_rows = high_pixels / params.out_cols * params.stride_rows - params.padding_rows;
    let low_cols = low_pixels % params.out_cols * params.stride_cols - params.padding_cols;
    let high_cols = high_pixels % params.out_cols * params.stride_cols - params.padding_cols;

    // The first weight of each channel; of the last one again where there are no more.
    let channel_weights = params.in_channels * params.kernel_rows * params.kernel_cols;
    let group_channel = plane % params.groups * params.out_channels;
    let last = params.out_channels - 1;
    let weights_0 = (group_channel + min(first_channel + 0, last)) * channel_weights;
    let weights_1 = (group_channel + min(first_channel + 1, last)) * channel_weights;
    let weights_2 = (group_channel + min(first_channel + 2, last)) * channel_weights;
    let weights_3 = (group_channel + min(first_channel + 3, last)) * channel_weights;
    let weights_4 = (group_channel + min(first_channel + 4, last)) * channel_weights;
    let weights_5 = (group_channel + min(first_channel + 5, last)) * channel_weights;
    let weights_6 = (group_channel + min(first_channel + 6, last)) * channel_weights;
    let weights_7 = (group_channel + min(first_channel + 7, last)) * channel_weights;
    let weights_8 = (group_channel + min(first_channel + 8, last)) * channel_weights;
    let weights_9 = (group_channel + min(first_channel + 9, last)) * channel_weights;
    let weights_10 = (group_channel + min(first_channel + 10, last)) * channel_weights;
    let weights_11 = (group_channel + min(first_channel + 11, last)) * channel_weights;
    let weights_12 = (group_channel + min(first_channel + 12, last)) * channel_weights;
    let weights_13 = (group_channel + min(first_channel + 13, last)) * channel_weights;
    let weights_14 = (group_channel + min(first_channel + 14, last)) * channel_weights;
    let weights_15 = (group_channel + min(first_channel + 15, last)) * channel_weights;

    var low_0 = vec4<f32>();
    var high_0 = vec4<f32>();
    var low_1 = vec4<f32>();
    var high_1 = vec4<f32>();
    var low_2 = vec4<f32>();
    var high_2 = vec4<f32>();
    var low_3 = vec4<f32>();
    var high_3 = vec4<f32>();
    var low_4 = vec4<f32>();
    var high_4 = vec4<f32>();
    var low_5 = vec4<f32>();
    var high_5 = vec4<f32>();
    var low_6 = vec4<f32>();
    var high_6 = vec4<f32>();
    var low_7 = vec4<f32>();
    var high_7 = vec4<f32>();
    var low_8 = vec4<f32>();
    var high_8 = vec4<f32>();
    var low_9 = vec4<f32>();
    var high_9 = vec4<f32>();
    var low_10 = vec4<f32>();
    var high_10 = vec4<f32>();
    var low_11 = vec4<f32>();
    var high_11 = vec4<f32>();
    var low_12 = vec4<f32>();
    var high_12 = vec4<f32>();
    var low_13 = vec4<f32>();
    var high_13 = vec4<f32>();
    var low_14 = vec4<f32>();
    var high_14 = vec4<f32>();
    var low_15 = vec4<f32>();
    var high_15 = vec4<f32>();
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let plane_begin = i32(params.input_base)
            + (plane * params.in_channels + channel) * params.in_rows * params.in_cols;
        for (var kernel_row = params.kernel_row_begin; kernel_row < params.kernel_row_end; kernel_row++) {
            let row = kernel_row * params.dilation_rows;
            let kernel_begin = (channel * params.kernel_rows + kernel_row) * params.kernel_cols;
            for (var kernel_col = params.kernel_col_begin; kernel_col < params.kernel_col_end; kernel_col++) {
                let col = kernel_col * params.dilation_cols;
                let low = load(plane_begin, low_rows + row, low_cols + col);
                let high = load(plane_begin, high_rows + row, high_cols + col);
                let at = kernel_begin + kernel_col;
                let weight_0 = weight[weights_0 + at];
                low_0 += weight_0 * low;
                high_0 += weight_0 * high;
                if (CHANNELS > 1) {
                    let weight_1 = weight[weights_1 + at];
                    low_1 += weight_1 * low;
                    high_1 += weight_1 * high;
                    let weight_2 = weight[weights_2 + at];
                    low_2 += weight_2 * low;
                    high_2 += weight_2 * high;
                    let weight_3 = weight[weights_3 + at];
                    low_3 += weight_3 * low;
                    high_3 += weight_3 * high;
                }
                if (CHANNELS > 4) {
                    let weight_4 = weight[weights_4 + at];
                    low_4 += weight_4 * low;
                    high_4 += weight_4 * high;
                    let weight_5 = weight[weights_5 + at];
                    low_5 += weight_5 * low;
                    high_5 += weight_5 * high;
                    let weight_6 = weight[weights_6 + at];
                    low_6 += weight_6 * low;
                    high_6 += weight_6 * high;
                    let weight_7 = weight[weights_7 + at];
                    low_7 += weight_7 * low;
                    high_7 += weight_7 * high;
                }
                if (CHANNELS > 8) {
                    let weight_8 = weight[weights_8 + at];
                    low_8 += weight_8 * low;
                    high_8 += weight_8 * high;
                    let weight_9 = weight[weights_9 + at];
                    low_9 += weight_9 * low;
                    high_9 += weight_9 * high;
                    let weight_10 = weight[weights_10 + at];
                    low_10 += weight_10 * low;
                    high_10 += weight_10 * high;
                    let weight_11 = weight[weights_11 + at];
                    low_11 += weight_11 * low;
                    high_11 += weight_11 * high;
                    let weight_12 = weight[weights_12 + at];
                    low_12 += weight_12 * low;
                    high_12 += weight_12 * high;
                    let weight_13 = weight[weights_13 + at];
                    low_13 += weight_13 * low;
                    high_13 += weight_13 * high;
                    let weight_14 = weight[weights_14 + at];
                    low_14 += weight_14 * low;
                    high_14 += weight_14 * high;
                    let weight_15 = weight[weights_15 + at];
                    low_15 += weight_15 * low;
                    high_15 += weight_15 * high;
                }
            }
        }
    }

    var sums: array<vec4<f32>, 32>;
    sums[0] = low_0;
    sums[1] = high_0;
    sums[2] = low_1;
    sums[3] = high_1;
    sums[4] = low_2;
    sums[5] = high_2;
    sums[6] = low_3;
    sums[7] = high_3;
    sums[8] = low_4;
    sums[9] = high_4;
    sums[10] = low_5;
    sums[11] = high_5;
    sums[12] = low_6;
    sums[13] = high_6;
    sums[14] = low_7;
    sums[15] = high_7;
    sums[16] = low_8;
    sums[17] = high_8;
    sums[18] = low_9;
    sums[19] = high_9;
    sums[20] = low_10;
    sums[21] = high_10;
    sums[22] = low_11;
    sums[23] = high_11;
    sums[24] = low_12;
    sums[25] = high_12;
    sums[26] = low_13;
    sums[27] = high_13;
    sums[28] = low_14;
    sums[29] = high_14;
    sums[30] = low_15;
    sums[31] = high_15;
    for (var index = 0; index < min(CHANNELS, params.out_channels - first_channel); index++) {
        let out_channel = group_channel + first_channel + index;
        let begin = i32(params.output_base)
            + (plane * params.out_channels + first_channel + index) * pixels + first_pixel;
        for (var pixel = 0; pixel < min(PIXELS, pixels - first_pixel); pixel++) {
            var sum = sums[2 * index + pixel / 4][pixel % 4];
            if (params.is_first == 0u) {
                sum += output[begin + pixel];
            } else if (params.has_bias != 0u) {
                sum += bias[out_channel];
            }
            output[begin + pixel] = sum;
        }
    }
}
