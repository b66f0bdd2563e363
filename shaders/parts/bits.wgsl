// The bits of floats. Drivers may assume that there are no NaN and infinities, so these functions look at bits.

const MAGNITUDE: u32 = 0x7fffffffu;
const EXPONENT: u32 = 0x7f800000u;
const INFINITY: u32 = 0x7f800000u;
const NEGATIVE_INFINITY: u32 = 0xff800000u;

fn is_nan(x: f32) -> bool {
    return (bitcast<u32>(x) & MAGNITUDE) > INFINITY;
}

fn is_each_nan(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4<u32>(MAGNITUDE)) > vec4<u32>(INFINITY);
}

fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & EXPONENT) != EXPONENT;
}

fn exponents(x: vec4<f32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(x) & vec4<u32>(EXPONENT);
}

// Infinities and NaN: sums are that if they had products that they should not have had.
fn is_spoilt(sums: vec4<f32>) -> vec4<bool> {
    return exponents(sums) == vec4<u32>(EXPONENT);
}

fn not_a_number() -> f32 {
    // From a variable, since constant expressions must not be NaN.
    var bits = 0x7fc00000u;
    return bitcast<f32>(bits);
}

fn negative_infinity() -> f32 {
    // From a variable, since constant expressions must be finite.
    var bits = NEGATIVE_INFINITY;
    return bitcast<f32>(bits);
}
