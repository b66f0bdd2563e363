// Transformed kernels that were packed once.

@group(0) @binding(2) var<storage, read> packed_weight: array<vec4<f32>>;

fn load_kernels(block: i32) -> vec4<f32> {
    return packed_weight[block];
}
