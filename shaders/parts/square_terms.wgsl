// The terms of sums over channels: the squares of an array's elements.

@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(1) var<storage, read> source_blocks: array<vec4<f32>>;

fn term(at: u32) -> f32 {
    let x = source[at];
    return x * x;
}

fn block_of_terms(at: u32) -> vec4<f32> {
    let x = source_blocks[at];
    return x * x;
}
