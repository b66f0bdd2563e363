// conv2d with a kernel of 3 by 3, stride 1 and dilation 1, by Winograd's F(4x4, 3x3): output[n,o,y,x] = bias[o] + sum over
// i,u,v of weight[o,i,u,v] * input[n, group(o) * in_channels + i, y - padding + u, x - padding + v].
//
// A tile of 4 by 4 outputs Y comes from 6 by 6 inputs d and the kernel g by 36 products for each channel, where the sum
// itself has 144 (A. Lavin, S. Gray: Fast Algorithms for Convolutional Neural Networks, 2015):
//
//     Y = At [ sum over i of (G g Gt) * (Bt d B) ] A          * element by element
//
// The transforms interpolate at 0, 5/8, -5/8, 3/2, -3/2 and infinity, where the paper has whole numbers: these round less
// (B. Barabasz et al.: Error analysis and improving the accuracy of Winograd convolution, 2018). Bt and At are exact.
//
//           256/225     0      0        225/256   0    -169/64   0     1   0       1     1       1      1     1    0
//       -2048/2975 * (  1     5/8  25/64)   0   -45/32  -9/4    5/8    1   0       0    5/8    -5/8    3/2  -3/2   0
//   G = -2048/2975 * (  1    -5/8  25/64)   0    45/32  -9/4   -5/8    1   0 = Bt  0   25/64   25/64   9/4   9/4   0 = At
//         128/1071 * (  1     3/2  9/4  )   0  -75/128 -25/64   3/2    1   0       0  125/512 -125/512 27/8 -27/8  1
//         128/1071 * (  1    -3/2  9/4  )   0   75/128 -25/64  -3/2    1   0
//              0        0      1            0  225/256   0   -169/64   0   1
//
// The dispatches, each with all tiles, or as many as the workspace has room for, at once:
//
//     transform_kernels   weight -> kernels       an invocation: 4 output channels of an input channel
//     transform_inputs    input -> inputs         4 tiles of a channel; and the bias, that the last one has it at hand
//     multiply            kernels, inputs -> products, in conv2d_winograd4x4_multiply.wgsl or .._subgroup.wgsl
//     transform_products  products -> output      4 channels of a tile
//
// A sum of which an infinity or a NaN comes, by an input or by a transform that overflowed, is computed again as it stands
// above: an infinity in a transform is a NaN soon.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(1) var<storage, read> input: array<f32>;            // [images, groups * in_channels, in_rows, in_cols]
@group(0) @binding(2) var<storage, read> weight: array<f32>;           // [groups * out_channels, in_channels, 3, 3]
@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [groups * out_channels]; anything without has_bias
@group(0) @binding(4) var<storage, read_write> output: array<f32>;     // [images, groups * out_channels, out_rows, out_cols]

const EXPONENT: u32 = 0x7f800000u;

// A column or a row of 6, each of 4 tiles or channels.
struct Six {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
    e: vec4<f32>,
    f: vec4<f32>,
}

struct Four {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

fn index_of(workgroup: vec3<u32>, grid: vec3<u32>, lane: u32) -> i32 {
    return i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane);
}

// The channels of a group that a block is made of; behind the last, that one's again.
fn channels_of(block: i32) -> vec4<i32> {
    return min(4 * block + vec4<i32>(0, 1, 2, 3), vec4<i32>(params.out_channels - 1));
}

// Where the weights of a block of channels begin.
fn weights_begin(group: i32, block: i32, in_channel: i32) -> vec4<i32> {
    return ((group * params.out_channels + channels_of(block)) * params.in_channels + in_channel) * 9;
}

