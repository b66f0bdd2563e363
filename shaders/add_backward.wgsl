// The gradients of add where nothing is broadcast: target[i] = factor * source[i]. One invocation computes a block of 4
// elements, or a single element at the end and where buffers are not made of blocks. Where an operand is broadcast, its
// gradient is a sum over channels: see sums.wgsl.

struct Params {
    count: u32,
    // Where both begin in their bindings, in elements.
    source_base: u32,
    target_base: u32,
    factor: f32,
    // Whether the target is added to what is there.
    adds: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read> source_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> results: array<f32>;
@group(0) @binding(2) var<storage, read_write> result_blocks: array<vec4<f32>>;

// One block. count is that of blocks, and both begin at a block.
@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = params.target_base / 4u + block;
        var result = params.factor * source_blocks[params.source_base / 4u + block];
        if (params.adds != 0u) {
            result += result_blocks[at];
        }
        result_blocks[at] = result;
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
        let at = params.target_base + index;
        var result = params.factor * source[params.source_base + index];
        if (params.adds != 0u) {
            result += results[at];
        }
        results[at] = result;
    }
}
