// parts: bits, exp
// The activations: one formula each, for the operators of their names and for epilogues. They take and return 4 numbers
// by their bits: drivers may treat NaN as any number, so bits tell where there is one, and it stays as it is.

// One of the numbers below.
override ACTIVATION: u32 = 0u;

const RELU: u32 = 1u;
const RELU6: u32 = 2u;
const LEAKY_RELU: u32 = 3u;
const HARDSWISH: u32 = 4u;
const SILU: u32 = 5u;
const GELU: u32 = 6u;
const GELU_TANH: u32 = 7u;
const TANH: u32 = 8u;
const SIGMOID: u32 = 9u;

const SIX: u32 = 0x40c00000u;

// max(x, 0). Whatever is below 0 becomes 0; all else, NaN and -0 too, stays as it is. As signed integers, numbers below 0 lie
// between -0 and -infinity, and above that only NaN and what is not below 0.
fn relu(x: vec4<u32>) -> vec4<u32> {
    let ordered = bitcast<vec4<i32>>(x);
    let is_below_0 = (ordered <= vec4<i32>(-0x800000)) & (ordered != bitcast<vec4<i32>>(vec4<u32>(0x80000000u)));
    return select(x, vec4<u32>(), is_below_0);
}

// min(max(x, 0), 6)
fn relu6(x: vec4<u32>) -> vec4<u32> {
    let is_above_6 = (x > vec4<u32>(SIX)) & (x <= vec4<u32>(INFINITY));
    return select(relu(x), vec4<u32>(SIX), is_above_6);
}

// x for x > 0, otherwise slope * x
fn leaky_relu(x: vec4<f32>, slopes: vec4<f32>) -> vec4<f32> {
    return select(slopes * x, x, x > vec4<f32>());
}

// x * min(max(x + 3, 0), 6) / 6. The division comes first: then nothing overflows.
fn hardswish(x: vec4<f32>) -> vec4<f32> {
    return x * (clamp(x + 3.0, vec4<f32>(), vec4<f32>(6.0)) / 6.0);
}

// 1 / (1 + exp(-x)). exp only gets -|x|, so nothing overflows.
fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exponential(-abs(x));
    return select(vec4<f32>(1.0), e, x < vec4<f32>()) / (1.0 + e);
}

// The normal distribution, (1 + erf(x / sqrt(2))) / 2. Near 0 by a series of erf; further out by a polynomial for its tail
// divided by exp(-x^2 / 2), so that no digits cancel below 0.
fn normal(x: vec4<f32>) -> vec4<f32> {
    let square = x * x;
    var series = vec4<f32>(-7.65214008e-6);
    series = series * square + 1.13481162e-4;
    series = series * square - 1.18632534e-3;
    series = series * square + 9.97332174e-3;
    series = series * square - 6.64903597e-2;
    series = series * square + 0.39894228;
    let u = 1.0 / (1.0 + 0.6 * abs(x));
    var tail = vec4<f32>(-0.195103536);
    tail = tail * u + 0.610079909;
    tail = tail * u - 0.660131333;
    tail = tail * u + 0.139924592;
    tail = tail * u + 0.121501477;
    tail = tail * u + 0.243109088;
    tail = tail * u + 0.23912432;
    tail = tail * u + 6.48926818e-6;
    tail *= exponential(-0.5 * square);
    let far = select(1.0 - tail, tail, x < vec4<f32>());
    return select(far, 0.5 + x * series, abs(x) < vec4<f32>(1.0));
}

// x * (1 + erf(x / sqrt(2))) / 2
fn gelu(x: vec4<f32>) -> vec4<f32> {
    return x * normal(x);
}

// x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))) / 2, where (1 + tanh(u)) / 2 is sigmoid(2 * u).
fn gelu_tanh(x: vec4<f32>) -> vec4<f32> {
    return x * sigmoid(1.59576912 * (x + 0.044715 * x * x * x));
}

// Near 0 by a series, since 1 - exp(-2 * |x|) would lose its digits there.
fn hyperbolic_tangent(x: vec4<f32>) -> vec4<f32> {
    let square = x * x;
    var series = vec4<f32>(-5.70498872745e-3);
    series = series * square + 2.06390887954e-2;
    series = series * square - 5.37397155531e-2;
    series = series * square + 1.33314422036e-1;
    series = series * square - 3.33332819422e-1;
    let e = exponential(-2.0 * abs(x));
    let far = (1.0 - e) / (1.0 + e);
    return select(select(far, -far, x < vec4<f32>()), x + x * square * series, abs(x) < vec4<f32>(0.625));
}

// By ACTIVATION. `slopes` are leaky_relu's negative_slope, or prelu's weights.
fn activated(bits: vec4<u32>, slopes: vec4<f32>) -> vec4<u32> {
    let x = bitcast<vec4<f32>>(bits);
    var y = x;
    switch ACTIVATION {
        case RELU: { return relu(bits); }
        case RELU6: { return relu6(bits); }
        case LEAKY_RELU: { y = leaky_relu(x, slopes); }
        case HARDSWISH: { y = hardswish(x); }
        case SILU: { y = x * sigmoid(x); }
        case GELU: { y = gelu(x); }
        case GELU_TANH: { y = gelu_tanh(x); }
        case TANH: { y = hyperbolic_tangent(x); }
        case SIGMOID: { y = sigmoid(x); }
        default: { return bits; }
    }
    var result = select(bitcast<vec4<u32>>(y), bits, is_each_nan(x));
    if (ACTIVATION >= HARDSWISH && ACTIVATION <= GELU_TANH) {
        // -infinity times 0.
        let nan = bitcast<u32>(not_a_number());
        result = select(result, vec4<u32>(nan), bits == vec4<u32>(NEGATIVE_INFINITY));
    }
    return result;
}
