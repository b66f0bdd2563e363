// The operands of linear where rows are made of blocks of 4.

@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;      // [rows, k]
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;     // [features, k]

fn input_block(row: u32, block: u32) -> vec4<f32> {
    return input[params.input_base / 4u + row * (params.k / 4u) + block];
}

fn weight_block(feature: u32, block: u32) -> vec4<f32> {
    return weight[params.weight_base / 4u + feature * (params.k / 4u) + block];
}
