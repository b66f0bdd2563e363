// The gradient of rows of scores, and what is given for each score, in blocks of 4, as classes_in_blocks reads scores. Params
// has `adds`, whether the gradient is added to what is there.

@group(0) @binding(2) var<storage, read> given: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> gradient: array<vec4<f32>>;

fn given_at(at: u32) -> f32 {
    return given[at / 4u][at % 4u];
}

// What is given for the classes of a step. Past the last class, 0.
fn load_given(row: Row, step: u32) -> vec4<f32> {
    let block = step * LANES + row.lane;
    let is_inside = block * 4u < params.classes;
    return select(vec4<f32>(), given[row.begin / 4u + select(0u, block, is_inside)], is_inside);
}

fn store_gradients(row: Row, step: u32, gradients: vec4<f32>) {
    let block = step * LANES + row.lane;
    if (block * 4u < params.classes) {
        let at = row.begin / 4u + block;
        if (is_set(params.adds)) {
            gradient[at] += gradients;
        } else {
            gradient[at] = gradients;
        }
    }
}
