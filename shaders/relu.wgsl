// relu: output[i] = max(input[i], 0).
//
// One invocation computes a block of 4 elements, or a single element at the end and where buffers are not made of
// blocks. It compares bits, since drivers may treat a NaN as any number. Whatever is below 0 becomes 0; all else, NaN
// and -0 too, stays as it is.

struct Params {
    count: u32,
    // Where input and output begin in their bindings, in elements.
    base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

// As bits, numbers below 0 lie above -0, up to -infinity; further above are only NaN.
const NEGATIVE_ZERO: u32 = 0x80000000u;
const NEGATIVE_INFINITY: u32 = 0xff800000u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<u32>>;

fn relu_of(x: vec4<u32>) -> vec4<u32> {
    let is_below_0 = (x > vec4<u32>(NEGATIVE_ZERO)) & (x <= vec4<u32>(NEGATIVE_INFINITY));
    return select(x, vec4<u32>(), is_below_0);
}

// One block. count is that of blocks, and base a multiple of 4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn relu_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        output_blocks[params.base / 4u + block] = relu_of(input_blocks[params.base / 4u + block]);
    }
}

// One element.
@compute @workgroup_size(WORKGROUP_SIZE)
fn relu(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        output[params.base + index] = relu_of(vec4<u32>(input[params.base + index])).x;
    }
}
