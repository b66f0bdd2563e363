// parts: divide
// cat: output[o, begin + i] = tensor[o, i], for each tensor in a dispatch of its own: o runs over all dimensions before
// the one along which they are joined, i over that and all after it, and `begin` is after the tensors before.
//
// One invocation copies an element, or a block of 4 where rows of the tensor and of the output are in blocks.

struct Params {
    count: u32,
    // Of the tensor, of the output, and where the tensor's rows begin in the output's; in blocks for `blocks`.
    row: u32,
    output_row: u32,
    begin: u32,
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tensor: array<u32>;
@group(0) @binding(1) var<storage, read> tensor_blocks: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<u32>>;

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
        output[place_of(index)] = tensor[params.input_base + index];
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
        output_blocks[place_of(block)] = tensor_blocks[params.input_base + block];
    }
}
