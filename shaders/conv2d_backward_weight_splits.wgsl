// parts: weight_gradient, pairs
// Adds the splits of a weight's gradient: see parts/weight_gradient.wgsl. One invocation computes one element, in pairs,
// in the splits' order.

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(4) var<storage, read_write> workspace: array<f32>;  // [splits, count]

@compute @workgroup_size(WORKGROUP_SIZE)
fn add_splits(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = i32((workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane);
    var total = vec2<f32>();
    // Not by the uniform alone: Mesa would unroll the loop by its value, and compile again for every dispatch.
    for (var split = 0; split < select(0, params.splits, index < params.count); split++) {
        total = add(total, workspace[i32(params.workspace_base) + split * params.count + index]);
    }
    if (index < params.count) {
        var sum = rounded(total);
        if (params.adds != 0u) {
            sum += sums[index];
        }
        sums[index] = sum;
    }
}
