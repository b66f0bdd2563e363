// The bias of a convolution.

@group(0) @binding(3) var<storage, read> bias: array<f32>;             // [groups * out_channels]; anything without has_bias

// What the sums of an output channel of all groups begin with.
fn bias_of(channel: i32) -> f32 {
    if (params.has_bias == 0u) {
        return 0.0;
    }
    return bias[channel];
}
