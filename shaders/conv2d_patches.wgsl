// parts: weights|weights_subgroup, convolution_params, convolution, patches, pixels, stores, no_epilogue|epilogue
// conv2d, in patches: output[n,o,y,x] = bias[o] + sum over i,u,v of
//     weight[o,i,u,v] * input[n, group(o) * in_channels + i, y * stride - padding + u * dilation, x * ... + v * ...]
// where in_channels is the number of input channels of a group, and input is 0 outside its rows and columns.
//
// One invocation computes a patch: 8 pixels, next to each other in row-major order, of CHANNELS output channels, in
// registers:
//
//                pixel   0 1 2 3   4 5 6 7
//     channel 0          sums_0[0]  sums_0[1]
//     channel 1          sums_0[2]  sums_0[3]     every input is used CHANNELS times, every weight 8 times
//     ..
//
// All invocations of a workgroup have the same channels, so that they share the loads of weights: see
// parts/weights_subgroup.wgsl.
//
// A sum of very many products is cut into ranges of channels and kernel elements, one dispatch each. Every dispatch but
// the first continues from the sum in output.

override WORKGROUP_SIZE: u32 = 8u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_patches(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let pixels = params.out_rows * params.out_cols;
    let workgroup_pixels = PIXELS * i32(WORKGROUP_SIZE);
    let tiles = (pixels + workgroup_pixels - 1) / workgroup_pixels;
    let blocks = (params.out_channels + CHANNELS - 1) / CHANNELS;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let plane = number / blocks / tiles;
    // A plane is a group of an image.
    if (u32(plane * params.out_channels * pixels) >= params.count) {
        return;
    }
    let first_channel = number % blocks * CHANNELS;
    let first_pixel = number / blocks % tiles * workgroup_pixels + i32(lane.index) * PIXELS;

    // Invocations past the last pixel compute that pixel again, and do not write it.
    let low_pixels = min(first_pixel + vec4<i32>(0, 1, 2, 3), vec4<i32>(pixels - 1));
    let high_pixels = min(first_pixel + vec4<i32>(4, 5, 6, 7), vec4<i32>(pixels - 1));
    let low_rows = low_pixels / params.out_cols * params.rows.stride - params.rows.padding;
    let high_rows = high_pixels / params.out_cols * params.rows.stride - params.rows.padding;
    let low_cols = low_pixels % params.out_cols * params.cols.stride - params.cols.padding;
    let high_cols = high_pixels % params.out_cols * params.cols.stride - params.cols.padding;

    let channel_weights = params.in_channels * params.rows.kernel * params.cols.kernel;
    let group_weights = plane % params.groups * params.out_channels * channel_weights;
    let last = params.out_channels - 1;
    let weights_0 = weight_places(lane, group_weights, first_channel, last, channel_weights);
    let weights_8 = weight_places(lane, group_weights, first_channel + 8, last, channel_weights);

    var sums_0: array<vec4<f32>, 16>;
    var sums_8: array<vec4<f32>, 16>;
    let in_plane = params.in_rows * params.in_cols;
    let plane_begin = i32(params.input_base) + plane * params.in_channels * in_plane;
    let kernel_size = params.rows.kernel * params.cols.kernel;
    for (var kernel_row = params.kernel_row_begin; kernel_row < params.kernel_row_end; kernel_row++) {
        let row = kernel_row * params.rows.dilation;
        var row_sums_0: array<vec4<f32>, 16>;
        var row_sums_8: array<vec4<f32>, 16>;
        for (var kernel_col = params.kernel_col_begin; kernel_col < params.kernel_col_end; kernel_col++) {
            let col = kernel_col * params.cols.dilation;
            let is_low_inside = is_inside(low_rows + row, low_cols + col);
            let is_high_inside = is_inside(high_rows + row, high_cols + col);
            let low_at = select(vec4<i32>(), (low_rows + row) * params.in_cols + low_cols + col, is_low_inside);
            let high_at = select(vec4<i32>(), (high_rows + row) * params.in_cols + high_cols + col, is_high_inside);
            let kernel_element = kernel_row * params.cols.kernel + kernel_col;
            // The innermost loop, since it does the least apart from its products.
            for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
                let begin = plane_begin + channel * in_plane;
                let low = load(low_at + begin, is_low_inside);
                let high = load(high_at + begin, is_high_inside);
                let at = channel * kernel_size + kernel_element;
                add_products(&row_sums_0, load_weights(weights_0, at), low, high);
                if (CHANNELS > 8) {
                    add_products(&row_sums_8, load_weights(weights_8, at), low, high);
                }
            }
        }
        add_sums(&sums_0, &row_sums_0);
        if (CHANNELS > 8) {
            add_sums(&sums_8, &row_sums_8);
        }
    }

    let places = OutputPlaces(plane, first_pixel, pixels);
    write_patch(places, first_channel, &sums_0, &sums_8);
}

struct OutputPlaces {
    plane: i32,
    first_pixel: i32,
    pixels: i32,
}

fn write_channel(places: OutputPlaces, group_channel: i32, low: vec4<f32>, high: vec4<f32>) {
    if (group_channel >= params.out_channels) {
        return;
    }
    let channel = places.plane * params.out_channels + group_channel;
    let begin = i32(params.output_base) + channel * places.pixels + places.first_pixel;
    let out_channel = channel % (params.groups * params.out_channels);
    let start = bias_of(out_channel);
    let rest = places.pixels - places.first_pixel;
    let pixels = vec4<i32>(0, 1, 2, 3);
    write_pixels(begin + pixels, pixels < vec4<i32>(rest), out_channel, start, low);
    write_pixels(begin + 4 + pixels, pixels < vec4<i32>(rest - 4), out_channel, start, high);
}
