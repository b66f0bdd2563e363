// sigmoid: output[i] = 1 / (1 + exp(-input[i])).
//
// One invocation computes 4 elements, a workgroup's size apart from each other. exp is our own, since drivers' may be
// off by tens of units in the last place, and it only ever sees -|x|, so nothing overflows. A NaN passes through.

struct Params {
    count: u32,
    // Where input and output begin in what is bound.
    base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

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

@compute @workgroup_size(WORKGROUP_SIZE)
fn sigmoid(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let begin = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE * 4u + lane;
    let index = begin + vec4<u32>(0u, 1u, 2u, 3u) * WORKGROUP_SIZE;
    let inside = index < vec4<u32>(params.count);
    let source = params.base + min(index, vec4<u32>(params.count - 1u));
    let destination = params.base + index;
    let x = vec4<f32>(input[source.x], input[source.y], input[source.z], input[source.w]);
    let is_nan = (bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let e = exp_negative(-abs(x));
    let result = select(select(vec4<f32>(1.0), e, x < vec4<f32>()) / (1.0 + e), x, is_nan);
    if (inside.w) {
        output[destination.x] = result.x;
        output[destination.y] = result.y;
        output[destination.z] = result.z;
        output[destination.w] = result.w;
        return;
    }
    if (inside.x) { output[destination.x] = result.x; }
    if (inside.y) { output[destination.y] = result.y; }
    if (inside.z) { output[destination.z] = result.z; }
}
