// parts: phase_params, convolution, phase_ranges, bits, stores, no_epilogue|epilogue
// conv_transpose2d by phases (see conv_transpose2d_phases.wgsl) of few pixels, on adapters that run on a CPU.
//
// One invocation computes PIXELS pixels of a phase, next to each other in its own grid, of 4 output channels, in
// registers. All invocations of a workgroup have the same pixels, and channels of their own:
//
//              lane 0          lane 1            every weight is used PIXELS times, every pixel 4 * WORKGROUP_SIZE times
//     pixel 0  channels 0..3   channels 4..7
//           1
//           ..
//
// A load takes as long as 20 broadcasts. So each invocation loads one or two of the pixels, and all read them from there.
// A subgroup has at least as many invocations as a workgroup.
//
// Pixels at the input's edges multiply zeros outside of it, which gives NaN with an infinite or NaN weight. The definition
// has no such products, so sums that are not finite are computed again without them.
//
// A sum of very many products is cut as in conv_transpose2d_phases.wgsl.

override WORKGROUP_SIZE: u32 = 8u;
// 1, 4, 8 or 16: at most twice as many as a workgroup has invocations.
override PIXELS: i32 = 16;

// A phase of an image's group, and which of its products an invocation adds.
struct Range {
    row_phase: Phase,
    col_phase: Phase,
    // The first pixel, and the number of all of the phase.
    pixel: i32,
    pixels: i32,
    // Where the plane of the first input channel begins, and the weights of each channel.
    plane: i32,
    weights: vec4<i32>,
}

// The input that meets a pixel at a kernel element.
struct Place {
    at: i32,
    is_inside: bool,
}

fn place_of(range: Range, pixel: i32, tap_row: i32, tap_col: i32) -> Place {
    // Past the last pixel, that one again.
    let own = min(range.pixel + pixel, range.pixels - 1);
    let row = own / range.col_phase.length + range.row_phase.in_first - tap_row * (params.rows.dilation / params.divisor_rows);
    let col = own % range.col_phase.length + range.col_phase.in_first - tap_col * (params.cols.dilation / params.divisor_cols);
    let is_inside = row >= 0 && row < params.in_rows && col >= 0 && col < params.in_cols;
    return Place(range.plane + select(0, row * params.in_cols + col, is_inside), is_inside);
}

fn load_pixel(place: Place, channel: i32) -> f32 {
    return select(0.0, input[place.at + channel * params.in_rows * params.in_cols], place.is_inside);
}

