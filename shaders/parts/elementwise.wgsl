// parts: activations
// The kernels of activations: one invocation computes a block of 4 elements, or a single element at the end and where
// buffers are not made of blocks. Elements are bits here, so that drivers leave NaN as it is. A file that names this
// part names slope or channel_slopes too, and input or input_in_place.

struct Params {
    count: u32,
    // Where input and output begin in their bindings, in elements, and the index of the first element there.
    base: u32,
    first: u32,
    // Elements after the channels, and the number of channels that have a slope each.
    inner: u32,
    channels: u32,
    slope: f32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
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
        let at = params.base / 4u + block;
        output_blocks[at] = activated(input_block(at), slopes_at(params.first + 4u * block));
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
        output[at] = activated(vec4<u32>(input_element(at)), slopes_at(params.first + index)).x;
    }
}
