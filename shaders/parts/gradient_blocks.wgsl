// What belongs to 4 pixels of a row, where rows are made of blocks.

@group(0) @binding(2) var<storage, read> grad_blocks: array<vec4<f32>>;   // [images, groups * out_channels, out_rows, out_cols]

fn load_grad(at: i32) -> vec4<f32> {
    return grad_blocks[at / 4];
}

// No block reaches past a row's end.
fn of_pixels(values: vec4<f32>, col: i32) -> vec4<f32> {
    return values;
}
