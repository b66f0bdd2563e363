// parts: linear_store, linear_blocks|linear_elements, no_epilogue|epilogue
// linear of few rows, as products of a matrix and vectors, for GPUs: a workgroup computes a feature of up to ROWS rows. Its
// invocations share the row of the weight, which is loaded once, and add their sums as a tree.

override WORKGROUP_SIZE: u32 = 64u;

// The most rows.
const ROWS: u32 = 8u;

var<workgroup> row_sums: array<f32, ROWS * WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn vectors(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let feature = workgroup.y * grid.x + workgroup.x;
    let is_feature = feature < params.features;
    var sums: array<vec4<f32>, ROWS>;
    for (var block = lane; block < select(0u, params.block_end, is_feature); block += WORKGROUP_SIZE) {
        let w = weight_block(feature, block);
        for (var row = 0u; row < params.rows; row++) {
            sums[row] += w * input_block(row, block);
        }
    }
    for (var row = 0u; row < ROWS; row++) {
        row_sums[row * WORKGROUP_SIZE + lane] = (sums[row].x + sums[row].y) + (sums[row].z + sums[row].w);
    }
    workgroupBarrier();
    for (var width = WORKGROUP_SIZE / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            for (var row = 0u; row < ROWS; row++) {
                row_sums[row * WORKGROUP_SIZE + lane] += row_sums[row * WORKGROUP_SIZE + lane + width];
            }
        }
        workgroupBarrier();
    }
    if (lane < params.rows && is_feature) {
        store(lane, feature, row_sums[lane * WORKGROUP_SIZE]);
    }
}
