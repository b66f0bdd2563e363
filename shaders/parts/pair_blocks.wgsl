// parts: pairs
// Pairs of blocks: 4 pairs of f32 at once (see pairs.wgsl).

// 4 values, and what their rounding lost.
struct Pairs {
    values: vec4<f32>,
    lost: vec4<f32>,
}

// Each sum + its term, with what the rounding lost added to its pair.
fn add_to_each(sums: Pairs, terms: vec4<f32>) -> Pairs {
    let total = hidden_block(sums.values + terms);
    let is_larger = abs(sums.values) >= abs(terms);
    let larger = select(terms, sums.values, is_larger);
    let smaller = select(sums.values, terms, is_larger);
    return Pairs(total, sums.lost + (smaller - (total - larger)));
}

// a - b of each, as pairs.
fn subtract_each(a: vec4<f32>, b: vec4<f32>) -> Pairs {
    let difference = hidden_block(a - b);
    return Pairs(difference, select(a - (difference + b), (a - difference) - b, abs(a) >= abs(b)));
}

// The sum of all 4.
fn sum_of_all(sums: Pairs) -> vec2<f32> {
    return add_pair(
        add_pair(vec2<f32>(sums.values.x, sums.lost.x), vec2<f32>(sums.values.y, sums.lost.y)),
        add_pair(vec2<f32>(sums.values.z, sums.lost.z), vec2<f32>(sums.values.w, sums.lost.w)),
    );
}
