// A second operand that is the same as the first, where the output replaces both.

fn other_element(at: u32) -> u32 {
    return output[at];
}

fn other_splat(at: u32) -> vec4<u32> {
    return vec4<u32>(output_blocks[at / 4u][at % 4u]);
}

fn other_block(at: u32) -> vec4<u32> {
    return output_blocks[at];
}
