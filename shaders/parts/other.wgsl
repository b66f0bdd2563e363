// A second operand in a buffer of its own, by its bits.

@group(0) @binding(3) var<storage, read> other: array<u32>;
@group(0) @binding(3) var<storage, read> other_blocks: array<vec4<u32>>;

fn other_element(at: u32) -> u32 {
    return other[at];
}

// One element for a block.
fn other_splat(at: u32) -> vec4<u32> {
    return vec4<u32>(other[at]);
}

fn other_block(at: u32) -> vec4<u32> {
    return other_blocks[at];
}