fn load_weight_block(begin: vec4<i32>, element: i32) -> vec4<f32> {
    let at = begin + element;
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

// G x
fn transform_kernel(x: vec4<f32>, y: vec4<f32>, z: vec4<f32>) -> Six {
    let near = x + 0.390625 * z;
    let far = x + 2.25 * z;
    return Six(
        (256.0 / 225.0) * x,
        (-2048.0 / 2975.0) * (near + 0.625 * y),
        (-2048.0 / 2975.0) * (near - 0.625 * y),
        (128.0 / 1071.0) * (far + 1.5 * y),
        (128.0 / 1071.0) * (far - 1.5 * y),
        z,
    );
}

// Bt x
fn transform_input(x: Six) -> Six {
    let near = x.e - 2.25 * x.c;
    let near_odd = 0.625 * (x.d - 2.25 * x.b);
    let far = x.e - 0.390625 * x.c;
    let far_odd = 1.5 * (x.d - 0.390625 * x.b);
    return Six(
        0.87890625 * x.a - 2.640625 * x.c + x.e,
        near + near_odd,
        near - near_odd,
        far + far_odd,
        far - far_odd,
        0.87890625 * x.b - 2.640625 * x.d + x.f,
    );
}

// At x
fn transform_product(x: Six) -> Four {
    let near = x.b + x.c;
    let near_odd = x.b - x.c;
    let far = x.d + x.e;
    let far_odd = x.d - x.e;
    return Four(
        x.a + near + far,
        0.625 * near_odd + 1.5 * far_odd,
        0.390625 * near + 2.25 * far,
        0.244140625 * near_odd + 3.375 * far_odd + x.f,
    );
}

// A row of 6 positions, `step` blocks apart.
fn store_row(at: i32, step: i32, row: Six) {
    workspace[at] = row.a;
    workspace[at + step] = row.b;
    workspace[at + 2 * step] = row.c;
    workspace[at + 3 * step] = row.d;
    workspace[at + 4 * step] = row.e;
    workspace[at + 5 * step] = row.f;
}

fn store_zeros(at: i32, step: i32) {
    for (var position = 0; position < POSITIONS; position++) {
        workspace[at + position * step] = vec4<f32>();
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn transform_kernels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = index_of(workgroup, grid, lane);
    let blocks = channel_blocks();
    let all_block = index / params.channel_room;
    let in_channel = index - all_block * params.channel_room;
    if (all_block >= params.groups * blocks) {
        return;
    }
    if (in_channel >= params.in_channels) {
        store_zeros(params.kernels_begin + index, params.kernels_step);
        return;
    }
    let begin = weights_begin(all_block / blocks, all_block % blocks, in_channel);
    let left = transform_kernel(load_weight_block(begin, 0), load_weight_block(begin, 3), load_weight_block(begin, 6));
    let middle = transform_kernel(load_weight_block(begin, 1), load_weight_block(begin, 4), load_weight_block(begin, 7));
    let right = transform_kernel(load_weight_block(begin, 2), load_weight_block(begin, 5), load_weight_block(begin, 8));
    let at = params.kernels_begin + index;
    let step = params.kernels_step;
    store_row(at, step, transform_kernel(left.a, middle.a, right.a));
    store_row(at + 6 * step, step, transform_kernel(left.b, middle.b, right.b));
    store_row(at + 12 * step, step, transform_kernel(left.c, middle.c, right.c));
    store_row(at + 18 * step, step, transform_kernel(left.d, middle.d, right.d));
    store_row(at + 24 * step, step, transform_kernel(left.e, middle.e, right.e));
    store_row(at + 30 * step, step, transform_kernel(left.f, middle.f, right.f));
}

// 4 tiles: of each, where its plane begins and its first row and column; no row is inside of what is no tile.
struct Tiles {
    begin: vec4<i32>,
    row: vec4<i32>,
    col: vec4<i32>,
}

fn load_inputs(tiles: Tiles, down: i32, right: i32) -> vec4<f32> {
    let row = tiles.row + down;
    let col = tiles.col + right;
    let is_inside = (row >= vec4<i32>()) & (row < vec4<i32>(params.in_rows))
        & (col >= vec4<i32>()) & (col < vec4<i32>(params.in_cols));
    let at = select(vec4<i32>(), tiles.begin + row * params.in_cols + col, is_inside);
    return select(vec4<f32>(), vec4<f32>(input[at.x], input[at.y], input[at.z], input[at.w]), is_inside);
}

// A column, transformed.
fn load_column(tiles: Tiles, col: i32) -> Six {
    return transform_input(Six(
        load_inputs(tiles, 0, col),
        load_inputs(tiles, 1, col),
        load_inputs(tiles, 2, col),
        load_inputs(tiles, 3, col),
        load_inputs(tiles, 4, col),
        load_inputs(tiles, 5, col),
    ));
}

fn copy_bias(block: i32) {
    let blocks = channel_blocks();
    if (params.has_bias == 0u) {
        workspace[params.bias_begin + block] = vec4<f32>();
    } else {
        let at = block / blocks * params.out_channels + channels_of(block % blocks);
        workspace[params.bias_begin + block] = vec4<f32>(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn transform_inputs(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = index_of(workgroup, grid, lane);
    if (index < params.groups * channel_blocks()) {
        copy_bias(index);
    }
    let tile_blocks = params.room / 4;
    let channel = index / tile_blocks;
    let group = channel / params.channel_room;
    let in_channel = channel - group * params.channel_room;
    if (group >= params.groups) {
        return;
    }
    if (in_channel >= params.in_channels) {
        store_zeros(index, params.inputs_step);
        return;
    }
    let tile = params.tile_begin + 4 * (index - channel * tile_blocks) + vec4<i32>(0, 1, 2, 3);
    let plane_tiles = params.tile_rows * params.tile_cols;
    let image = tile / plane_tiles;
    let place = tile - image * plane_tiles;
    let tile_row = place / params.tile_cols;
    let row = select(vec4<i32>(params.in_rows), 4 * tile_row - params.padding_rows, tile < vec4<i32>(params.tiles));
    let tiles = Tiles(
        i32(params.input_base)
            + ((image * params.groups + group) * params.in_channels + in_channel) * params.in_rows * params.in_cols,
        row,
        4 * (place - tile_row * params.tile_cols) - params.padding_cols,
    );
    let c_0 = load_column(tiles, 0);
    let c_1 = load_column(tiles, 1);
    let c_2 = load_column(tiles, 2);
    let c_3 = load_column(tiles, 3);
    let c_4 = load_column(tiles, 4);
    let c_5 = load_column(tiles, 5);
    let step = params.inputs_step;
    store_row(index, step, transform_input(Six(c_0.a, c_1.a, c_2.a, c_3.a, c_4.a, c_5.a)));
    store_row(index + 6 * step, step, transform_input(Six(c_0.b, c_1.b, c_2.b, c_3.b, c_4.b, c_5.b)));
    store_row(index + 12 * step, step, transform_input(Six(c_0.c, c_1.c, c_2.c, c_3.c, c_4.c, c_5.c)));
    store_row(index + 18 * step, step, transform_input(Six(c_0.d, c_1.d, c_2.d, c_3.d, c_4.d, c_5.d)));
    store_row(index + 24 * step, step, transform_input(Six(c_0.e, c_1.e, c_2.e, c_3.e, c_4.e, c_5.e)));
    store_row(index + 30 * step, step, transform_input(Six(c_0.f, c_1.f, c_2.f, c_3.f, c_4.f, c_5.f)));
}

fn load_products(at: i32, step: i32) -> Four {
    return transform_product(Six(
        workspace[at],
        workspace[at + 6 * step],
        workspace[at + 12 * step],
        workspace[at + 18 * step],
        workspace[at + 24 * step],
        workspace[at + 30 * step],
    ));
}

// A tile of 4 channels: where the first pixel of each is, how many channels there are, and its first row and column.
struct Place {
    at: vec4<i32>,
    channels: i32,
    row: i32,
    col: i32,
}

fn write_channels(place: Place, down: i32, right: i32, sums: vec4<f32>) {
    if (place.row + down >= params.out_rows || place.col + right >= params.out_cols) {
        return;
    }
    let at = place.at + down * params.out_cols + right;
    output[at.x] = sums.x;
    if (place.channels > 1) {
        output[at.y] = sums.y;
    }
    if (place.channels > 2) {
        output[at.z] = sums.z;
    }
    if (place.channels > 3) {
        output[at.w] = sums.w;
    }
}

fn write_row(place: Place, down: i32, row: Four) {
    write_channels(place, down, 0, row.a);
    write_channels(place, down, 1, row.b);
    write_channels(place, down, 2, row.c);
    write_channels(place, down, 3, row.d);
}

// A row of pixels.
fn transform_row(x: Six, start: vec4<f32>) -> Four {
    let row = transform_product(x);
    return Four(start + row.a, start + row.b, start + row.c, start + row.d);
}

fn exponents(row: Four) -> vec4<u32> {
    let mask = vec4<u32>(EXPONENT);
    return max(
        max(bitcast<vec4<u32>>(row.a) & mask, bitcast<vec4<u32>>(row.b) & mask),
        max(bitcast<vec4<u32>>(row.c) & mask, bitcast<vec4<u32>>(row.d) & mask),
    );
}

fn load_pixel(plane_begin: i32, row: i32, col: i32) -> f32 {
    if (row < 0 || row >= params.in_rows || col < 0 || col >= params.in_cols) {
        return 0.0;
    }
    return input[plane_begin + row * params.in_cols + col];
}

// What a row of the kernel adds to a row of the tile.
fn add_row(sums: ptr<function, Four>, weights: vec4<i32>, plane_begin: i32, row: i32, col: i32) {
    let left = load_weight_block(weights, 0);
    let middle = load_weight_block(weights, 1);
    let right = load_weight_block(weights, 2);
    let x_1 = load_pixel(plane_begin, row, col + 1);
    let x_2 = load_pixel(plane_begin, row, col + 2);
    let x_3 = load_pixel(plane_begin, row, col + 3);
    let x_4 = load_pixel(plane_begin, row, col + 4);
    (*sums).a += left * load_pixel(plane_begin, row, col) + middle * x_1 + right * x_2;
    (*sums).b += left * x_1 + middle * x_2 + right * x_3;
    (*sums).c += left * x_2 + middle * x_3 + right * x_4;
    (*sums).d += left * x_3 + middle * x_4 + right * load_pixel(plane_begin, row, col + 5);
}

// The tile as the definition has it.
fn write_directly(place: Place, image: i32, group: i32, block: i32, start: vec4<f32>) {
    let plane = params.in_rows * params.in_cols;
    let group_begin = i32(params.input_base) + (image * params.groups + group) * params.in_channels * plane;
    let col = place.col - params.padding_cols;
    for (var down = 0; down < 4; down++) {
        let row = place.row + down - params.padding_rows;
        var sums = Four(start, start, start, start);
        for (var in_channel = 0; in_channel < params.in_channels; in_channel++) {
            let begin = group_begin + in_channel * plane;
            let weights = weights_begin(group, block, in_channel);
            add_row(&sums, weights, begin, row, col);
            add_row(&sums, weights + 3, begin, row + 1, col);
            add_row(&sums, weights + 6, begin, row + 2, col);
        }
        write_row(place, down, sums);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn transform_products(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = index_of(workgroup, grid, lane);
    let blocks = channel_blocks();
    let all_block = index / params.room;
    let index_in_room = index - all_block * params.room;
    let tile = params.tile_begin + index_in_room;
    if (all_block >= params.groups * blocks || tile >= params.tiles) {
        return;
    }
    let group = all_block / blocks;
    let block = all_block - group * blocks;
    let at = params.products_begin + index;
    let step = params.products_step;
    let c_0 = load_products(at, step);
    let c_1 = load_products(at + step, step);
    let c_2 = load_products(at + 2 * step, step);
    let c_3 = load_products(at + 3 * step, step);
    let c_4 = load_products(at + 4 * step, step);
    let c_5 = load_products(at + 5 * step, step);
    let start = workspace[params.bias_begin + all_block];
    let row_0 = transform_row(Six(c_0.a, c_1.a, c_2.a, c_3.a, c_4.a, c_5.a), start);
    let row_1 = transform_row(Six(c_0.b, c_1.b, c_2.b, c_3.b, c_4.b, c_5.b), start);
    let row_2 = transform_row(Six(c_0.c, c_1.c, c_2.c, c_3.c, c_4.c, c_5.c), start);
    let row_3 = transform_row(Six(c_0.d, c_1.d, c_2.d, c_3.d, c_4.d, c_5.d), start);

    let plane_tiles = params.tile_rows * params.tile_cols;
    let image = tile / plane_tiles;
    let tile_row = (tile - image * plane_tiles) / params.tile_cols;
    let row = 4 * tile_row;
    let col = 4 * (tile - (image * params.tile_rows + tile_row) * params.tile_cols);
    let channel = (image * params.groups + group) * params.out_channels + channels_of(block);
    let place = Place(
        i32(params.output_base) + (channel * params.out_rows + row) * params.out_cols + col,
        params.out_channels - 4 * block,
        row,
        col,
    );
    let largest = max(max(exponents(row_0), exponents(row_1)), max(exponents(row_2), exponents(row_3)));
    if (any(largest == vec4<u32>(EXPONENT))) {
        write_directly(place, image, group, block, start);
        return;
    }
    write_row(place, 0, row_0);
    write_row(place, 1, row_1);
    write_row(place, 2, row_2);
    write_row(place, 3, row_3);
}
