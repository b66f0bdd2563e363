// Division of numbers below 2^31, by floats: software adapters divide integers lane by lane, and GPUs in many steps.

// n / d, rounded down. The first quotient is off by some 2^-22 of itself, the second by 1 at most. Signed numbers are
// converted in one step.
fn divided(n: u32, d: u32) -> u32 {
    let reciprocal = 1.0 / f32(i32(d));
    let first = i32(f32(i32(n)) * reciprocal);
    let rest = i32(n) - first * i32(d);
    let second = first + i32(floor(f32(rest) * reciprocal));
    let left = i32(n) - second * i32(d);
    return u32(second - select(0, 1, left < 0) + select(0, 1, left >= i32(d)));
}
