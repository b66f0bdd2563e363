// parts: winograd, winograd_spoiling, convolution, stores
// What the transforms of conv2d by Winograd's algorithms share. A file that names this part defines TILE, the rows and
// columns of a tile, and what an invocation computes: transform_kernel and store_kernels, store_inputs, write_tile.

override WORKGROUP_SIZE: u32 = 64u;

const CHANNELS: i32 = 16;

// 4 elements of a column or a row, each of 4 tiles or channels.
struct Four {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

fn index_of(workgroup: vec3<u32>, grid: vec3<u32>, lane: u32) -> i32 {
    return i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane);
}

// The channels of a group that make a block. Past the last channel, that one again.
fn channels_of(block: i32) -> vec4<i32> {
    return min(4 * block + vec4<i32>(0, 1, 2, 3), vec4<i32>(params.out_channels - 1));
}

// Where the weights of a block of channels begin.
fn weights_begin(group: i32, block: i32, in_channel: i32) -> vec4<i32> {
    if (params.is_mirrored != 0u) {
        return ((group * params.in_channels + in_channel) * params.out_channels + channels_of(block)) * 9;
    }
    return ((group * params.out_channels + channels_of(block)) * params.in_channels + in_channel) * 9;
}

// An element of a block of kernels.
fn load_weight_block(begin: vec4<i32>, element: i32) -> vec4<f32> {
    let at = begin + select(element, 8 - element, params.is_mirrored != 0u);
    return vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]);
}

// A block of output channels and an input channel, whose kernels an invocation transforms.
struct Pair {
    is_inside: bool,
    // False if it only fills the room for channels: then its kernels are zeros. No loop writes these, since Mesa would
    // unroll it by the uniform's values, anew for each dispatch.
    is_channel: bool,
    weights: vec4<i32>,
}

fn pair_of(index: i32) -> Pair {
    let blocks = channel_blocks();
    let all_block = index / params.channel_room;
    let in_channel = index - all_block * params.channel_room;
    return Pair(
        all_block < params.groups * blocks,
        in_channel < params.in_channels,
        weights_begin(all_block / blocks, all_block % blocks, min(in_channel, params.in_channels - 1)),
    );
}

fn load_kernel(pair: Pair, element: i32) -> vec4<f32> {
    return select(vec4<f32>(), load_weight_block(pair.weights, element), pair.is_channel);
}

