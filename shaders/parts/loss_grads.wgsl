// The gradient of a loss's output, for losses.wgsl. `gradient_blocks_of_one` is gradient_blocks where there is one for all
// elements.

@group(0) @binding(5) var<storage, read> grad_output: array<f32>;              // as output
@group(0) @binding(5) var<storage, read> grad_output_blocks: array<vec4<f32>>;

fn grads(index: u32) -> vec4<f32> {
    return vec4<f32>(grad_output[select(0u, index, params.has_each_grad != 0u)]);
}

fn grads_in_block(block: u32) -> vec4<f32> {
    return grad_output_blocks[block];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn gradient_blocks_of_one(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        write_gradient_block(params.base / 4u + block, vec4<f32>(grad_output[0]));
    }
}
