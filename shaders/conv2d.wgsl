// parts: convolution_params, convolution, stores, no_epilogue|epilogue
// conv2d, direct: output[n,o,y,x] = bias[o] + sum over i,u,v of
//     weight[o,i,u,v] * input[n, group(o) * in_channels + i, y * stride - padding + u * dilation, x * ... + v * ...]
// where in_channels is the number of input channels of a group, and input is 0 outside its rows and columns.
//
// One invocation computes one output element. A sum of very many products is cut into ranges of channels and kernel
// elements, one dispatch each. Every dispatch but the first continues from the sum in output.

override WORKGROUP_SIZE: u32 = 64u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn conv2d(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.count) {
        return;
    }
    let out_col = i32(index) % params.out_cols;
    let out_row = i32(index) / params.out_cols % params.out_rows;
    let plane = i32(index) / params.out_cols / params.out_rows;
    let out_channel = plane % (params.groups * params.out_channels);
    let image = plane / (params.groups * params.out_channels);
    let group = out_channel / params.out_channels;

    let start_row = out_row * params.rows.stride - params.rows.padding;
    let start_col = out_col * params.cols.stride - params.cols.padding;

    var sum = 0.0;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let in_plane = ((image * params.groups + group) * params.in_channels + channel) * params.in_rows;
        let kernel_plane = (out_channel * params.in_channels + channel) * params.rows.kernel;
        // A separate sum for each channel keeps the rounding errors of long sums small.
        var channel_sum = 0.0;
        for (var kernel_row = params.kernel_row_begin; kernel_row < params.kernel_row_end; kernel_row++) {
            let in_row = start_row + kernel_row * params.rows.dilation;
            let is_row_inside = in_row >= 0 && in_row < params.in_rows;
            let in_begin = i32(params.input_base) + (in_plane + in_row) * params.in_cols;
            let kernel_begin = (kernel_plane + kernel_row) * params.cols.kernel;
            for (var kernel_col = params.kernel_col_begin; kernel_col < params.kernel_col_end; kernel_col++) {
                let in_col = start_col + kernel_col * params.cols.dilation;
                let is_inside = is_row_inside && in_col >= 0 && in_col < params.in_cols;
                // The padding's zeros are multiplied too: with an infinity they give NaN.
                let x = select(0.0, input[select(0, in_begin + in_col, is_inside)], is_inside);
                channel_sum += x * weight[kernel_begin + kernel_col];
            }
        }
        sum += channel_sum;
    }
    write_pixel(i32(params.output_base + index), true, out_channel, bias_of(out_channel), sum);
}
