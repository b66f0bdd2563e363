// parts: weights|weights_subgroup, phase_params, convolution, patches, pixels, phase_ranges, bits, stores, no_epilogue|epilogue
// conv_transpose2d, by phases: output[n,o,y,x] = bias[o] + sum over i,u,v of
//     weight[group(o) * in_channels + i, o % out_channels, u, v] * input[n, group(o) * in_channels + i, r, c]
// with r * stride = y + padding - u * dilation, and the same for columns, where r and c are whole and inside the input.
//
// A phase is the rows with the same (y + padding) % stride. They use the same kernel rows, one in every kernel_step. So
// each phase of rows and columns is a convolution of stride 1 with some of the kernel's elements, and no product is
// left out:
//
//     stride 2, kernel 4         y + padding   0 1 2 3 4 5 ..
//                                phase         0 1 0 1 0 1
//                                kernel rows   0,2 in phase 0, 1,3 in phase 1
//
// One invocation computes 8 pixels of a phase, next to each other in its own grid, of CHANNELS output channels, in
// registers. All invocations of a workgroup have the same phase and channels, so that they share the loads of weights:
// see parts/weights_subgroup.wgsl.
//
// Patches at the input's edges multiply zeros outside of it, which gives NaN with an infinite or NaN weight. The
// definition has no such products, so sums that are not finite are computed again without them.
//
// A sum of very many products is cut into ranges of channels and of the kernel elements of a phase, one dispatch each.
// Every dispatch but the first continues from the sum in output.

override WORKGROUP_SIZE: u32 = 8u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_phases(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let workgroup_pixels = PIXELS * i32(WORKGROUP_SIZE);
    let share = share_of(workgroup, grid, workgroup_pixels, CHANNELS);
    let plane = share.plane;
    let first_channel = share.block * CHANNELS;
    if (u32(plane * params.out_channels * params.out_rows * params.out_cols) >= params.output_count) {
        return;
    }
    let pixels = share.rows.length * share.cols.length;
    let tile_pixel = share.tile * workgroup_pixels;
    if (tile_pixel >= pixels) {
        return;
    }
    let last_pixel = min(tile_pixel + workgroup_pixels, pixels) - 1;
    let row_phase = narrowed_rows(share.rows, share.cols.length, tile_pixel, last_pixel);
    let col_phase = narrowed_cols(share.cols, tile_pixel, last_pixel);

    // Positions in the phase's grid. Invocations past the last compute that one again, and do not write it.
    let first_pixel = tile_pixel + i32(lane.index) * PIXELS;
    let low_pixels = min(first_pixel + vec4<i32>(0, 1, 2, 3), vec4<i32>(pixels - 1));
    let high_pixels = min(first_pixel + vec4<i32>(4, 5, 6, 7), vec4<i32>(pixels - 1));
    let low_rows = low_pixels / col_phase.length + row_phase.in_first;
    let high_rows = high_pixels / col_phase.length + row_phase.in_first;
    let low_cols = low_pixels % col_phase.length + col_phase.in_first;
    let high_cols = high_pixels % col_phase.length + col_phase.in_first;

    // The distance between neighbouring kernel elements of the phase, in the kernel and in the input.
    let kernel_row_step = params.rows.stride / params.divisor_rows;
    let kernel_col_step = params.cols.stride / params.divisor_cols;
    let in_row_step = params.rows.dilation / params.divisor_rows;
    let in_col_step = params.cols.dilation / params.divisor_cols;

    let kernel_size = params.rows.kernel * params.cols.kernel;
    let channel_step = params.out_channels * kernel_size;
    let last = params.out_channels - 1;
    let weights_0 = weight_places(lane, 0, first_channel, last, kernel_size);
    let weights_8 = weight_places(lane, 0, first_channel + 8, last, kernel_size);

    var sums_0: array<vec4<f32>, 16>;
    var sums_8: array<vec4<f32>, 16>;
    let in_plane = params.in_rows * params.in_cols;
    let plane_begin = i32(params.input_base) + plane * params.in_channels * in_plane;
    let group_begin = plane % params.groups * params.in_channels * channel_step;
    for (var tap_row = params.tap_row_begin; tap_row < min(params.tap_row_end, row_phase.taps); tap_row++) {
        let row = tap_row * in_row_step;
        let kernel_row = row_phase.kernel_first + tap_row * kernel_row_step;
        for (var tap_col = params.tap_col_begin; tap_col < min(params.tap_col_end, col_phase.taps); tap_col++) {
            let col = tap_col * in_col_step;
            let is_low_inside = is_inside(low_rows - row, low_cols - col);
            let is_high_inside = is_inside(high_rows - row, high_cols - col);
            let low_at = select(vec4<i32>(), (low_rows - row) * params.in_cols + low_cols - col, is_low_inside);
            let high_at = select(vec4<i32>(), (high_rows - row) * params.in_cols + high_cols - col, is_high_inside);
            let kernel_begin = group_begin + kernel_row * params.cols.kernel
                + col_phase.kernel_first + tap_col * kernel_col_step;
            // The innermost loop, since it does the least apart from its products.
            for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
                let begin = plane_begin + channel * in_plane;
                let low = load(low_at + begin, is_low_inside);
                let high = load(high_at + begin, is_high_inside);
                let at = kernel_begin + channel * channel_step;
                add_products(&sums_0, load_weights(weights_0, at), low, high);
                if (CHANNELS > 8) {
                    add_products(&sums_8, load_weights(weights_8, at), low, high);
                }
            }
        }
    }

    let own = Patch(row_phase, col_phase, low_rows, low_cols, high_rows, high_cols, plane_begin, group_begin);
    mend(&sums_0, 0, own, first_channel);
    if (CHANNELS > 4) {
        mend(&sums_0, 8, own, first_channel + 4);
    }
    if (CHANNELS > 8) {
        mend(&sums_8, 0, own, first_channel + 8);
        mend(&sums_8, 8, own, first_channel + 12);
    }

    let out_low = (low_pixels / col_phase.length * params.rows.stride + row_phase.first) * params.out_cols
        + low_pixels % col_phase.length * params.cols.stride + col_phase.first;
    let out_high = (high_pixels / col_phase.length * params.rows.stride + row_phase.first) * params.out_cols
        + high_pixels % col_phase.length * params.cols.stride + col_phase.first;
    let places = OutputPlaces(plane, pixels - first_pixel, out_low, out_high);
    write_patch(places, first_channel, &sums_0, &sums_8);
}

