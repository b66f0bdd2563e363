// parts: prelu_terms, channel_slopes
// The gradient of prelu with respect to its input: grad_input[n,c,s] = grad_output[n,c,s] if input[n,c,s] > 0, otherwise
// weight[c] * grad_output[n,c,s]. One invocation computes a block of 4 elements, or a single element at the end and where
// buffers are not made of blocks. That with respect to the weight is a sum over channels: see sums.wgsl.

struct Params {
    count: u32,
    // Where the buffers begin in their bindings, in elements, and the index of the first element there.
    base: u32,
    first: u32,
    // Elements after the channels, and the number of channels that have a slope each.
    inner: u32,
    channels: u32,
    // Whether the gradient is added to what is there.
    adds: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad_input_blocks: array<vec4<f32>>;

// One block. count is that of blocks, and base a multiple of 4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = params.base / 4u + block;
        let grad = grad_output_blocks[at];
        var result = select(slopes_at(params.first + 4u * block) * grad, grad, is_above_0(input_blocks[at]));
        if (params.adds != 0u) {
            result += grad_input_blocks[at];
        }
        grad_input_blocks[at] = result;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.base + index;
        let grad = grad_output[at];
        var result = select(slope_of(params.first + index) * grad, grad, is_above_0(vec4<f32>(input[at])).x);
        if (params.adds != 0u) {
            result += grad_input[at];
        }
        grad_input[at] = result;
    }
}
