// parts: bits, weights|weights_subgroup, tile_sums, convolution_params, convolution, pixels, stores, no_epilogue|epilogue
// conv2d with a kernel of 3 by 3, stride 1 and dilation 1, in tiles: output[n,o,y,x] = bias[o] + sum over i,u,v of
//     weight[o,i,u,v] * input[n, group(o) * in_channels + i, y - padding + u, x - padding + v]
// where in_channels is the number of input channels of a group, and input is 0 outside its rows and columns.
//
// One invocation computes a tile of 4 by 4 pixels of CHANNELS output channels in registers. Of each input channel it
// loads the 6 by 6 elements that the tile needs, once, and uses each up to 9 times for every output channel:
//
//     input   . . . . . .          output
//             . # # # # .          # # # #       rows[0..5] are the input's, as (columns 0-3, columns 2-5);
//             . # # # # .          # # # #       sums[4 * channel + row] are the output's
//             . # # # # .          # # # #
//             . # # # # .          # # # #
//             . . . . . .
//
// All invocations of a workgroup, or of half of one, have the same channels, so that they share the loads of weights: see
// parts/weights_subgroup.wgsl.
//
// A sum of very many products is cut into ranges of channels, one dispatch each. Every dispatch but the first continues
// from the sum in output.

override WORKGROUP_SIZE: u32 = 8u;
// 2 where planes have few tiles: then both halves of a workgroup have the same tiles, each half for CHANNELS of its
// own.
override HALVES: i32 = 1;

// Whether the weight is [groups * in_channels, out_channels, 3, 3], with every kernel mirrored: for gradients.
override IS_MIRRORED: u32 = 0u;

const TILE: i32 = 4;

// The distance of a weight from its output channel's first.
fn weight_at(channel: i32, kernel_element: i32) -> i32 {
    if (IS_MIRRORED != 0u) {
        return channel * params.out_channels * 9 + 8 - kernel_element;
    }
    return channel * 9 + kernel_element;
}

fn weight_step() -> i32 {
    return select(params.in_channels * 9, 9, IS_MIRRORED != 0u);
}

struct Row {
    left: vec4<f32>,
    right: vec4<f32>,
}

// The 6 elements of a row at `begin` plus these columns, or 0.
fn load_row(
    begin: i32,
    is_row_inside: bool,
    left: vec4<i32>,
    right: vec2<i32>,
    is_left: vec4<bool>,
    is_right: vec2<bool>,
) -> Row {
    let low = load(begin + left, is_left & vec4<bool>(is_row_inside));
    let inside = is_right & vec2<bool>(is_row_inside);
    let high = select(vec2<f32>(), vec2<f32>(input[begin + right.x], input[begin + right.y]), inside);
    return Row(low, vec4<f32>(low.zw, high));
}

// Where the weights of both halves' channels are, and whether the invocation computes those of the upper half.
struct Places {
    lower: WeightPlaces,
    upper: WeightPlaces,
    is_upper: bool,
}

fn weights_of(places: Places, at: i32) -> Weights {
    let lower = load_weights(places.lower, at);
    if (HALVES == 1) {
        return lower;
    }
    let upper = load_weights(places.upper, at);
    return Weights(select(lower.low, upper.low, places.is_upper), select(lower.high, upper.high, places.is_upper));
}

// A column of the kernel, 0 to 2, meets these columns of a row.
fn shifted(row: Row, col: i32) -> vec4<f32> {
    switch col {
        case 0: { return row.left; }
        case 1: { return vec4<f32>(row.left.yzw, row.right.z); }
        default: { return row.right; }
    }
}

// Adds the products of 8 channels' weights and the input's rows that meet them. No index may be a variable, or the sums
// leave the registers.
fn add_products(
    sums: ptr<function, array<vec4<f32>, 32>>,
    weights: Weights,
    row_0: vec4<f32>,
    row_1: vec4<f32>,
    row_2: vec4<f32>,
    row_3: vec4<f32>,
) {
    (*sums)[0] += weights.low.x * row_0;
    (*sums)[1] += weights.low.x * row_1;
    (*sums)[2] += weights.low.x * row_2;
    (*sums)[3] += weights.low.x * row_3;
    if (CHANNELS > 1) {
        (*sums)[4] += weights.low.y * row_0;
        (*sums)[5] += weights.low.y * row_1;
        (*sums)[6] += weights.low.y * row_2;
        (*sums)[7] += weights.low.y * row_3;
        (*sums)[8] += weights.low.z * row_0;
        (*sums)[9] += weights.low.z * row_1;
        (*sums)[10] += weights.low.z * row_2;
        (*sums)[11] += weights.low.z * row_3;
        (*sums)[12] += weights.low.w * row_0;
        (*sums)[13] += weights.low.w * row_1;
        (*sums)[14] += weights.low.w * row_2;
        (*sums)[15] += weights.low.w * row_3;
    }
    if (CHANNELS > 4) {
        (*sums)[16] += weights.high.x * row_0;
        (*sums)[17] += weights.high.x * row_1;
        (*sums)[18] += weights.high.x * row_2;
        (*sums)[19] += weights.high.x * row_3;
        (*sums)[20] += weights.high.y * row_0;
        (*sums)[21] += weights.high.y * row_1;
        (*sums)[22] += weights.high.y * row_2;
        (*sums)[23] += weights.high.y * row_3;
        (*sums)[24] += weights.high.z * row_0;
        (*sums)[25] += weights.high.z * row_1;
        (*sums)[26] += weights.high.z * row_2;
        (*sums)[27] += weights.high.z * row_3;
        (*sums)[28] += weights.high.w * row_0;
        (*sums)[29] += weights.high.w * row_1;
        (*sums)[30] += weights.high.w * row_2;
        (*sums)[31] += weights.high.w * row_3;
    }
}

