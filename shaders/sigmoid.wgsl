// parts: bits, exp
// sigmoid: output[i] = 1 / (1 + exp(-input[i])).
//
// One invocation computes a block of 4 elements, or a single element at the end and where buffers are not made of
// blocks. exp only gets -|x|, so nothing overflows. A NaN stays NaN.

struct Params {
    count: u32,
    // Where input and output begin in their bindings, in elements.
    base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<f32>>;

fn sigmoid_of(x: vec4<f32>) -> vec4<f32> {
    let e = exponential(-abs(x));
    return select(select(vec4<f32>(1.0), e, x < vec4<f32>()) / (1.0 + e), x, is_each_nan(x));
}

// One block. count is that of blocks, and base a multiple of 4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sigmoid_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        output_blocks[params.base / 4u + block] = sigmoid_of(input_blocks[params.base / 4u + block]);
    }
}

// One element.
@compute @workgroup_size(WORKGROUP_SIZE)
fn sigmoid(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        output[params.base + index] = sigmoid_of(vec4<f32>(input[params.base + index])).x;
    }
}
