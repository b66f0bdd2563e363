// parts: bits
// Sums and products as pairs of f32: a value, and what its rounding lost. A pair has about twice the digits of f32.
// `params` has a hidden_zero, which is always 0.

// Keeps a value as it is computed: compilers that reassociate sums cannot see that hidden_zero is 0.
fn hidden(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.hidden_zero);
}

fn hidden_block(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(params.hidden_zero));
}

// sum + value, with what the rounding lost added to .y.
fn add(sum: vec2<f32>, value: f32) -> vec2<f32> {
    let total = hidden(sum.x + value);
    let is_larger = abs(sum.x) >= abs(value);
    let larger = select(value, sum.x, is_larger);
    let smaller = select(sum.x, value, is_larger);
    return vec2<f32>(total, sum.y + (smaller - (total - larger)));
}

fn add_pair(sum: vec2<f32>, other: vec2<f32>) -> vec2<f32> {
    let total = add(sum, other.x);
    return vec2<f32>(total.x, total.y + other.y);
}

// The pair as one f32. If it is infinite, what rounding lost is NaN.
fn rounded(sum: vec2<f32>) -> f32 {
    if (!is_finite(sum.x)) {
        return sum.x;
    }
    return sum.x + sum.y;
}

// a - b as a pair.
fn subtract(a: f32, b: f32) -> vec2<f32> {
    let difference = hidden(a - b);
    let lost = select(a - (difference + b), (a - difference) - b, abs(a) >= abs(b));
    return vec2<f32>(difference, lost);
}

// The upper 12 bits, whose products are exact.
fn upper(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

// a * b as a pair.
fn multiply(a: f32, b: f32) -> vec2<f32> {
    let product = hidden(a * b);
    let a_upper = upper(a);
    let b_upper = upper(b);
    let a_lower = a - a_upper;
    let b_lower = b - b_upper;
    let lost = ((a_upper * b_upper - product) + a_upper * b_lower + a_lower * b_upper) + a_lower * b_lower;
    return vec2<f32>(product, lost);
}

// The product of two pairs, as a pair.
fn product(a: vec2<f32>, b: vec2<f32>) -> vec2<f32> {
    let once = multiply(a.x, b.x);
    return vec2<f32>(once.x, once.y + (a.x * b.y + a.y * b.x));
}

// A pair divided by a number, as a pair.
fn divide(a: vec2<f32>, b: f32) -> vec2<f32> {
    let quotient = hidden(rounded(a) / b);
    let back = multiply(quotient, b);
    return vec2<f32>(quotient, ((a.x - back.x) + (a.y - back.y)) / b);
}
