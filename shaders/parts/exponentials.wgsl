// parts: bits, pairs, exp
// What a softmax needs of some numbers: the largest, and the sum of the exponentials of the others. Two of these can be
// merged.

// The largest of some numbers x (negative infinity if there are none), and the sum of exp(x - center) over all others,
// as a pair. The center is one of the numbers, or the lowest float if there are none.
struct Exponentials {
    largest: f32,
    center: f32,
    others: vec2<f32>,
}

// In hexadecimal: browsers refuse a decimal that is larger than the largest float by any digit.
const LOWEST: f32 = -0x1.fffffep+127f;
// How far a number may lie above the center before the center moves. Moving is rare, since it rounds the sum.
const REACH: f32 = 16.0;

fn merge(a: Exponentials, b: Exponentials) -> Exponentials {
    let largest = max(a.largest, b.largest);
    // The smaller of the two largest is one of the others now.
    let center = max(largest, LOWEST);
    let below = vec4<f32>(a.center, b.center, min(a.largest, b.largest), center) - center;
    let factors = exponential(below);
    var others = add_pair(a.others * factors.x, b.others * factors.y);
    others = add(others, factors.z);
    return Exponentials(largest, center, others);
}
