// The output of an operator on rows of scores that are made of blocks of 4, as classes_in_blocks reads them.

@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;

fn store_results(row: Row, step: u32, results: vec4<f32>) {
    let block = step * LANES + row.lane;
    if (block * 4u < params.classes) {
        output[(params.output_base + row.begin - params.input_base) / 4u + block] = results;
    }
}
