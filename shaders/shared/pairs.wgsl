// Sums and products as pairs of f32: a value, and what its rounding lost. Good to about twice the digits. `params` has a
// hidden_zero, which is always 0.

// What goes through here stays as it is computed: compilers that reassociate sums cannot see that hidden_zero is 0.
fn hidden(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.hidden_zero);
}

// sum + value, with what the rounding loses added to .y.
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

// The pair as one f32. Where it is infinite what was lost is not a number.
fn rounded(sum: vec2<f32>) -> f32 {
    if ((bitcast<u32>(sum.x) & 0x7f800000u) == 0x7f800000u) {
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
