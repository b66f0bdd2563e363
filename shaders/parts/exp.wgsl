// The exponential function. Drivers' own may be off by tens of units in the last place.

// exp(x) for x <= 16: x = k ln 2 + r with |r| <= ln 2 / 2, a polynomial for exp(r), then the exponent k.
fn exponential(x: vec4<f32>) -> vec4<f32> {
    let clamped = max(x, vec4<f32>(-110.0));
    let k = floor(clamped * 1.44269504 + 0.5);
    // ln 2 as two numbers, the first short enough for k * 0.693359375 to be exact.
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
