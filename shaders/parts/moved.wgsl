// The output of what moves elements: it is written. Elements are bits, so that drivers leave NaN as it is.

@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<u32>>;

fn store(at: u32, value: u32) {
    output[at] = value;
}

fn store_block(at: u32, values: vec4<u32>) {
    output_blocks[at] = values;
}
