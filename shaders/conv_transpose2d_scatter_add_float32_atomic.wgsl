// conv_transpose2d, scattered: output starts as bias, and every input element adds its products where they belong:
//     output[n, o, r * stride - padding + u * dilation, c * ... + v * ...] += input[n,i,r,c] * weight[i,o,u,v]
// for every output channel o of i's group and every kernel element (u,v) that falls inside the output.
//
// `start` writes the bias, one invocation an output element. `scatter_add` then runs one invocation an input element.
// Additions meet in the same output elements, in an order that changes from run to run, and with it the last bits.
//
// This file needs wgpu's feature SHADER_FLOAT32_ATOMIC: an addition is one instruction, where the portable
// conv_transpose2d_scatter_add.wgsl loops.

struct Params {
    count: u32,             // of output elements in start, of input elements in scatter_add
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
    padding_rows: i32,
    padding_cols: i32,
    dilation_rows: i32,
    dilation_cols: i32,
    // The range of products that this dispatch adds.
    channel_begin: i32,
    channel_end: i32,
    kernel_row_begin: i32,
    kernel_row_end: i32,
    kernel_col_begin: i32,
    kernel_col_end: i32,
    is_first: u32,          // not looked at here
    has_bias: u32,
    // Where they begin in what is bound.
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;                    // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;                   // [groups * in_channels, out_channels, kernel_rows, kernel_cols]
@group(0) @binding(3) var<storage, read> bias: array<f32>;                     // [groups * out_channels]; anything without has_bias
@group(0) @binding(4) var<storage, read_write> output: array<atomic<f32>>;     // [batch, groups * out_channels, out_rows, out_cols]

fn add_to_output(index: i32, value: f32) {
    atomicAdd(&output[index], value);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn start(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.count) {
        return;
    }
    var value = 0.0;
    if (params.has_bias != 0u) {
        let plane = i32(index) / params.out_cols / params.out_rows;
        value = bias[plane % (params.groups * params.out_channels)];
    }
    atomicStore(&output[params.output_base + index], value);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn scatter_add(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.count) {
        return;
    }
    let in_col = i32(index) % params.in_cols;
    let in_row = i32(index) / params.in_cols % params.in_rows;
    let plane = i32(index) / params.in_cols / params.in_rows;
    let in_channel = plane % (params.groups * params.in_channels);
    let image = plane / (params.groups * params.in_channels);
    let group = in_channel / params.in_channels;

    let start_row = in_row * params.stride_rows - params.padding_rows;
    let start_col = in_col * params.stride_cols - params.padding_cols;
    let value = input[params.input_base + index];
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let out_plane = ((image * params.groups + group) * params.out_channels + channel) * params.out_rows;
        let kernel_plane = (in_channel * params.out_channels + channel) * params.kernel_rows;
        for (var kernel_row = params.kernel_row_begin; kernel_row < params.kernel_row_end; kernel_row++) {
            let out_row = start_row + kernel_row * params.dilation_rows;
            if (out_row < 0 || out_row >= params.out_rows) {
                continue;
            }
            let out_begin = i32(params.output_base) + (out_plane + out_row) * params.out_cols;
            let kernel_begin = (kernel_plane + kernel_row) * params.kernel_cols;
            for (var kernel_col = params.kernel_col_begin; kernel_col < params.kernel_col_end; kernel_col++) {
                let out_col = start_col + kernel_col * params.dilation_cols;
                if (out_col >= 0 && out_col < params.out_cols) {
                    add_to_output(out_begin + out_col, value * weight[kernel_begin + kernel_col]);
                }
            }
        }
    }
}
