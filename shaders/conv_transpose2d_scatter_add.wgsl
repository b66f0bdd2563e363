// parts: exchanged_add|float32_atomic_add, convolution_params, bias
// conv_transpose2d, scattered: output starts as bias, and every input element adds its products where they belong:
//     output[n, o, r * stride - padding + u * dilation, c * ... + v * ...] += input[n,i,r,c] * weight[i,o,u,v]
// for every output channel o of i's group and every kernel element (u,v) that falls inside the output.
//
// `start` writes the bias, one invocation an output element. `scatter_add` then runs one invocation an input element.
// Additions meet in the same output elements in an order that changes from run to run, and so do the last bits of the
// sum. WGSL has no atomic addition of f32: parts/exchanged_add.wgsl uses compare-exchange,
// parts/float32_atomic_add.wgsl a feature of wgpu.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> input: array<f32>;                    // [batch, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;                   // [groups * in_channels, out_channels, rows.kernel, cols.kernel]

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
    let plane = i32(index) / params.out_cols / params.out_rows;
    let start = bias_of(plane % (params.groups * params.out_channels));
    if (params.continues != 0u) {
        add_to_output(i32(params.output_base + index), start);
    } else {
        store_to_output(params.output_base + index, start);
    }
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

    let start_row = in_row * params.rows.stride - params.rows.padding;
    let start_col = in_col * params.cols.stride - params.cols.padding;
    let value = input[params.input_base + index];
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let out_plane = ((image * params.groups + group) * params.out_channels + channel) * params.out_rows;
        let kernel_plane = (in_channel * params.out_channels + channel) * params.rows.kernel;
        for (var kernel_row = params.kernel_row_begin; kernel_row < params.kernel_row_end; kernel_row++) {
            let out_row = start_row + kernel_row * params.rows.dilation;
            if (out_row < 0 || out_row >= params.out_rows) {
                continue;
            }
            let out_begin = i32(params.output_base) + (out_plane + out_row) * params.out_cols;
            let kernel_begin = (kernel_plane + kernel_row) * params.cols.kernel;
            for (var kernel_col = params.kernel_col_begin; kernel_col < params.kernel_col_end; kernel_col++) {
                let out_col = start_col + kernel_col * params.cols.dilation;
                if (out_col >= 0 && out_col < params.out_cols) {
                    add_to_output(out_begin + out_col, value * weight[kernel_begin + kernel_col]);
                }
            }
        }
    }
}