// The same as add_products for a kernel element in this column.
fn add_element(
    sums: ptr<function, array<vec4<f32>, 32>>,
    weights: Weights,
    col: i32,
    row_0: Row,
    row_1: Row,
    row_2: Row,
    row_3: Row,
) {
    add_products(sums, weights, shifted(row_0, col), shifted(row_1, col), shifted(row_2, col), shifted(row_3, col));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn convolve_tiles(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let tile_cols = (params.out_cols + TILE - 1) / TILE;
    let tiles = (params.out_rows + TILE - 1) / TILE * tile_cols;
    let workgroup_tiles = i32(WORKGROUP_SIZE) / HALVES;
    let workgroups = (tiles + workgroup_tiles - 1) / workgroup_tiles;
    let block_channels = CHANNELS * HALVES;
    let blocks = (params.out_channels + block_channels - 1) / block_channels;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let plane = number / blocks / workgroups;
    // A plane is a group of an image.
    if (u32(plane * params.out_channels * params.out_rows * params.out_cols) >= params.count) {
        return;
    }
    let is_upper = i32(lane.index) >= workgroup_tiles;
    let block_channel = number % blocks * block_channels;
    let first_channel = block_channel + select(0, CHANNELS, is_upper);
    // Invocations past the last tile compute that tile again, and do not write it.
    let wanted_tile = number / blocks % workgroups * workgroup_tiles + i32(lane.index) % workgroup_tiles;
    let tile = min(wanted_tile, tiles - 1);
    let out_row = tile / tile_cols * TILE;
    let out_col = tile % tile_cols * TILE;

    let channel_weights = weight_step();
    let group_weights = plane % params.groups * params.out_channels * params.in_channels * 9;
    let last = params.out_channels - 1;
    var places: Places;
    places.lower = weight_places(lane, group_weights, block_channel, last, channel_weights);
    places.upper = weight_places(lane, group_weights, block_channel + CHANNELS, last, channel_weights);
    places.is_upper = is_upper;

    // Rows and columns outside of the input are loaded from 0.
    let col = out_col - params.cols.padding;
    let left_cols = col + vec4<i32>(0, 1, 2, 3);
    let right_cols = col + vec2<i32>(4, 5);
    let is_left = (left_cols >= vec4<i32>()) & (left_cols < vec4<i32>(params.in_cols));
    let is_right = (right_cols >= vec2<i32>()) & (right_cols < vec2<i32>(params.in_cols));
    let left = select(vec4<i32>(), left_cols, is_left);
    let right = select(vec2<i32>(), right_cols, is_right);
    let row = out_row - params.rows.padding;
    let is_row_0 = row >= 0 && row < params.in_rows;
    let is_row_1 = row + 1 >= 0 && row + 1 < params.in_rows;
    let is_row_2 = row + 2 >= 0 && row + 2 < params.in_rows;
    let is_row_3 = row + 3 >= 0 && row + 3 < params.in_rows;
    let is_row_4 = row + 4 >= 0 && row + 4 < params.in_rows;
    let is_row_5 = row + 5 >= 0 && row + 5 < params.in_rows;
    let begin_0 = select(0, row * params.in_cols, is_row_0);
    let begin_1 = select(0, (row + 1) * params.in_cols, is_row_1);
    let begin_2 = select(0, (row + 2) * params.in_cols, is_row_2);
    let begin_3 = select(0, (row + 3) * params.in_cols, is_row_3);
    let begin_4 = select(0, (row + 4) * params.in_cols, is_row_4);
    let begin_5 = select(0, (row + 5) * params.in_cols, is_row_5);

    var sums: array<vec4<f32>, 32>;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let begin = i32(params.input_base)
            + (plane * params.in_channels + channel) * params.in_rows * params.in_cols;
        let row_0 = load_row(begin + begin_0, is_row_0, left, right, is_left, is_right);
        let row_1 = load_row(begin + begin_1, is_row_1, left, right, is_left, is_right);
        let row_2 = load_row(begin + begin_2, is_row_2, left, right, is_left, is_right);
        let row_3 = load_row(begin + begin_3, is_row_3, left, right, is_left, is_right);
        let row_4 = load_row(begin + begin_4, is_row_4, left, right, is_left, is_right);
        let row_5 = load_row(begin + begin_5, is_row_5, left, right, is_left, is_right);
        var products: array<vec4<f32>, 32>;
        add_element(&products, weights_of(places, weight_at(channel, 0)), 0, row_0, row_1, row_2, row_3);
        add_element(&products, weights_of(places, weight_at(channel, 1)), 1, row_0, row_1, row_2, row_3);
        add_element(&products, weights_of(places, weight_at(channel, 2)), 2, row_0, row_1, row_2, row_3);
        add_element(&products, weights_of(places, weight_at(channel, 3)), 0, row_1, row_2, row_3, row_4);
        add_element(&products, weights_of(places, weight_at(channel, 4)), 1, row_1, row_2, row_3, row_4);
        add_element(&products, weights_of(places, weight_at(channel, 5)), 2, row_1, row_2, row_3, row_4);
        add_element(&products, weights_of(places, weight_at(channel, 6)), 0, row_2, row_3, row_4, row_5);
        add_element(&products, weights_of(places, weight_at(channel, 7)), 1, row_2, row_3, row_4, row_5);
        add_element(&products, weights_of(places, weight_at(channel, 8)), 2, row_2, row_3, row_4, row_5);
        add_sums(&sums, &products);
    }

    let no_col = params.out_cols;
    var output_tile = OutputTile(plane, out_row, select(out_col, no_col, wanted_tile >= tiles));
    if (IS_MIRRORED != 0u) {
        let is_wrong = are_spoilt(&sums);
        // A loop that mostly ends at once: software adapters run what is in a condition.
        for (var item = 0; item < select(0, TILE * CHANNELS, is_wrong); item++) {
            let group_channel = first_channel + item / TILE;
            if (group_channel < params.out_channels) {
                let products = products_inside(output_tile, group_channel, out_row + item % TILE);
                write_row(output_tile, plane * params.out_channels + group_channel, item % TILE, 0.0, products);
            }
        }
        output_tile.col = select(output_tile.col, no_col, is_wrong);
    }
    write_tile(output_tile, first_channel + 0, sums[0], sums[1], sums[2], sums[3]);
    if (CHANNELS > 1) {
        write_tile(output_tile, first_channel + 1, sums[4], sums[5], sums[6], sums[7]);
        write_tile(output_tile, first_channel + 2, sums[8], sums[9], sums[10], sums[11]);
        write_tile(output_tile, first_channel + 3, sums[12], sums[13], sums[14], sums[15]);
    }
    if (CHANNELS > 4) {
        write_tile(output_tile, first_channel + 4, sums[16], sums[17], sums[18], sums[19]);
        write_tile(output_tile, first_channel + 5, sums[20], sums[21], sums[22], sums[23]);
        write_tile(output_tile, first_channel + 6, sums[24], sums[25], sums[26], sums[27]);
        write_tile(output_tile, first_channel + 7, sums[28], sums[29], sums[30], sums[31]);
    }
}

