// sigmoid: output[i] = 1 / (1 + exp(-input[i])).
//
// One invocation computes one element. exp is our own, since drivers' may be off by tens of units in the last place,
// and it only ever sees -|x|, so nothing overflows. A NaN passes through.

struct Params {
    count: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

// exp(x) for x <= 0: x = k ln 2 + r with |r| <= ln 2 / 2, a polynomial for exp(r), then the exponent k.
fn exp_negative(x: f32) -> f32 {
    let clamped = max(x, -110.0);
    let k = floor(clamped * 1.44269504 + 0.5);
    // ln 2 in two parts, the first short enough for k * 0.693359375 to be exact.
    let r = (clamped - k * 0.693359375) + k * 2.12194440e-4;
    var p = 1.9875691500e-4;
    p = p * r + 1.3981999507e-3;
    p = p * r + 8.3334519073e-3;
    p = p * r + 4.1665795894e-2;
    p = p * r + 1.6666665459e-1;
    p = p * r + 5.0000001201e-1;
    let power = (p * r * r + r) + 1.0;
    // Two factors: 2^k alone would leave the range of normal numbers before the product does.
    let half = i32(k) / 2;
    let rest = i32(k) - half;
    return power * bitcast<f32>((half + 127) << 23u) * bitcast<f32>((rest + 127) << 23u);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn sigmoid(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index >= params.count) {
        return;
    }
    let x = input[index];
    if ((bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u) {
        output[index] = x;
        return;
    }
    let e = exp_negative(-abs(x));
    output[index] = select(1.0, e, x < 0.0) / (1.0 + e);
}
