// parts: phase_params, convolution, stores, no_epilogue|epilogue
// conv_transpose2d, gathered: output[n,o,y,x] = bias[o] + sum over i,u,v of
//     weight[group(o) * in_channels + i, o % out_channels, u, v] * input[n, group(o) * in_channels + i, r, c]
// where r * stride = y + padding - u * dilation, and likewise c with x and v. If there is no such r or c inside the
// input, the term is 0. in_channels and out_channels are those of a group.
//
// One invocation computes one output element, so the order of its sum is fixed. It visits only the kernel elements that
// meet the input. A sum of very many products is cut into ranges of channels and of these elements, one dispatch each.
// Every dispatch but the first continues from the sum in output.
//
// `fill` writes the bias, or 0, everywhere, before algorithms that compute only outputs with products.

override WORKGROUP_SIZE: u32 = 64u;

// The kernel elements along one axis that meet the input at an output position.
struct Taps {
    first: i32,             // the first of them
    position: i32,          // where that is in the input
    count: i32,
}

// a * b % m, for a and b below m.
fn product_modulo(a: u32, b: u32, m: u32) -> u32 {
    if (m <= 65536u) {
        return a * b % m;
    }
    var result = 0u;
    var addend = a;
    for (var rest = b; rest > 0u; rest >>= 1u) {
        if ((rest & 1u) != 0u) {
            result = (result + addend) % m;
        }
        addend = (addend + addend) % m;
    }
    return result;
}

// For an output `position` with padding: element * dilation + place * stride = position. One element in every stride /
// divisor solves this, and from one solution to the next the place goes back by dilation / divisor.
fn taps_of(
    position: i32,
    stride: i32,
    dilation: i32,
    divisor: i32,
    inverse: i32,
    kernel: i32,
    length: i32,
) -> Taps {
    let kernel_step = stride / divisor;
    let in_step = dilation / divisor;
    let rest = position / divisor % kernel_step;
    let first = i32(product_modulo(u32(rest), u32(inverse), u32(kernel_step)));
    if (position % divisor != 0 || first >= kernel || position < first * dilation) {
        return Taps(0, 0, 0);
    }
    let place = (position - first * dilation) / stride;
    let skipped = max(place - length + in_step, 0) / in_step;
    let end = min((kernel - 1 - first) / kernel_step, place / in_step) + 1;
    return Taps(first + skipped * kernel_step, place - skipped * in_step, end - skipped);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn conv_transpose2d(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.output_count) {
        return;
    }
    let out_col = i32(index) % params.out_cols;
    let out_row = i32(index) / params.out_cols % params.out_rows;
    let plane = i32(index) / params.out_cols / params.out_rows;
    let out_channel = plane % (params.groups * params.out_channels);
    let image = plane / (params.groups * params.out_channels);
    let group = out_channel / params.out_channels;

    let rows = taps_of(out_row + params.rows.padding, params.rows.stride, params.rows.dilation, params.divisor_rows,
        params.inverse_rows, params.rows.kernel, params.in_rows);
    let cols = taps_of(out_col + params.cols.padding, params.cols.stride, params.cols.dilation, params.divisor_cols,
        params.inverse_cols, params.cols.kernel, params.in_cols);
    let kernel_col_step = params.cols.stride / params.divisor_cols;
    let in_col_step = params.cols.dilation / params.divisor_cols;

    var sum = 0.0;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let group_channel = group * params.in_channels + channel;
        let in_plane = (image * params.groups * params.in_channels + group_channel) * params.in_rows;
        let kernel_plane =
            (group_channel * params.out_channels + out_channel % params.out_channels) * params.rows.kernel;
        // A separate sum for each channel keeps the rounding errors of long sums small.
        var channel_sum = 0.0;
        for (var tap_row = params.tap_row_begin; tap_row < min(params.tap_row_end, rows.count); tap_row++) {
            let in_row = rows.position - tap_row * (params.rows.dilation / params.divisor_rows);
            let kernel_row = rows.first + tap_row * (params.rows.stride / params.divisor_rows);
            let in_begin = i32(params.input_base) + (in_plane + in_row) * params.in_cols + cols.position;
            let kernel_begin = (kernel_plane + kernel_row) * params.cols.kernel + cols.first;
            for (var tap_col = params.tap_col_begin; tap_col < min(params.tap_col_end, cols.count); tap_col++) {
                channel_sum += input[in_begin - tap_col * in_col_step] * weight[kernel_begin + tap_col * kernel_col_step];
            }
        }
        sum += channel_sum;
    }
    write_pixel(i32(params.output_base + index), true, out_channel, bias_of(out_channel), sum);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn fill(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.output_count) {
        return;
    }
    let plane = i32(index) / (params.out_rows * params.out_cols);
    let out_channel = plane % (params.groups * params.out_channels);
    write_pixel(i32(params.output_base + index), true, out_channel, bias_of(out_channel), 0.0);
}
