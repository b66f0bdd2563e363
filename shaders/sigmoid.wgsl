// sigmoid: output[i] = 1 / (1 + exp(-input[i])).
//
// One invocation computes a block of 4 elements, or one where buffers are not made of blocks, and at the end. exp is our
// own, since drivers' may be off by tens of units in the last place, and it only ever sees -|x|, so nothing overflows. A
// NaN passes through.

struct Params {
    count: u32,
    // Where input and output begin in what is bound.
    base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<f32>>;

// exp(x) for x <= 0: x = k ln 2 + r with |r| <= ln 2 / 2, a polynomial for exp(r), then the exponent k.
fn exp_negative(x: vec4<f32>) -> vec4<f32> {
    let clamped = max(x, vec4<f32>(-110.0));
    let k = floor(clamped * 1.44269504 + 0.5);
    // ln 2 in two parts, the first short enough for k * 0.693359375 to be exact.
    let r = (clamped - k * 0.693359375) + k * 2.12194440e-4;
    var p = vec4<f32>(1.9875691500e-4);
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    let power = (p * r * r + r) + 1.0;
    // Two factors: 2^k alone would leave the range of normal numbers before the product does.
    let half = vec4<i32>(k) >> vec4<u32>(1u);
    let rest = vec4<i32>(k) - half;
    return power * bitcast<vec4<f32>>((half + 127) << vec4<u32>(23u)) * bitcast<vec4<f32>>((rest + 127) << vec4<u32>(23u));
}

fn sigmoid_of(x: vec4<f32>) -> vec4<f32> {
    let is_nan = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let e = exp_negative(-abs(x));
    return select(select(vec4<f32>(1.0), e, x < vec4<f32>()) / (1.0 + e), x, is_nan);
}

// One block of 4 elements; count is that of blocks, and base a multiple of 4.
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
