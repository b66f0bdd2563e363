// An input that the output replaces in the same buffer.

fn input_element(at: u32) -> u32 {
    return output[at];
}

fn input_block(at: u32) -> vec4<u32> {
    return output_blocks[at];
}
