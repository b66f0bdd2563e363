// Scores of rows, one by one.

@group(0) @binding(1) var<storage, read> input: array<f32>;

fn input_at(at: u32) -> f32 {
    return input[at];
}

// The 4 classes of a step, LANES apart. Some may be past the last.
fn classes_of(row: Row, step: u32) -> vec4<u32> {
    return step * LANES * 4u + row.lane + vec4<u32>(0u, 1u, 2u, 3u) * LANES;
}

// Their scores. Past the last class, negative infinity, which adds nothing.
fn load_classes(row: Row, step: u32) -> vec4<f32> {
    let classes = classes_of(row, step);
    let is_inside = classes < vec4<u32>(params.classes);
    let at = row.begin + select(vec4<u32>(), classes, is_inside) * params.inner;
    let bits = bitcast<vec4<u32>>(vec4<f32>(input[at.x], input[at.y], input[at.z], input[at.w]));
    return bitcast<vec4<f32>>(select(vec4<u32>(NEGATIVE_INFINITY), bits, is_inside));
}
