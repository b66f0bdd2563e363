// parts: divide
// A slope for each channel.

@group(0) @binding(3) var<storage, read> weight: array<f32>;           // [channels]

fn slope_of(index: u32) -> f32 {
    let plane = divided(index, params.inner);
    return weight[plane - divided(plane, params.channels) * params.channels];
}

// Those of 4 elements from `index` on.
fn slopes_at(index: u32) -> vec4<f32> {
    if (params.inner % 4u == 0u || params.channels == 1u) {
        return vec4<f32>(slope_of(index));
    }
    return vec4<f32>(slope_of(index), slope_of(index + 1u), slope_of(index + 2u), slope_of(index + 3u));
}
