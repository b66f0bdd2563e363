// The elements of the input that columns have, of a kernel of one element and stride 1 without padding, in blocks: each pixel
// meets the pixel of the input at the same place.

@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;  // [images, groups * in_channels, in_rows, in_cols]

// The elements of the input that 4 columns have at 4 pixels.
struct Inputs {
    pixel_0: vec4<f32>,
    pixel_1: vec4<f32>,
    pixel_2: vec4<f32>,
    pixel_3: vec4<f32>,
}

// The columns: where their planes of the first image begin, and their kernel elements.
struct Columns {
    planes: vec4<i32>,
    rows: vec4<i32>,
    cols: vec4<i32>,
}

fn load_inputs(columns: Columns, block: Block) -> Inputs {
    let image = block.image * params.groups * params.in_channels * params.in_rows * params.in_cols;
    let begins = columns.planes + image;
    let at = (begins + block.row * params.in_cols + block.col) / 4;
    let a = input_blocks[at.x];
    let b = input_blocks[at.y];
    let c = input_blocks[at.z];
    let d = input_blocks[at.w];
    return Inputs(
        vec4<f32>(a.x, b.x, c.x, d.x),
        vec4<f32>(a.y, b.y, c.y, d.y),
        vec4<f32>(a.z, b.z, c.z, d.z),
        vec4<f32>(a.w, b.w, c.w, d.w),
    );
}
