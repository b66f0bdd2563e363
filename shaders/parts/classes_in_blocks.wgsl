// Scores of rows that are contiguous and, with input_base, made of blocks of 4.

@group(0) @binding(1) var<storage, read> input: array<vec4<f32>>;

fn input_at(at: u32) -> f32 {
    return input[at / 4u][at % 4u];
}

// The 4 classes of a step, next to each other. All may be past the last.
fn classes_of(row: Row, step: u32) -> vec4<u32> {
    return (step * LANES + row.lane) * 4u + vec4<u32>(0u, 1u, 2u, 3u);
}

// Their scores. Past the last class, negative infinity, which adds nothing.
fn load_classes(row: Row, step: u32) -> vec4<f32> {
    let block = step * LANES + row.lane;
    let is_inside = block * 4u < params.classes;
    let bits = bitcast<vec4<u32>>(input[row.begin / 4u + select(0u, block, is_inside)]);
    return bitcast<vec4<f32>>(select(vec4<u32>(NEGATIVE_INFINITY), bits, is_inside));
}
