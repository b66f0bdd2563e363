// The weights of each element of a loss, packed into its workspace, so that few buffers are bound: (weight, pos_weight), each
// broadcast to the common shape. `pack_weights` writes them, one invocation an element. For gradients
// `pack_weights_and_grads` writes weights times grad_output.

@group(0) @binding(5) var<storage, read> grad_output: array<f32>;              // as output
@group(0) @binding(7) var<storage, read> weight: array<f32>;                   // any without has_weight
@group(0) @binding(8) var<storage, read> pos_weight: array<f32>;               // any without has_pos_weight

fn weights(index: u32) -> Weights {
    let packed = partials[index];
    return Weights(vec4<f32>(packed.x), vec4<f32>(packed.y));
}

fn weights_in_block(block: u32) -> Weights {
    let a = vec4<f32>(partials[4u * block], partials[4u * block + 1u]);
    let b = vec4<f32>(partials[4u * block + 2u], partials[4u * block + 3u]);
    return Weights(vec4<f32>(a.xz, b.xz), vec4<f32>(a.yw, b.yw));
}

fn grads(index: u32) -> vec4<f32> {
    return vec4<f32>(partials[index].x);
}

fn grads_in_block(block: u32) -> vec4<f32> {
    return weights_in_block(block).weight;
}

fn weights_of(index: u32) -> vec2<f32> {
    let at = places(position(index, params.lengths));
    let first = select(1.0, weight[at.x], params.has_weight != 0u);
    let second = select(1.0, pos_weight[at.y], params.has_pos_weight != 0u);
    return vec2<f32>(first, second);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn pack_weights(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        partials[index] = weights_of(index);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn pack_weights_and_grads(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let grad = grad_output[select(0u, index, params.has_each_grad != 0u)];
        partials[index] = weights_of(index) * vec2<f32>(grad, 1.0);
    }
}
