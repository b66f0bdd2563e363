// What the dispatches of conv2d by Winograd's algorithms share: see conv2d_winograd2x2.wgsl.

struct Params {
    epilogue: vec4<u32>,    // see epilogue.wgsl
    positions: i32,         // elements of a transformed tile
    groups: i32,
    in_channels: i32,       // of a group
    channel_room: i32,      // in_channels rounded up to 4; zeros follow the last
    out_channels: i32,      // of a group
    in_rows: i32,
    in_cols: i32,
    out_rows: i32,
    out_cols: i32,
    padding_rows: i32,      // before the first row
    padding_cols: i32,      // before the first column
    has_bias: u32,
    continues: u32,         // whether products are added to what the output holds
    tile_rows: i32,         // of an image
    tile_cols: i32,
    tiles: i32,             // of all images
    // The first tile of this dispatch, and the number of tiles that there is room for: a multiple of 16.
    tile_begin: i32,
    room: i32,
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
    // Where they begin in the workspace, and the distance between positions, in blocks.
    products_begin: i32,
    bias_begin: i32,
    kernels_begin: i32,
    inputs_step: i32,
    products_step: i32,
    kernels_step: i32,
    // Whether the weight is [groups * in_channels, out_channels, 3, 3], with every kernel mirrored: for gradients.
    is_mirrored: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Inputs [position, group, channel_room, block of room], products [position, group, block of channels, room], bias [group,
// block of channels], and kernels [position, group, block of channels, channel_room] unless they are packed.
@group(0) @binding(5) var<storage, read_write> workspace: array<vec4<f32>>;

fn channel_blocks() -> i32 {
    return (params.out_channels + 3) / 4;
}
