// batch_norm by the running statistics, in one dispatch and without a workspace:
//     output[n,c,s] = (input[n,c,s] - running_mean[c]) / sqrt(running_var[c] + eps) * weight[c] + bias[c]
//
//   normalize_blocks    PLANE_ITEMS blocks of 4 elements of a plane an invocation, so that a workgroup has one channel;
//   normalize_planes    or, where planes are not in blocks, PLANE_ITEMS elements;
//   normalize_elements  or, where planes are small, one element an invocation

fn terms_of(channel: u32) -> Terms {
    return affine_terms(running_terms_of(channel), channel);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.total) {
        normalize_element(index, terms_of(index / params.inner % params.channels));
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_planes(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner, params.total);
    normalize_part(part, terms_of(part.channel));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn normalize_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = plane_part(workgroup.y * grid.x + workgroup.x, lane, params.inner / 4u, params.total / 4u);
    normalize_part_in_blocks(part, terms_of(part.channel));
}
