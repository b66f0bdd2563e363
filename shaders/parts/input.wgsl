// An input in a buffer of its own, by its bits.

@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<u32>>;

fn input_element(at: u32) -> u32 {
    return input[at];
}

fn input_block(at: u32) -> vec4<u32> {
    return input_blocks[at];
}
