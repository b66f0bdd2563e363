// parts: divide
// Where areas begin and end along an axis: as many parts of a length, whose ends are rounded outwards.

// a * b / parts for a and b up to parts, and the rest. A product of large numbers has more than 32 bits, so it is divided bit
// by bit.
fn divided_product(a: u32, b: u32, parts: u32) -> vec2<u32> {
    // Below the root of 2^31.
    if (parts <= 46340u) {
        let quotient = divided(a * b, parts);
        return vec2<u32>(quotient, a * b - quotient * parts);
    }
    var quotient = 0u;
    var rest = 0u;
    for (var bit = 30u; bit > 0u; bit--) {
        quotient *= 2u;
        rest *= 2u;
        if (rest >= parts) {
            rest -= parts;
            quotient++;
        }
        if (((a >> (bit - 1u)) & 1u) == 1u) {
            rest += b;
        }
        if (rest >= parts) {
            rest -= parts;
            quotient++;
        }
    }
    return vec2<u32>(quotient, rest);
}

// floor(index * length / parts), and the rest of that division
fn begin_and_rest(index: u32, length: u32, parts: u32) -> vec2<u32> {
    let whole = divided(length, parts);
    let divided = divided_product(index, length - whole * parts, parts);
    return vec2<u32>(index * whole + divided.x, divided.y);
}

// floor(index * length / parts)
fn begin_of(index: u32, length: u32, parts: u32) -> u32 {
    return begin_and_rest(index, length, parts).x;
}

// ceil((index + 1) * length / parts)
fn end_of(index: u32, length: u32, parts: u32) -> u32 {
    let begin_of_next = begin_and_rest(index + 1u, length, parts);
    return begin_of_next.x + select(0u, 1u, begin_of_next.y > 0u);
}
