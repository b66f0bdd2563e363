// parts: class_counts
// What the gradients of cross_entropy need beside input and target, in a workspace: see parts/class_counts.wgsl. `weights`
// copies the classes' weights and adds them up, in one workgroup. Without a reduction `row_factors` copies grad_output, one
// row an invocation.

@compute @workgroup_size(WORKGROUP_SIZE)
fn weights(@builtin(local_invocation_index) lane: u32) {
    var sum = vec2<f32>();
    for (var class_index = lane; class_index < params.classes; class_index += WORKGROUP_SIZE) {
        let w = weight[class_index];
        workspace[params.weights + class_index] = w;
        sum = add(sum, w);
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u) {
        workspace[params.factor + 1u] = sum.x;
        workspace[params.factor + 2u] = sum.y;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn row_factors(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (row < params.rows) {
        workspace[params.row_factors + row] = grad_output[params.grad_output_base + row];
    }
}
