// parts: divide
// The gradients of cat: grad_tensor[o, i] = grad_output[o, begin + i], for each tensor in a dispatch of its own: see cat.wgsl.
// One invocation copies an element, or a block of 4 where rows of the tensor and of the output are in blocks.

struct Params {
    count: u32,
    // Of the tensor, of the output, and where the tensor's rows begin in the output's; in blocks for `blocks`.
    row: u32,
    output_row: u32,
    begin: u32,
    tensor_base: u32,
    output_base: u32,
    // Whether the gradient is added to what is there.
    adds: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(1) var<storage, read> grad_output_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> grad_tensor: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_tensor_blocks: array<vec4<f32>>;

fn place_of(index: u32) -> u32 {
    let outer = divided(index, params.row);
    return params.output_base + outer * params.output_row + params.begin + (index - outer * params.row);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.tensor_base + index;
        var result = grad_output[place_of(index)];
        if (params.adds != 0u) {
            result += grad_tensor[at];
        }
        grad_tensor[at] = result;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = params.tensor_base + block;
        var result = grad_output_blocks[place_of(block)];
        if (params.adds != 0u) {
            result += grad_tensor_blocks[at];
        }
        grad_tensor_blocks[at] = result;
    }
}
