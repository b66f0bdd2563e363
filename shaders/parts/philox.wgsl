// Philox4x32-10, a generator of random bits by a counter: J. Salmon and others, "Parallel Random Numbers: As Easy as 1, 2, 3",
// 2011, https://doi.org/10.1145/2063384.2063405.

// The upper and the lower 32 bits of a product. What is added up stays below 2^32.
fn wide_product(a: u32, b: u32) -> vec2<u32> {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let middle = a_high * b_low + ((a_low * b_low) >> 16u);
    let middle_low = a_low * b_high + (middle & 0xffffu);
    return vec2<u32>(a_high * b_high + (middle >> 16u) + (middle_low >> 16u), a * b);
}

// The 128 random bits of a counter.
fn philox(first_counter: vec4<u32>, first_key: vec2<u32>) -> vec4<u32> {
    var counter = first_counter;
    var key = first_key;
    for (var round = 0u; round < 10u; round++) {
        let a = wide_product(0xd2511f53u, counter.x);
        let b = wide_product(0xcd9e8d57u, counter.z);
        counter = vec4<u32>(b.x ^ counter.y ^ key.x, b.y, a.x ^ counter.w ^ key.y, a.y);
        key += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return counter;
}

// a + b, of 64 bits as (low, high).
fn add_64(a: vec2<u32>, b: u32) -> vec2<u32> {
    let low = a.x + b;
    return vec2<u32>(low, a.y + select(0u, 1u, low < b));
}
