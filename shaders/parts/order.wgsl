// parts: bits
// Floats, given by their bits, in the order of integers.

fn is_nan_of(bits: u32) -> bool {
    return (bits & MAGNITUDE) > INFINITY;
}

// Integers in the order of the floats; both zeros give 0.
fn ordered(bits: u32) -> i32 {
    let magnitude = i32(bits & MAGNITUDE);
    return select(magnitude, -magnitude, bits > MAGNITUDE);
}