// What an invocation must compute again.
struct Patch {
    row_phase: Phase,
    col_phase: Phase,
    low_rows: vec4<i32>,
    low_cols: vec4<i32>,
    high_rows: vec4<i32>,
    high_cols: vec4<i32>,
    // Where the first channel's plane of the input and the group's weights begin.
    plane_begin: i32,
    weights_begin: i32,
}

// Computes 4 channels again, from element `at` of sums on, if any of their sums is not finite.
fn mend(sums: ptr<function, array<vec4<f32>, 16>>, at: i32, own: Patch, first_channel: i32) {
    var is_any_spoilt = vec4<bool>();
    for (var index = 0; index < 8; index++) {
        is_any_spoilt |= is_spoilt((*sums)[at + index]);
    }
    if (!any(is_any_spoilt)) {
        return;
    }
    let kernel_size = params.rows.kernel * params.cols.kernel;
    let channels = min(first_channel + vec4<i32>(0, 1, 2, 3), vec4<i32>(params.out_channels - 1));
    let weights = own.weights_begin + channels * kernel_size;
    var low_0 = vec4<f32>();
    var low_1 = vec4<f32>();
    var low_2 = vec4<f32>();
    var low_3 = vec4<f32>();
    var high_0 = vec4<f32>();
    var high_1 = vec4<f32>();
    var high_2 = vec4<f32>();
    var high_3 = vec4<f32>();
    for (var tap_row = params.tap_row_begin; tap_row < min(params.tap_row_end, own.row_phase.taps); tap_row++) {
        let row = tap_row * (params.rows.dilation / params.divisor_rows);
        let kernel_row = own.row_phase.kernel_first + tap_row * (params.rows.stride / params.divisor_rows);
        for (var tap_col = params.tap_col_begin; tap_col < min(params.tap_col_end, own.col_phase.taps); tap_col++) {
            let col = tap_col * (params.cols.dilation / params.divisor_cols);
            let kernel_col = own.col_phase.kernel_first + tap_col * (params.cols.stride / params.divisor_cols);
            let is_low_inside = is_inside(own.low_rows - row, own.low_cols - col);
            let is_high_inside = is_inside(own.high_rows - row, own.high_cols - col);
            let low_place = (own.low_rows - row) * params.in_cols + own.low_cols - col;
            let high_place = (own.high_rows - row) * params.in_cols + own.high_cols - col;
            for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
                let begin = own.plane_begin + channel * params.in_rows * params.in_cols;
                let low = load(select(vec4<i32>(), low_place + begin, is_low_inside), is_low_inside);
                let high = load(select(vec4<i32>(), high_place + begin, is_high_inside), is_high_inside);
                let places = weights + channel * params.out_channels * kernel_size
                    + kernel_row * params.cols.kernel + kernel_col;
                let w = vec4<f32>(weight[places.x], weight[places.y], weight[places.z], weight[places.w]);
                low_0 += select(vec4<f32>(), w.x * low, is_low_inside);
                low_1 += select(vec4<f32>(), w.y * low, is_low_inside);
                low_2 += select(vec4<f32>(), w.z * low, is_low_inside);
                low_3 += select(vec4<f32>(), w.w * low, is_low_inside);
                high_0 += select(vec4<f32>(), w.x * high, is_high_inside);
                high_1 += select(vec4<f32>(), w.y * high, is_high_inside);
                high_2 += select(vec4<f32>(), w.z * high, is_high_inside);
                high_3 += select(vec4<f32>(), w.w * high, is_high_inside);
            }
        }
    }
    (*sums)[at] = low_0;
    (*sums)[at + 1] = high_0;
    (*sums)[at + 2] = low_1;
    (*sums)[at + 3] = high_1;
    (*sums)[at + 4] = low_2;
    (*sums)[at + 5] = high_2;
    (*sums)[at + 6] = low_3;
    (*sums)[at + 7] = high_3;
}

struct OutputPlaces {
    plane: i32,
    // The number of pixels from the first on.
    pixels: i32,
    // Where they are in their plane.
    low: vec4<i32>,
    high: vec4<i32>,
}

fn write_channel(places: OutputPlaces, group_channel: i32, low: vec4<f32>, high: vec4<f32>) {
    if (group_channel >= params.out_channels) {
        return;
    }
    let channel = places.plane * params.out_channels + group_channel;
    let begin = i32(params.output_base) + channel * params.out_rows * params.out_cols;
    let out_channel = channel % (params.groups * params.out_channels);
    let start = bias_of(out_channel);
    let pixels = vec4<i32>(0, 1, 2, 3);
    write_pixels(begin + places.low, pixels < vec4<i32>(places.pixels), out_channel, start, low);
    write_pixels(begin + places.high, pixels < vec4<i32>(places.pixels - 4), out_channel, start, high);
}
