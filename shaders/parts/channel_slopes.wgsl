// A slope for each channel.

@group(0) @binding(3) var<storage, read> weight: array<f32>;           // [channels]

// Those of 4 elements from `index` on.
fn slopes_at(index: u32) -> vec4<f32> {
    if (params.inner % 4u == 0u || params.channels == 1u) {
        return vec4<f32>(weight[index / params.inner % params.channels]);
    }
    let channels = (index + vec4<u32>(0u, 1u, 2u, 3u)) / params.inner % params.channels;
    return vec4<f32>(weight[channels.x], weight[channels.y], weight[channels.z], weight[channels.w]);
}
