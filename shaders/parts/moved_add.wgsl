// The output of what moves elements, which are added to what it holds.

@group(0) @binding(2) var<storage, read_write> output: array<f32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<f32>>;

fn store(at: u32, value: u32) {
    output[at] += bitcast<f32>(value);
}

fn store_block(at: u32, values: vec4<u32>) {
    output_blocks[at] += bitcast<vec4<f32>>(values);
}
