// Additions in memory by wgpu's feature SHADER_FLOAT32_ATOMIC: one instruction, where parts/exchanged_add.wgsl loops.

@group(0) @binding(4) var<storage, read_write> output: array<atomic<f32>>;     // [batch, groups * out_channels, out_rows, out_cols]

fn add_to_output(index: i32, value: f32) {
    atomicAdd(&output[index], value);
}

fn store_to_output(index: u32, value: f32) {
    atomicStore(&output[index], value);
}
