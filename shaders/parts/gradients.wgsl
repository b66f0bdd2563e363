// The gradient of rows of scores, and what is given for each score, one by one, as classes reads scores. Params has `adds`,
// whether the gradient is added to what is there.

@group(0) @binding(2) var<storage, read> given: array<f32>;
@group(0) @binding(3) var<storage, read_write> gradient: array<f32>;

fn given_at(at: u32) -> f32 {
    return given[at];
}

// What is given for the classes of a step. Past the last class, 0.
fn load_given(row: Row, step: u32) -> vec4<f32> {
    let classes = classes_of(row, step);
    let is_inside = classes < vec4<u32>(params.classes);
    let at = row.begin + select(vec4<u32>(), classes, is_inside) * params.inner;
    return select(vec4<f32>(), vec4<f32>(given[at.x], given[at.y], given[at.z], given[at.w]), is_inside);
}

fn store_gradient(at: u32, value: f32) {
    if (is_set(params.adds)) {
        gradient[at] += value;
    } else {
        gradient[at] = value;
    }
}

fn store_gradients(row: Row, step: u32, gradients: vec4<f32>) {
    let classes = classes_of(row, step);
    let at = row.begin + classes * params.inner;
    if (classes.x < params.classes) { store_gradient(at.x, gradients.x); }
    if (classes.y < params.classes) { store_gradient(at.y, gradients.y); }
    if (classes.z < params.classes) { store_gradient(at.z, gradients.z); }
    if (classes.w < params.classes) { store_gradient(at.w, gradients.w); }
}
