// parts: divide
// The terms of sums over channels, of an array of 4 dimensions that is the source with these in another order.
// params.walk_lengths has their lengths, innermost last, and params.walk_strides the distance of one step along each in the
// source.

@group(0) @binding(1) var<storage, read> source: array<f32>;

fn term(index: u32) -> f32 {
    let rest_2 = divided(index, params.walk_lengths.w);
    let rest_1 = divided(rest_2, params.walk_lengths.z);
    let at_0 = divided(rest_1, params.walk_lengths.y);
    let at = params.walk_strides * vec4<u32>(
        at_0,
        rest_1 - at_0 * params.walk_lengths.y,
        rest_2 - rest_1 * params.walk_lengths.z,
        index - rest_2 * params.walk_lengths.w,
    );
    return source[at.x + at.y + at.z + at.w];
}

fn block_of_terms(block: u32) -> vec4<f32> {
    return vec4<f32>(term(4u * block), term(4u * block + 1u), term(4u * block + 2u), term(4u * block + 3u));
}