// 4 tiles of a channel, which an invocation transforms. For each: where its plane begins, and its first row and column.
// If it is no tile, or only fills the room for channels, no row is inside.
struct Tiles {
    is_inside: bool,
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

fn tiles_of(index: i32) -> Tiles {
    let tile_blocks = params.room / 4;
    let channel = index / tile_blocks;
    let group = channel / params.channel_room;
    let in_channel = channel - group * params.channel_room;
    let tile = params.tile_begin + 4 * (index - channel * tile_blocks) + vec4<i32>(0, 1, 2, 3);
    let plane_tiles = params.tile_rows * params.tile_cols;
    let image = tile / plane_tiles;
    let place = tile - image * plane_tiles;
    let tile_row = place / params.tile_cols;
    let row = TILE * tile_row - params.padding_rows;
    let is_tile = (tile < vec4<i32>(params.tiles)) & vec4<bool>(in_channel < params.in_channels);
    return Tiles(
        group < params.groups,
        i32(params.input_base)
            + ((image * params.groups + group) * params.in_channels + in_channel) * params.in_rows * params.in_cols,
        select(vec4<i32>(params.in_rows), row, is_tile),
        TILE * (place - tile_row * params.tile_cols) - params.padding_cols,
    );
}

fn copy_bias(block: i32) {
    let blocks = channel_blocks();
    if (block >= params.groups * blocks) {
        return;
    }
    if (params.has_bias == 0u) {
        workspace[params.bias_begin + block] = vec4<f32>();
    } else {
        let at = block / blocks * params.out_channels + channels_of(block % blocks);
        workspace[params.bias_begin + block] = vec4<f32>(bias[at.x], bias[at.y], bias[at.z], bias[at.w]);
    }
}

// A tile of 4 channels, whose products an invocation transforms: where the first pixel of each channel is, the number
// of channels, and the tile's first row and column.
struct Place {
    is_inside: bool,
    image: i32,
    group: i32,
    block: i32,
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
    let out_channel = place.group * params.out_channels + 4 * place.block;
    write_pixel(at.x, true, out_channel, 0.0, sums.x);
    write_pixel(at.y, place.channels > 1, out_channel + 1, 0.0, sums.y);
    write_pixel(at.z, place.channels > 2, out_channel + 2, 0.0, sums.z);
    write_pixel(at.w, place.channels > 3, out_channel + 3, 0.0, sums.w);
}

fn place_of(index: i32) -> Place {
    let blocks = channel_blocks();
    let all_block = index / params.room;
    let tile = params.tile_begin + index - all_block * params.room;
    let group = all_block / blocks;
    let block = all_block - group * blocks;
    let plane_tiles = params.tile_rows * params.tile_cols;
    let image = tile / plane_tiles;
    let tile_row = (tile - image * plane_tiles) / params.tile_cols;
    let row = TILE * tile_row;
    let col = TILE * (tile - (image * params.tile_rows + tile_row) * params.tile_cols);
    let channel = (image * params.groups + group) * params.out_channels + channels_of(block);
    return Place(
        group < params.groups && tile < params.tiles,
        image,
        group,
        block,
        i32(params.output_base) + (channel * params.out_rows + row) * params.out_cols + col,
        params.out_channels - 4 * block,
        row,
        col,
    );
}

// What the sums of a tile begin with.
fn start_of(place: Place) -> vec4<f32> {
    return workspace[params.bias_begin + place.group * channel_blocks() + place.block];
}

fn largest_exponents(row: Four) -> vec4<u32> {
    return max(max(exponents(row.a), exponents(row.b)), max(exponents(row.c), exponents(row.d)));
}

fn write_row(place: Place, down: i32, start: vec4<f32>, row: Four) {
    write_channels(place, down, 0, start + row.a);
    write_channels(place, down, 1, start + row.b);
    if (TILE > 2) {
        write_channels(place, down, 2, start + row.c);
        write_channels(place, down, 3, start + row.d);
    }
}

fn load_pixel(plane_begin: i32, row: i32, col: i32) -> f32 {
    if (row < 0 || row >= params.in_rows || col < 0 || col >= params.in_cols) {
        return 0.0;
    }
    return input[plane_begin + row * params.in_cols + col];
}

// A product of the definition. That of a gradient has none outside the input, even with an infinity.
fn product_at(weights: vec4<f32>, plane_begin: i32, row: i32, col: i32) -> vec4<f32> {
    let is_outside = row < 0 || row >= params.in_rows || col < 0 || col >= params.in_cols;
    return select(weights * load_pixel(plane_begin, row, col), vec4<f32>(), is_outside && params.is_mirrored != 0u);
}

// What row `down` of the kernel adds to a row of the tile.
fn add_row(sums: ptr<function, Four>, weights: vec4<i32>, down: i32, plane_begin: i32, row: i32, col: i32) {
    for (var right = 0; right < 3; right++) {
        let w = load_weight_block(weights, 3 * down + right);
        (*sums).a += product_at(w, plane_begin, row, col + right);
        (*sums).b += product_at(w, plane_begin, row, col + right + 1);
        (*sums).c += product_at(w, plane_begin, row, col + right + 2);
        (*sums).d += product_at(w, plane_begin, row, col + right + 3);
    }
}

// The tile by the definition.
fn write_directly(place: Place, start: vec4<f32>) {
    let plane = params.in_rows * params.in_cols;
    let group_begin = i32(params.input_base) + (place.image * params.groups + place.group) * params.in_channels * plane;
    let col = place.col - params.padding_cols;
    for (var down = 0; down < TILE; down++) {
        let row = place.row + down - params.padding_rows;
        var totals: Four;
        // Separate sums of some channels, so that many channels do not add rounding.
        for (var first = 0; first < params.in_channels; first += CHANNELS) {
            var sums: Four;
            for (var in_channel = first; in_channel < min(first + CHANNELS, params.in_channels); in_channel++) {
                let begin = group_begin + in_channel * plane;
                let weights = weights_begin(place.group, place.block, in_channel);
                add_row(&sums, weights, 0, begin, row, col);
                add_row(&sums, weights, 1, begin, row + 1, col);
                add_row(&sums, weights, 2, begin, row + 2, col);
            }
            totals = Four(totals.a + sums.a, totals.b + sums.b, totals.c + sums.c, totals.d + sums.d);
        }
        write_row(place, down, start, totals);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn transform_kernels(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = index_of(workgroup, grid, lane);
    let pair = pair_of(index);
    if (!pair.is_inside) {
        return;
    }
    let left = transform_kernel(load_kernel(pair, 0), load_kernel(pair, 3), load_kernel(pair, 6));
    let middle = transform_kernel(load_kernel(pair, 1), load_kernel(pair, 4), load_kernel(pair, 7));
    let right = transform_kernel(load_kernel(pair, 2), load_kernel(pair, 5), load_kernel(pair, 8));
    store_kernels(params.kernels_begin + index, params.kernels_step, left, middle, right);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn transform_inputs(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = index_of(workgroup, grid, lane);
    copy_bias(index);
    let tiles = tiles_of(index);
    if (tiles.is_inside) {
        store_inputs(index, params.inputs_step, tiles);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn transform_products(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = index_of(workgroup, grid, lane);
    let place = place_of(index);
    if (place.is_inside) {
        write_tile(place, params.products_begin + index, params.products_step);
    }
}
