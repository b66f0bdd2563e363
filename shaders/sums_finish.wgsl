// parts: sums
// The second pass of sums.wgsl: target[c] = factor * sum over the partial sums of channel c. OWN invocations share those of a
// channel, and add theirs as a tree.

override OWN: u32 = 64u;

@group(0) @binding(4) var<storage, read_write> partials: array<f32>;        // pairs, [channels, lanes] or [lanes, channels]

var<workgroup> lane_sums: array<vec2<f32>, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let channel = (workgroup.y * grid.x + workgroup.x) * (WORKGROUP_SIZE / OWN) + lane / OWN;
    let first = lane % OWN;
    var sum: vec2<f32>;
    for (var own = first; own < select(0u, params.lanes, channel < params.channels); own += OWN) {
        let at = partial_at(channel, own);
        sum = add_pair(sum, vec2<f32>(partials[at], partials[at + 1u]));
    }
    if (OWN > 1u) {
        lane_sums[lane] = sum;
        workgroupBarrier();
        for (var width = OWN / 2u; width > 0u; width /= 2u) {
            if (first < width) {
                lane_sums[lane] = add_pair(lane_sums[lane], lane_sums[lane + width]);
            }
            workgroupBarrier();
        }
        sum = lane_sums[lane];
    }
    if (first == 0u && channel < params.channels) {
        write_target(channel, sum);
    }
}
