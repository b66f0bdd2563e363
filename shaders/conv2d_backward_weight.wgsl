// parts: weight_gradient, gradient_elements|gradient_blocks, grads|grads_subgroup, columns_of_elements|columns_in_blocks
// The gradient of a convolution's weight by columns, for software adapters: see parts/weight_gradient.wgsl. An invocation
// computes 4 columns of CHANNELS output channels, in registers, and all invocations of a workgroup have the same channels
// and pixels, so that they share the loads of `grad`. A column is an input channel and a kernel element. TAPS of the 4
// are neighbours in a row of the kernel, the others in the next rows of the kernels:
//
//                  columns 0 1 2 3
//     channel 0            sums_0     every element of grad is used 4 times, every element of input CHANNELS times
//     channel 1            sums_1
//     ..

// 4, 8 or 16.
override CHANNELS: i32 = 16;
// 1, 2 or 4.
override TAPS: i32 = 4;
override WORKGROUP_SIZE: u32 = 8u;

fn products(grad: vec4<f32>, col: i32, inputs: Inputs) -> vec4<f32> {
    let g = of_pixels(grad, col);
    return g.x * inputs.pixel_0 + g.y * inputs.pixel_1 + g.z * inputs.pixel_2 + g.w * inputs.pixel_3;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn gradient_of_columns(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let kernel_rows = params.in_channels * params.rows.kernel;
    let lane_rows = 4 / TAPS;
    let workgroup_rows = lane_rows * i32(WORKGROUP_SIZE);
    let row_tiles = (kernel_rows + workgroup_rows - 1) / workgroup_rows;
    let tap_tiles = (params.cols.kernel + TAPS - 1) / TAPS;
    let channel_tiles = (params.out_channels + CHANNELS - 1) / CHANNELS;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let first_channel = number % channel_tiles * CHANNELS;
    let first_tap = number / channel_tiles % tap_tiles * TAPS;
    let first_row = number / channel_tiles / tap_tiles % row_tiles * workgroup_rows + i32(lane.index) * lane_rows;
    let group = number / channel_tiles / tap_tiles / row_tiles % params.groups;
    let split = number / channel_tiles / tap_tiles / row_tiles / params.groups;
    if (split >= params.splits) {
        return;
    }

    // Past the last row of kernels, and past its last element, those again; they are not stored.
    let own_rows = first_row + vec4<i32>(0, 1, 2, 3) / TAPS;
    let own_taps = first_tap + vec4<i32>(0, 1, 2, 3) % TAPS;
    let kernel_row = min(own_rows, vec4<i32>(kernel_rows - 1));
    let tap = min(own_taps, vec4<i32>(params.cols.kernel - 1));
    let channel = kernel_row / params.rows.kernel;
    let in_plane = params.in_rows * params.in_cols;
    let columns = Columns(
        i32(params.input_base) + (group * params.in_channels + channel) * in_plane,
        (kernel_row - channel * params.rows.kernel) * params.rows.dilation - params.rows.padding,
        tap * params.cols.dilation - params.cols.padding,
    );
    let out_plane = params.out_rows * params.out_cols;
    let grad_begin = i32(params.grad_base) + (group * params.out_channels + first_channel) * out_plane;
    let places = grad_places(lane, grad_begin, params.out_channels - 1 - first_channel, out_plane);

    var sums_0: vec4<f32>;
    var sums_1: vec4<f32>;
    var sums_2: vec4<f32>;
    var sums_3: vec4<f32>;
    var sums_4: vec4<f32>;
    var sums_5: vec4<f32>;
    var sums_6: vec4<f32>;
    var sums_7: vec4<f32>;
    var sums_8: vec4<f32>;
    var sums_9: vec4<f32>;
    var sums_10: vec4<f32>;
    var sums_11: vec4<f32>;
    var sums_12: vec4<f32>;
    var sums_13: vec4<f32>;
    var sums_14: vec4<f32>;
    var sums_15: vec4<f32>;
    let begin = split * params.split_blocks;
    let end = min(begin + params.split_blocks, params.blocks);
    var block = block_of(begin);
    for (var index = begin; index < end; index++) {
        let inputs = load_inputs(columns, block);
        let pixel = block.row * params.out_cols + block.col;
        let grads = load_grads(places, block.image * params.groups * params.out_channels * out_plane + pixel);
        sums_0 += products(grad_0(grads), block.col, inputs);
        sums_1 += products(grad_1(grads), block.col, inputs);
        sums_2 += products(grad_2(grads), block.col, inputs);
        sums_3 += products(grad_3(grads), block.col, inputs);
        if (CHANNELS > 4) {
            sums_4 += products(grad_4(grads), block.col, inputs);
            sums_5 += products(grad_5(grads), block.col, inputs);
            sums_6 += products(grad_6(grads), block.col, inputs);
            sums_7 += products(grad_7(grads), block.col, inputs);
        }
        if (CHANNELS > 8) {
            sums_8 += products(grad_8(grads), block.col, inputs);
            sums_9 += products(grad_9(grads), block.col, inputs);
            sums_10 += products(grad_10(grads), block.col, inputs);
            sums_11 += products(grad_11(grads), block.col, inputs);
            sums_12 += products(grad_12(grads), block.col, inputs);
            sums_13 += products(grad_13(grads), block.col, inputs);
            sums_14 += products(grad_14(grads), block.col, inputs);
            sums_15 += products(grad_15(grads), block.col, inputs);
        }
        block = block_after(block);
    }

    let is_column = (own_rows < vec4<i32>(kernel_rows)) & (own_taps < vec4<i32>(params.cols.kernel));
    let out_channel = group * params.out_channels + first_channel;
    let at = Stored(
        is_column,
        (out_channel * kernel_rows + kernel_row) * params.cols.kernel + tap,
        split,
        kernel_rows * params.cols.kernel,
        params.out_channels - first_channel,
    );
    store_channel(at, 0, sums_0);
    store_channel(at, 1, sums_1);
    store_channel(at, 2, sums_2);
    store_channel(at, 3, sums_3);
    if (CHANNELS > 4) {
        store_channel(at, 4, sums_4);
        store_channel(at, 5, sums_5);
        store_channel(at, 6, sums_6);
        store_channel(at, 7, sums_7);
    }
    if (CHANNELS > 8) {
        store_channel(at, 8, sums_8);
        store_channel(at, 9, sums_9);
        store_channel(at, 10, sums_10);
        store_channel(at, 11, sums_11);
        store_channel(at, 12, sums_12);
        store_channel(at, 13, sums_13);
        store_channel(at, 14, sums_14);
        store_channel(at, 15, sums_15);
    }
}

struct Stored {
    is_column: vec4<bool>,
    // Of the first channel.
    places: vec4<i32>,
    split: i32,
    // The distance between channels.
    step: i32,
    channels: i32,
}

fn store_channel(at: Stored, channel: i32, values: vec4<f32>) {
    if (channel >= at.channels) {
        return;
    }
    let places = at.places + channel * at.step;
    if (at.is_column.x) { store(places.x, at.split, values.x); }
    if (at.is_column.y) { store(places.y, at.split, values.y); }
    if (at.is_column.z) { store(places.z, at.split, values.z); }
    if (at.is_column.w) { store(places.w, at.split, values.w); }
}
