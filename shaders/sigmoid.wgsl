// parts: bits, exp, elementwise
// sigmoid: output[i] = 1 / (1 + exp(-input[i])).
//
// exp only gets -|x|, so nothing overflows. A NaN stays NaN.

fn result_of(bits: vec4<u32>) -> vec4<u32> {
    let x = bitcast<vec4<f32>>(bits);
    let e = exponential(-abs(x));
    let result = select(vec4<f32>(1.0), e, x < vec4<f32>()) / (1.0 + e);
    return select(bitcast<vec4<u32>>(result), bits, is_each_nan(x));
}
