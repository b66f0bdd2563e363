// The operands of linear, element by element. After the last of a row there are zeros.

@group(0) @binding(1) var<storage, read> input: array<f32>;            // [rows, k]
@group(0) @binding(2) var<storage, read> weight: array<f32>;           // [features, k]

fn input_block(row: u32, block: u32) -> vec4<f32> {
    let k = 4u * block + vec4<u32>(0u, 1u, 2u, 3u);
    let is_inside = k < vec4<u32>(params.k);
    let at = params.input_base + row * params.k + select(vec4<u32>(), k, is_inside);
    return select(vec4<f32>(), vec4<f32>(input[at.x], input[at.y], input[at.z], input[at.w]), is_inside);
}

fn weight_block(feature: u32, block: u32) -> vec4<f32> {
    let k = 4u * block + vec4<u32>(0u, 1u, 2u, 3u);
    let is_inside = k < vec4<u32>(params.k);
    let at = params.weight_base + feature * params.k + select(vec4<u32>(), k, is_inside);
    return select(vec4<f32>(), vec4<f32>(weight[at.x], weight[at.y], weight[at.z], weight[at.w]), is_inside);
}
