// parts: convolution_params, convolution, winograd_spoiling, stores, no_epilogue|epilogue
// conv2d by Winograd's F(2x2, 3x3), whose formula is in conv2d_winograd2x2.wgsl, in one dispatch, for GPUs.
//
// A workgroup of 256 invocations computes 32 tiles of 32 output channels, 4 input channels at a time. Half of the
// invocations transform the inputs and half the kernels, into workgroup memory. Then 16 invocations for each of the 16
// positions add products, 8 tiles by 8 channels each. At the end the sums change places, 8 channels at a time, so that
// one invocation has the 16 positions of a tile and channel.
//
// Tiles with infinities, NaN or huge products are computed again by the definition.
//
// A sum of very many products is cut into ranges of channels, one dispatch each. Every dispatch but the first continues
// from the sum in output.

const TILES: i32 = 32;
const CHANNELS: i32 = 32;
const STEP: i32 = 4;
// The elements of one position: STEP by TILES inputs, or STEP by CHANNELS kernels.
const POSITION: i32 = 128;
const KERNELS: i32 = 2048;

// [position, channel of the step, tile], and from KERNELS on [position, channel of the step, output channel]; at the end
// [position, tile, output channel of 8].
var<workgroup> transformed: array<f32, 4096>;

fn load_input(plane_begin: i32, row: i32, col: i32, is_tile: bool) -> vec4<f32> {
    let cols = col + vec4<i32>(0, 1, 2, 3);
    let is_inside = (cols >= vec4<i32>()) & (cols < vec4<i32>(params.in_cols))
        & vec4<bool>(is_tile && row >= 0 && row < params.in_rows);
    let at = select(vec4<i32>(), plane_begin + row * params.in_cols + cols, is_inside);
    return select(vec4<f32>(), vec4<f32>(input[at.x], input[at.y], input[at.z], input[at.w]), is_inside);
}

fn load_kernel(at: i32, is_inside: bool) -> vec3<f32> {
    return select(vec3<f32>(), vec3<f32>(weight[at], weight[at + 1], weight[at + 2]), is_inside);
}

// A row of Bt d, times B.
fn store_input(at: i32, row: vec4<f32>) {
    transformed[at] = row.x - row.z;
    transformed[at + POSITION] = row.y + row.z;
    transformed[at + 2 * POSITION] = row.z - row.y;
    transformed[at + 3 * POSITION] = row.y - row.w;
}

// A row of G g, times Gt.
fn store_kernel(at: i32, row: vec3<f32>) {
    let sum = row.x + row.z;
    transformed[at] = row.x;
    transformed[at + POSITION] = 0.5 * (sum + row.y);
    transformed[at + 2 * POSITION] = 0.5 * (sum - row.y);
    transformed[at + 3 * POSITION] = row.z;
}

fn load_transformed(at: i32) -> vec4<f32> {
    return vec4<f32>(transformed[at], transformed[at + 1], transformed[at + 2], transformed[at + 3]);
}

// The sums of 8 channels: of each, the low 4 tiles and the high 4. No index may be a variable, or the sums leave the
// registers.
fn add_step(sums: ptr<function, array<vec4<f32>, 16>>, inputs: i32, kernels: i32) {
    let low = load_transformed(inputs);
    let high = load_transformed(inputs + 4);
    let low_kernels = load_transformed(kernels);
    let high_kernels = load_transformed(kernels + 4);
    (*sums)[0] += low_kernels.x * low;
    (*sums)[1] += low_kernels.x * high;
    (*sums)[2] += low_kernels.y * low;
    (*sums)[3] += low_kernels.y * high;
    (*sums)[4] += low_kernels.z * low;
    (*sums)[5] += low_kernels.z * high;
    (*sums)[6] += low_kernels.w * low;
    (*sums)[7] += low_kernels.w * high;
    (*sums)[8] += high_kernels.x * low;
    (*sums)[9] += high_kernels.x * high;
    (*sums)[10] += high_kernels.y * low;
    (*sums)[11] += high_kernels.y * high;
    (*sums)[12] += high_kernels.z * low;
    (*sums)[13] += high_kernels.z * high;
    (*sums)[14] += high_kernels.w * low;
    (*sums)[15] += high_kernels.w * high;
}

// Puts 4 tiles' sums of a channel where the last transform reads them.
fn store_sums(at: i32, sums: vec4<f32>) {
    transformed[at] = sums.x;
    transformed[at + 8] = sums.y;
    transformed[at + 16] = sums.z;
    transformed[at + 24] = sums.w;
}