fn load_four_weights(range: Range, tap_row: i32, tap_col: i32, channel: i32) -> vec4<f32> {
    let kernel_row = range.row_phase.kernel_first + tap_row * (params.rows.stride / params.divisor_rows);
    let kernel_col = range.col_phase.kernel_first + tap_col * (params.cols.stride / params.divisor_cols);
    let at = range.weights + channel * params.out_channels * params.rows.kernel * params.cols.kernel
        + kernel_row * params.cols.kernel + kernel_col;
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_channels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
) {
    let workgroup_channels = 4 * i32(WORKGROUP_SIZE);
    let share = share_of(workgroup, grid, PIXELS, workgroup_channels);
    let plane = share.plane;
    let first_channel = share.block * workgroup_channels + 4 * i32(lane);
    let pixels = share.rows.length * share.cols.length;
    let first_pixel = share.tile * PIXELS;
    if (u32(plane * params.out_channels * params.out_rows * params.out_cols) >= params.output_count || first_pixel >= pixels) {
        return;
    }
    let last_pixel = min(first_pixel + PIXELS, pixels) - 1;
    let row_phase = narrowed_rows(share.rows, share.cols.length, first_pixel, last_pixel);
    let col_phase = narrowed_cols(share.cols, first_pixel, last_pixel);
    // Past the last channel, that one again, which is not written.
    let channels = min(first_channel + vec4<i32>(0, 1, 2, 3), vec4<i32>(params.out_channels - 1));
    let kernel_size = params.rows.kernel * params.cols.kernel;
    let group_weights = plane % params.groups * params.in_channels * params.out_channels * kernel_size;
    let range = Range(
        row_phase,
        col_phase,
        first_pixel,
        pixels,
        i32(params.input_base) + plane * params.in_channels * params.in_rows * params.in_cols,
        group_weights + channels * kernel_size,
    );

    var sums: array<vec4<f32>, 16>;
    let own = i32(subgroup_lane % WORKGROUP_SIZE);
    for (var tap_row = params.tap_row_begin; tap_row < min(params.tap_row_end, row_phase.taps); tap_row++) {
        for (var tap_col = params.tap_col_begin; tap_col < min(params.tap_col_end, col_phase.taps); tap_col++) {
            let low_place = place_of(range, own, tap_row, tap_col);
            let high_place = place_of(range, own + i32(WORKGROUP_SIZE), tap_row, tap_col);
            for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
                let low = load_pixel(low_place, channel);
                let four = load_four_weights(range, tap_row, tap_col, channel);
                sums[0] += subgroupBroadcast(low, 0u) * four;
                if (PIXELS > 1) {
                    sums[1] += subgroupBroadcast(low, 1u) * four;
                    sums[2] += subgroupBroadcast(low, 2u) * four;
                    sums[3] += subgroupBroadcast(low, 3u) * four;
                }
                if (PIXELS > 4) {
                    sums[4] += subgroupBroadcast(low, 4u) * four;
                    sums[5] += subgroupBroadcast(low, 5u) * four;
                    sums[6] += subgroupBroadcast(low, 6u) * four;
                    sums[7] += subgroupBroadcast(low, 7u) * four;
                }
                if (PIXELS > 8) {
                    let high = load_pixel(high_place, channel);
                    sums[8] += subgroupBroadcast(high, 0u) * four;
                    sums[9] += subgroupBroadcast(high, 1u) * four;
                    sums[10] += subgroupBroadcast(high, 2u) * four;
                    sums[11] += subgroupBroadcast(high, 3u) * four;
                    sums[12] += subgroupBroadcast(high, 4u) * four;
                    sums[13] += subgroupBroadcast(high, 5u) * four;
                    sums[14] += subgroupBroadcast(high, 6u) * four;
                    sums[15] += subgroupBroadcast(high, 7u) * four;
                }
            }
        }
    }

    // A copy, whose index may vary: the sums would leave the registers. Not as often as PIXELS says, since a driver would
    // unroll that, and take long.
    var results = sums;
    for (var pixel = 0; pixel < min(PIXELS, pixels - range.pixel); pixel++) {
        var result = results[pixel];
        if (any(is_spoilt(result))) {
            result = computed_again(range, pixel);
        }
        write_channels(range, plane, pixel, first_channel, result);
    }
}

// A pixel of 4 channels, without products that the definition does not have.
fn computed_again(range: Range, pixel: i32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var tap_row = params.tap_row_begin; tap_row < min(params.tap_row_end, range.row_phase.taps); tap_row++) {
        for (var tap_col = params.tap_col_begin; tap_col < min(params.tap_col_end, range.col_phase.taps); tap_col++) {
            let place = place_of(range, pixel, tap_row, tap_col);
            if (place.is_inside) {
                for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
                    sum += load_pixel(place, channel) * load_four_weights(range, tap_row, tap_col, channel);
                }
            }
        }
    }
    return sum;
}

fn write_channels(range: Range, plane: i32, pixel: i32, first_channel: i32, sums: vec4<f32>) {
    let own = range.pixel + pixel;
    let row = own / range.col_phase.length * params.rows.stride + range.row_phase.first;
    let col = own % range.col_phase.length * params.cols.stride + range.col_phase.first;
    let out_plane = params.out_rows * params.out_cols;
    for (var index = 0; index < 4; index++) {
        let group_channel = first_channel + index;
        if (group_channel < params.out_channels) {
            let channel = plane * params.out_channels + group_channel;
            let out_channel = channel % (params.groups * params.out_channels);
            let at = i32(params.output_base) + channel * out_plane + row * params.out_cols + col;
            write_pixel(at, true, out_channel, bias_of(out_channel), sums[index]);
        }
    }
}
