// The matrix a of the products in linear_backward.wgsl, as in parts/linear_steps_in_blocks.wgsl, where the invocations of a
// subgroup share loads: each loads one of 4 blocks, and all read it from there. On adapters that run on a CPU a load takes as
// long as 50 broadcasts. All invocations of a workgroup must call a_quad with the same place.

@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;

struct Lane {
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) subgroup_id: u32,
}

// 4 rows, which are columns here, and 4 steps. Rows past the last are like the last, and what is computed of them is not
// stored.
fn a_quad(lane: Lane, row: u32, step: u32) -> mat4x4<f32> {
    let own = lane.subgroup_id & 3u;
    let last = params.rows - 1u;
    let has_rows = params.a_row == 1u;
    let of_rows = (step + own) * params.a_step + min(row, last & ~3u);
    let of_steps = step + min(row + own, last) * params.a_row;
    let block = a[(params.a_base + select(of_steps, of_rows, has_rows)) / 4u];
    let blocks = mat4x4<f32>(
        subgroupBroadcast(block, 0u),
        subgroupBroadcast(block, 1u),
        subgroupBroadcast(block, 2u),
        subgroupBroadcast(block, 3u),
    );
    if (has_rows) {
        return transpose(blocks);
    }
    return blocks;
}

fn a_of(row: u32, step: u32) -> f32 {
    let at = params.a_base + min(row, params.rows - 1u) * params.a_row + step * params.a_step;
    return a[at / 4u][at % 4u];
}
