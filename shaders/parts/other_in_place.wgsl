// A second operand that is the same as the first, where the output replaces both.

fn other_element(at: u32) -> u32 {
    return output[at];
}

fn other_block(at: u32) -> vec4<u32> {
    return output_blocks[at];
}
