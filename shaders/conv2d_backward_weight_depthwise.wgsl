// parts: weight_gradient, gradient_elements|gradient_blocks
// The gradient of a depthwise convolution's weight, with one input channel a group: see parts/weight_gradient.wgsl. An
// invocation computes 3 by 3 elements of the kernel of one output channel.
//
//     channels_in_lanes   for software adapters: neighbours have channels of their own, and all the split's blocks
//     pixels_in_lanes     for GPUs: the 64 of a workgroup share a channel, and each has every 64th block; then they add
//                         their sums, in a fixed order

@group(0) @binding(1) var<storage, read> input: array<f32>;            // [images, groups, in_rows, in_cols]

// Whether stride and dilation of columns are 1.
override IS_DENSE: u32 = 0u;
override WORKGROUP_SIZE: u32 = 8u;

// The elements of 3 columns of a row of the kernel, at 4 pixels.
struct Row {
    left: vec4<f32>,
    middle: vec4<f32>,
    right: vec4<f32>,
}

// The sums of 3 by 3 elements.
struct Nine {
    row_0: vec3<f32>,
    row_1: vec3<f32>,
    row_2: vec3<f32>,
}

// A channel's piece of the kernel, in one split.
struct Piece {
    is_inside: bool,
    channel: i32,
    // Its first row and column.
    row: i32,
    col: i32,
    split: i32,
}

fn piece_of(number: i32, channel: i32) -> Piece {
    let col_pieces = (params.cols.kernel + 2) / 3;
    let row_pieces = (params.rows.kernel + 2) / 3;
    let split = number / col_pieces / row_pieces;
    return Piece(
        split < params.splits && channel < params.groups * params.out_channels,
        min(channel, params.groups * params.out_channels - 1),
        number / col_pieces % row_pieces * 3,
        number % col_pieces * 3,
        split,
    );
}

fn element(begin: i32, row: i32, col: i32) -> f32 {
    // Without &&, which would branch: compilers take minutes for as many branches.
    let is_inside = (u32(row) < u32(params.in_rows)) & (u32(col) < u32(params.in_cols));
    return select(0.0, input[select(0, begin + row * params.in_cols + col, is_inside)], is_inside);
}

fn four(begin: i32, row: i32, col: i32) -> vec4<f32> {
    let step = params.cols.stride;
    return vec4<f32>(
        element(begin, row, col),
        element(begin, row, col + step),
        element(begin, row, col + 2 * step),
        element(begin, row, col + 3 * step),
    );
}

fn load_row(begin: i32, row: i32, col: i32) -> Row {
    if (IS_DENSE != 0u) {
        let low = four(begin, row, col);
        let x_4 = element(begin, row, col + 4);
        let x_5 = element(begin, row, col + 5);
        return Row(low, vec4<f32>(low.yzw, x_4), vec4<f32>(low.zw, x_4, x_5));
    }
    let dilation = params.cols.dilation;
    return Row(four(begin, row, col), four(begin, row, col + dilation), four(begin, row, col + 2 * dilation));
}

fn dots(row: Row, g: vec4<f32>, col: i32) -> vec3<f32> {
    return vec3<f32>(
        dot(of_pixels(row.left, col), g),
        dot(of_pixels(row.middle, col), g),
        dot(of_pixels(row.right, col), g),
    );
}

fn add_block(nine: ptr<function, Nine>, piece: Piece, block: Block) {
    let channels = params.groups * params.out_channels;
    let plane = block.image * channels + piece.channel;
    let pixel = (plane * params.out_rows + block.row) * params.out_cols + block.col;
    let g = of_pixels(load_grad(i32(params.grad_base) + pixel), block.col);
    let in_plane = block.image * params.groups + piece.channel / params.out_channels;
    let begin = i32(params.input_base) + in_plane * params.in_rows * params.in_cols;
    let row = block.row * params.rows.stride - params.rows.padding + piece.row * params.rows.dilation;
    let col = block.col * params.cols.stride - params.cols.padding + piece.col * params.cols.dilation;
    (*nine).row_0 += dots(load_row(begin, row, col), g, block.col);
    if (params.rows.kernel > 1) {
        (*nine).row_1 += dots(load_row(begin, row + params.rows.dilation, col), g, block.col);
    }
    if (params.rows.kernel > 2) {
        (*nine).row_2 += dots(load_row(begin, row + 2 * params.rows.dilation, col), g, block.col);
    }
}

fn store_three(piece: Piece, down: i32, three: vec3<f32>) {
    let row = piece.row + down;
    if (row >= params.rows.kernel) {
        return;
    }
    let at = (piece.channel * params.rows.kernel + row) * params.cols.kernel + piece.col;
    let rest = params.cols.kernel - piece.col;
    store(at, piece.split, three.x);
    if (rest > 1) { store(at + 1, piece.split, three.y); }
    if (rest > 2) { store(at + 2, piece.split, three.z); }
}

fn store_nine(piece: Piece, nine: Nine) {
    store_three(piece, 0, nine.row_0);
    store_three(piece, 1, nine.row_1);
    store_three(piece, 2, nine.row_2);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn channels_in_lanes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let lanes = i32(WORKGROUP_SIZE);
    let tiles = (params.groups * params.out_channels + lanes - 1) / lanes;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let piece = piece_of(number / tiles, number % tiles * lanes + i32(lane));
    let begin = piece.split * params.split_blocks;
    let end = min(begin + params.split_blocks, params.blocks);
    var nine: Nine;
    var block = block_of(begin);
    for (var index = begin; index < end; index++) {
        add_block(&nine, piece, block);
        block = block_after(block);
    }
    if (piece.is_inside) {
        store_nine(piece, nine);
    }
}

const LANES: u32 = 64u;
var<workgroup> rows_0: array<vec3<f32>, LANES>;
var<workgroup> rows_1: array<vec3<f32>, LANES>;
var<workgroup> rows_2: array<vec3<f32>, LANES>;

@compute @workgroup_size(LANES)
fn pixels_in_lanes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channels = params.groups * params.out_channels;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    let piece = piece_of(number / channels, number % channels);
    let begin = piece.split * params.split_blocks;
    let end = min(begin + params.split_blocks, params.blocks);
    var nine: Nine;
    for (var index = begin + i32(lane); index < end; index += i32(LANES)) {
        add_block(&nine, piece, block_of(index));
    }
    rows_0[lane] = nine.row_0;
    rows_1[lane] = nine.row_1;
    rows_2[lane] = nine.row_2;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            rows_0[lane] += rows_0[lane + half];
            rows_1[lane] += rows_1[lane + half];
            rows_2[lane] += rows_2[lane + half];
        }
    }
    if (lane == 0u && piece.is_inside) {
        store_nine(piece, Nine(rows_0[0], rows_1[0], rows_2[0]));
    }
}