// 3 elements of a row of the kernel.
fn kernel_row(at: i32) -> vec3<f32> {
    return vec3<f32>(weight[at], weight[at + 1], weight[at + 2]);
}

// A row and the next of a tile, by the definition: the kernel's rows times those of the input.
fn direct_sums(kernel_begin: i32, image_begin: i32, row: i32, col: i32) -> vec4<f32> {
    var totals = vec4<f32>();
    // Separate sums of some channels, so that many channels do not add rounding.
    for (var first = params.channel_begin; first < params.channel_end; first += 16) {
        var sums = vec4<f32>();
        for (var channel = first; channel < min(first + 16, params.channel_end); channel++) {
            let plane_begin = image_begin + channel * params.in_rows * params.in_cols;
            let at = (kernel_begin + channel) * 9;
            let upper = load_input(plane_begin, row, col, true);
            let high = load_input(plane_begin, row + 1, col, true);
            let low = load_input(plane_begin, row + 2, col, true);
            let lower = load_input(plane_begin, row + 3, col, true);
            let k_0 = kernel_row(at);
            let k_1 = kernel_row(at + 3);
            let k_2 = kernel_row(at + 6);
            sums.x += dot(k_0, upper.xyz) + dot(k_1, high.xyz) + dot(k_2, low.xyz);
            sums.y += dot(k_0, upper.yzw) + dot(k_1, high.yzw) + dot(k_2, low.yzw);
            sums.z += dot(k_0, high.xyz) + dot(k_1, low.xyz) + dot(k_2, lower.xyz);
            sums.w += dot(k_0, high.yzw) + dot(k_1, low.yzw) + dot(k_2, lower.yzw);
        }
        totals += sums;
    }
    return totals;
}

