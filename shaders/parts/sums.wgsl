// parts: pairs
// What the kernels of sums over channels share: see sums.wgsl.

struct Params {
    // See parts/walk_terms.wgsl.
    walk_lengths: vec4<u32>,
    walk_strides: vec4<u32>,
    channels: u32,
    // Of a channel in all, and for one index of outer, in elements or blocks; for columns the rows, and 1.
    count: u32,
    inner: u32,
    lanes: u32,
    // lanes = step_outer * inner + step_inner.
    step_outer: u32,
    step_inner: u32,
    // Where the source begins in its binding, in elements or blocks.
    source_base: u32,
    target_base: u32,
    workspace_base: u32,
    // The distance between partial sums of neighbouring channels, and of neighbouring lanes.
    partial_channel: u32,
    partial_lane: u32,
    // Whether sums are added to what is there.
    adds: u32,
    factor: f32,
    hidden_zero: u32,       // always 0
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> results: array<f32>;         // target, or partial sums

// Where the partial sum of a channel and a lane is, a pair.
fn partial_at(channel: u32, lane: u32) -> u32 {
    return params.workspace_base + 2u * (channel * params.partial_channel + lane * params.partial_lane);
}

fn write_target(channel: u32, sum: vec2<f32>) {
    let at = params.target_base + channel;
    var total = params.factor * rounded(sum);
    if (params.adds != 0u) {
        total += results[at];
    }
    results[at] = total;
}
