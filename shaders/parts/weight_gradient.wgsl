// parts: window
// The gradient of a convolution's weight, shared by its kernels:
//
//     grad_weight[o, i, u, v] = sum over n, y, x of
//         grad[n, o, y, x] * input[n, group(o) * in_channels + i, y * stride - padding + u * dilation, x * ... + v * ...]
//
// where input is 0 outside its rows and columns. `grad` is what belongs to the pixels of the convolution's output, and
// `input` what its windows slide over: for conv2d grad_output and input, for conv_transpose2d input and grad_output.
//
// The sum over pixels is split: each split takes a range of blocks, 4 pixels of a row, and add_splits adds the splits in
// order.

struct Params {
    rows: Window,
    cols: Window,
    images: i32,
    groups: i32,
    in_channels: i32,       // of a group
    out_channels: i32,      // of a group
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    // The blocks of a row and of all images, and of a split.
    row_blocks: i32,
    blocks: i32,
    split_blocks: i32,
    splits: i32,
    // Elements of the weight.
    count: i32,
    // Whether sums are added to what the gradient holds.
    adds: u32,
    hidden_zero: u32,       // always 0
    // Where they begin in their bindings, in elements.
    input_base: u32,
    grad_base: u32,
    workspace_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [groups * out_channels, in_channels, rows.kernel, cols.kernel]; with several splits the workspace, with as many of these.
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

// A block of pixels.
struct Block {
    image: i32,
    row: i32,
    // The first of 4 columns.
    col: i32,
}

fn block_of(index: i32) -> Block {
    let row = index / params.row_blocks;
    let image = row / params.out_rows;
    return Block(image, row - image * params.out_rows, 4 * (index - row * params.row_blocks));
}

fn block_after(block: Block) -> Block {
    let is_row = block.col + 4 >= params.out_cols;
    let is_image = is_row && block.row + 1 >= params.out_rows;
    return Block(
        block.image + select(0, 1, is_image),
        select(select(block.row, block.row + 1, is_row), 0, is_image),
        select(block.col + 4, 0, is_row),
    );
}

// Stores a sum: of a split, or of all.
fn store(index: i32, split: i32, sum: f32) {
    var total = sum;
    var at = index;
    if (params.splits > 1) {
        at += i32(params.workspace_base) + split * params.count;
    } else if (params.adds != 0u) {
        total += sums[at];
    }
    sums[at] = total;
}