@compute @workgroup_size(256)
fn convolve_winograd2x2(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let lane = i32(invocation);
    let tile_cols = (params.out_cols + 1) / 2;
    let plane_tiles = (params.out_rows + 1) / 2 * tile_cols;
    let out_plane = params.out_rows * params.out_cols;
    let images = i32(params.count) / (params.groups * params.out_channels * out_plane);
    let tiles = images * plane_tiles;
    let tile_blocks = (tiles + TILES - 1) / TILES;
    let channel_blocks = (params.out_channels + CHANNELS - 1) / CHANNELS;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let first_tile = number % tile_blocks * TILES;
    let first_channel = number / tile_blocks % channel_blocks * CHANNELS;
    let group = number / tile_blocks / channel_blocks;
    if (group >= params.groups) {
        return;
    }

    // Invocations up to 127: the tile and the channel of a step whose input they transform.
    let in_tile = first_tile + lane % TILES;
    let in_image = in_tile / plane_tiles;
    let in_place = in_tile - in_image * plane_tiles;
    let row = in_place / tile_cols * 2 - params.rows.padding;
    let col = in_place % tile_cols * 2 - params.cols.padding;
    let image_begin = i32(params.input_base)
        + (in_image * params.groups + group) * params.in_channels * params.in_rows * params.in_cols;
    // The others: the output channel and the channel of a step whose kernel they transform.
    let kernel_channel = (lane - POSITION) / STEP;
    let is_kernel_channel = first_channel + kernel_channel < params.out_channels;
    let kernel_begin = (group * params.out_channels + first_channel + kernel_channel) * params.in_channels;

    let position = lane / 16;
    let tile_group = lane % 4 * 8;
    let channel_group = lane / 4 % 4 * 8;
    var sums: array<vec4<f32>, 16>;
    for (var channel = params.channel_begin; channel < params.channel_end; channel += STEP) {
        if (lane < POSITION) {
            let in_channel = channel + lane / TILES;
            let is_inside = in_tile < tiles && in_channel < params.channel_end;
            let plane_begin = image_begin + in_channel * params.in_rows * params.in_cols;
            let row_0 = load_input(plane_begin, row, col, is_inside);
            let row_1 = load_input(plane_begin, row + 1, col, is_inside);
            let row_2 = load_input(plane_begin, row + 2, col, is_inside);
            let row_3 = load_input(plane_begin, row + 3, col, is_inside);
            store_input(lane, row_0 - row_2);
            store_input(lane + 4 * POSITION, row_1 + row_2);
            store_input(lane + 8 * POSITION, row_2 - row_1);
            store_input(lane + 12 * POSITION, row_1 - row_3);
        } else {
            let in_channel = channel + lane % STEP;
            let is_inside = is_kernel_channel && in_channel < params.channel_end;
            let at = select(0, (kernel_begin + in_channel) * 9, is_inside);
            let row_0 = load_kernel(at, is_inside);
            let row_1 = load_kernel(at + 3, is_inside);
            let row_2 = load_kernel(at + 6, is_inside);
            let place = KERNELS + lane % STEP * CHANNELS + kernel_channel;
            store_kernel(place, row_0);
            store_kernel(place + 4 * POSITION, 0.5 * (row_0 + row_2 + row_1));
            store_kernel(place + 8 * POSITION, 0.5 * (row_0 + row_2 - row_1));
            store_kernel(place + 12 * POSITION, row_2);
        }
        workgroupBarrier();
        for (var step = 0; step < min(STEP, params.channel_end - channel); step++) {
            let begin = position * POSITION + step * TILES;
            add_step(&sums, begin + tile_group, KERNELS + begin + channel_group);
        }
        workgroupBarrier();
    }

    let out_tile = first_tile + lane / 8;
    let out_image = out_tile / plane_tiles;
    let out_place = out_tile - out_image * plane_tiles;
    let out_row = out_place / tile_cols * 2;
    let out_col = out_place % tile_cols * 2;
    for (var first = 0; first < min(CHANNELS, params.out_channels - first_channel); first += 8) {
        if (channel_group == first) {
            let place = (position * TILES + tile_group) * 8;
            store_sums(place + 0, sums[0]);
            store_sums(place + 32, sums[1]);
            store_sums(place + 1, sums[2]);
            store_sums(place + 33, sums[3]);
            store_sums(place + 2, sums[4]);
            store_sums(place + 34, sums[5]);
            store_sums(place + 3, sums[6]);
            store_sums(place + 35, sums[7]);
            store_sums(place + 4, sums[8]);
            store_sums(place + 36, sums[9]);
            store_sums(place + 5, sums[10]);
            store_sums(place + 37, sums[11]);
            store_sums(place + 6, sums[12]);
            store_sums(place + 38, sums[13]);
            store_sums(place + 7, sums[14]);
            store_sums(place + 39, sums[15]);
        }
        workgroupBarrier();
        let channel = first_channel + first + lane % 8;
        if (out_tile < tiles && channel < params.out_channels) {
            let m_0 = vec4<f32>(transformed[0 + lane], transformed[256 + lane], transformed[512 + lane], transformed[768 + lane]);
            let m_1 = vec4<f32>(transformed[1024 + lane], transformed[1280 + lane], transformed[1536 + lane], transformed[1792 + lane]);
            let m_2 = vec4<f32>(transformed[2048 + lane], transformed[2304 + lane], transformed[2560 + lane], transformed[2816 + lane]);
            let m_3 = vec4<f32>(transformed[3072 + lane], transformed[3328 + lane], transformed[3584 + lane], transformed[3840 + lane]);
            let top = m_0 + m_1 + m_2;
            let bottom = m_1 - m_2 - m_3;
            var sums = vec4<f32>(
                top.x + top.y + top.z,
                top.y - top.z - top.w,
                bottom.x + bottom.y + bottom.z,
                bottom.y - bottom.z - bottom.w,
            );
            let largest = max(max(exponents(m_0), exponents(m_1)), max(exponents(m_2), exponents(m_3)));
            if (any(largest >= vec4<u32>(SPOILING))) {
                let kernel_begin = (group * params.out_channels + channel) * params.in_channels;
                let image_begin = i32(params.input_base)
                    + (out_image * params.groups + group) * params.in_channels * params.in_rows * params.in_cols;
                sums = direct_sums(kernel_begin, image_begin, out_row - params.rows.padding, out_col - params.cols.padding);
            }
            let out_channel = group * params.out_channels + channel;
            let start = bias_of(out_channel);
            let plane = (out_image * params.groups + group) * params.out_channels + channel;
            let place = i32(params.output_base) + plane * out_plane + out_row * params.out_cols + out_col;
            let has_right = out_col + 1 < params.out_cols;
            let has_bottom = out_row + 1 < params.out_rows;
            write_pixel(place, true, out_channel, start, sums.x);
            write_pixel(place + 1, has_right, out_channel, start, sums.y);
            write_pixel(place + params.out_cols, has_bottom, out_channel, start, sums.z);
            write_pixel(place + params.out_cols + 1, has_right && has_bottom, out_channel, start, sums.w);
        }
        workgroupBarrier();
    }
}
