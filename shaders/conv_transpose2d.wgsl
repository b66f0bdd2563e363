// conv_transpose2d, gathered: output[n,o,y,x] = bias[o] + sum over i,u,v of
//     weight[group(o) * in_channels + i, o % out_channels, u, v] * input[n, group(o) * in_channels + i, r, c]
// where r * stride = y + padding - u * dilation and likewise c with x and v; where there is no such r or c inside the
// input the term is 0. in_channels and out_channels are those of a group.
//
// One invocation computes one output element, so the order of its sum is fixed. It visits those kernel elements alone that
// meet the input. A sum of very many products is cut into ranges of channels and of these elements, one dispatch each; every
// dispatch but the first goes on from output.
//
// `fill` leaves the bias, or 0, everywhere, before algorithms that compute only outputs with products.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;            // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;           // [groups * in_channels, out_channels, kernel_rows, kernel_cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [groups * out_channels]; anything without has_bias
@group(0) @binding(4) var<storage, read_write> output: array<f32>;     // [batch, groups * out_channels, out_rows, out_cols]

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

// Of an output `position` with padding: element * dilation + place * stride = position. The elements are one in every
// stride / divisor, and places go back by dilation / divisor from one to the next.
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

    let rows = taps_of(out_row + params.padding_rows, params.stride_rows, params.dilation_rows, params.divisor_rows,
        params.inverse_rows, params.kernel_rows, params.in_rows);
    let cols = taps_of(out_col + params.padding_cols, params.stride_cols, params.dilation_cols, params.divisor_cols,
        params.inverse_cols, params.kernel_cols, params.in_cols);
    let kernel_col_step = params.stride_cols / params.divisor_cols;
    let in_col_step = params.dilation_cols / params.divisor_cols;

    var sum = 0.0;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let group_channel = group * params.in_channels + channel;
        let in_plane = (image * params.groups * params.in_channels + group_channel) * params.in_rows;
        let kernel_plane =
            (group_channel * params.out_channels + out_channel % params.out_channels) * params.kernel_rows;
        // A sum of its own for each channel keeps the rounding errors of long sums small.
        var channel_sum = 0.0;
        for (var tap_row = params.tap_row_begin; tap_row < min(params.tap_row_end, rows.count); tap_row++) {
            let in_row = rows.position - tap_row * (params.dilation_rows / params.divisor_rows);
            let kernel_row = rows.first + tap_row * (params.stride_rows / params.divisor_rows);
            let in_begin = i32(params.input_base) + (in_plane + in_row) * params.in_cols + cols.position;
            let kernel_begin = (kernel_plane + kernel_row) * params.kernel_cols + cols.first;
            for (var tap_col = params.tap_col_begin; tap_col < min(params.tap_col_end, cols.count); tap_col++) {
                channel_sum += input[in_begin - tap_col * in_col_step] * weight[kernel_begin + tap_col * kernel_col_step];
            }
        }
        sum += channel_sum;
    }
    if (params.is_first == 0u) {
        sum += output[params.output_base + index];
    } else if (params.has_bias != 0u) {
        sum += bias[out_channel];
    }
    output[params.output_base + index] = sum;
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
    var start = 0.0;
    if (params.has_bias != 0u) {
        start = bias[i32(index) / (params.out_rows * params.out_cols) % (params.groups * params.out_channels)];
    }
    output[params.output_base + index] = start;
}
