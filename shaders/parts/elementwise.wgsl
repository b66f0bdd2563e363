// The kernels of operators that compute each element of the output from one of the input: one invocation computes a
// block of 4 elements, or a single element at the end and where buffers are not made of blocks. A file that names this
// part defines result_of(x: vec4<u32>) -> vec4<u32>, on the bits of 4 floats, so that drivers leave NaN as it is.

struct Params {
    count: u32,
    // Where input and output begin in their bindings, in elements.
    base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<u32>>;

// One block. count is that of blocks, and base a multiple of 4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        output_blocks[params.base / 4u + block] = result_of(input_blocks[params.base / 4u + block]);
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
        output[params.base + index] = result_of(vec4<u32>(input[params.base + index])).x;
    }
}
