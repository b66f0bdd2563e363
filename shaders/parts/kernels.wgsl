// Transformed kernels in the workspace, where an earlier dispatch wrote them.

fn load_kernels(block: i32) -> vec4<f32> {
    return workspace[params.kernels_begin + block];
}