struct OutputTile {
    plane: i32,
    row: i32,
    col: i32,
}

fn write_tile(
    tile: OutputTile,
    group_channel: i32,
    row_0: vec4<f32>,
    row_1: vec4<f32>,
    row_2: vec4<f32>,
    row_3: vec4<f32>,
) {
    if (group_channel >= params.out_channels) {
        return;
    }
    let channel = tile.plane * params.out_channels + group_channel;
    let start = bias_of(channel % (params.groups * params.out_channels));
    write_row(tile, channel, 0, start, row_0);
    write_row(tile, channel, 1, start, row_1);
    write_row(tile, channel, 2, start, row_2);
    write_row(tile, channel, 3, start, row_3);
}

// The sums of a row of a gradient, which has no products outside the input: zeros there gave NaN with an infinite weight.
fn products_inside(tile: OutputTile, group_channel: i32, out_row: i32) -> vec4<f32> {
    let weights = (tile.plane % params.groups * params.in_channels * params.out_channels + group_channel) * 9;
    var sums: vec4<f32>;
    for (var channel = params.channel_begin; channel < params.channel_end; channel++) {
        let begin = i32(params.input_base)
            + (tile.plane * params.in_channels + channel) * params.in_rows * params.in_cols;
        for (var element = 0; element < 9; element++) {
            let rows = vec4<i32>(out_row + element / 3 - params.rows.padding);
            let cols = tile.col + vec4<i32>(0, 1, 2, 3) + element % 3 - params.cols.padding;
            let is_in = is_inside(rows, cols);
            let x = load(select(vec4<i32>(), begin + rows * params.in_cols + cols, is_in), is_in);
            sums += select(vec4<f32>(), weight[weights + weight_at(channel, element)] * x, is_in);
        }
    }
    return sums;
}

fn write_row(tile: OutputTile, channel: i32, row: i32, start: f32, sums: vec4<f32>) {
    let out_row = tile.row + row;
    let place = i32(params.output_base) + (channel * params.out_rows + out_row) * params.out_cols + tile.col;
    let out_channel = channel % (params.groups * params.out_channels);
    let is_row = out_row < params.out_rows;
    let cols = vec4<i32>(0, 1, 2, 3);
    let is_inside = (tile.col + cols < vec4<i32>(params.out_cols)) & vec4<bool>(is_row);
    write_pixels(place + cols, is_inside, out_channel, start, sums);
}
