// The output of an operator on rows of scores, one by one, as classes reads them.

@group(0) @binding(2) var<storage, read_write> output: array<f32>;

fn store_results(row: Row, step: u32, results: vec4<f32>) {
    let classes = step * LANES * 4u + row.lane + vec4<u32>(0u, 1u, 2u, 3u) * LANES;
    let at = params.output_base + row.begin - params.input_base + classes * params.inner;
    if (classes.x < params.classes) { output[at.x] = results.x; }
    if (classes.y < params.classes) { output[at.y] = results.y; }
    if (classes.z < params.classes) { output[at.z] = results.z; }
    if (classes.w < params.classes) { output[at.w] = results.w; }
}
