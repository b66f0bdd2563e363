// parts: linear_columns_in_blocks|linear_columns, linear_steps_in_blocks|linear_steps|linear_steps_subgroup
// The gradients of linear are products of matrices: result[m, k] = sum over the steps s of a[m, s] * b[s, k].
//     grad_input[r, k]  = sum over n of grad_output[r, n] * weight[n, k]
//     grad_weight[n, k] = sum over r of grad_output[r, n] * input[r, k]
//
// One invocation computes ROWS rows of a block of 4 columns: it loads a block of b once for all of them. A workgroup has
// neighbouring blocks of the same rows, so that loads of a are alike in all its invocations. It takes 4 steps at once. Sums of
// very many steps are those of chunks, added.
//
// Splits share the steps: each writes its sums to the workspace, and `add_splits` adds them in their order. What is too long
// for a loop is cut into ranges of steps, one dispatch each.

struct Params {
    rows: u32,
    columns: u32,
    // The range of steps of this dispatch, and of each split.
    begin: u32,
    end: u32,
    steps_per_split: u32,
    splits: u32,
    // The distance in a of one row and of one step. One of them is 1.
    a_row: u32,
    a_step: u32,
    // Where the matrices begin in their bindings, in elements; with splits, the workspace for the result.
    a_base: u32,
    b_base: u32,
    result_base: u32,
    workspace_base: u32,
    // Whether sums are added to what is there.
    adds: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
// 1, 2, 4, 8 or 16.
override ROWS: u32 = 16u;
// The steps of a chunk, a multiple of 4.
override CHUNK: u32 = 256u;
// Whether there may be more than one.
override HAS_CHUNKS: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;

// 4 rows of a block.
struct Quad {
    row_0: vec4<f32>,
    row_1: vec4<f32>,
    row_2: vec4<f32>,
    row_3: vec4<f32>,
}

// One row of a block, of 4 steps.
fn product_of(steps: vec4<f32>, b: mat4x4<f32>) -> vec4<f32> {
    return (steps.x * b[0] + steps.y * b[1]) + (steps.z * b[2] + steps.w * b[3]);
}

fn add_products(sums: ptr<function, Quad>, lane: Lane, row: u32, step: u32, b: mat4x4<f32>) {
    let quad = a_quad(lane, row, step);
    (*sums).row_0 += product_of(quad[0], b);
    if (ROWS > 1u) {
        (*sums).row_1 += product_of(quad[1], b);
    }
    if (ROWS > 2u) {
        (*sums).row_2 += product_of(quad[2], b);
        (*sums).row_3 += product_of(quad[3], b);
    }
}

// The same of one step.
fn add_step(sums: ptr<function, Quad>, row: u32, step: u32, b: vec4<f32>) {
    (*sums).row_0 += a_of(row, step) * b;
    if (ROWS > 1u) {
        (*sums).row_1 += a_of(row + 1u, step) * b;
    }
    if (ROWS > 2u) {
        (*sums).row_2 += a_of(row + 2u, step) * b;
        (*sums).row_3 += a_of(row + 3u, step) * b;
    }
}

fn add_quad(totals: ptr<function, Quad>, sums: Quad) {
    (*totals).row_0 += sums.row_0;
    (*totals).row_1 += sums.row_1;
    (*totals).row_2 += sums.row_2;
    (*totals).row_3 += sums.row_3;
}

fn store_quad(totals: Quad, row: u32, block: u32, split: u32) {
    store(row, block, split, totals.row_0);
    if (ROWS > 1u) {
        store(row + 1u, block, split, totals.row_1);
    }
    if (ROWS > 2u) {
        store(row + 2u, block, split, totals.row_2);
        store(row + 3u, block, split, totals.row_3);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn products(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    lane: Lane,
) {
    let blocks = (params.columns + 3u) / 4u;
    let groups = (blocks + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
    let tiles = (params.rows + ROWS - 1u) / ROWS;
    let number = workgroup.y * grid.x + workgroup.x;
    let wanted_block = number % groups * WORKGROUP_SIZE + lane.index;
    // All invocations go on: they may share loads.
    let block = min(wanted_block, blocks - 1u);
    let row = number / groups % tiles * ROWS;
    let split = number / groups / tiles;
    if (split >= params.splits) {
        return;
    }
    let begin = params.begin + split * params.steps_per_split;
    let end = min(begin + params.steps_per_split, params.end);
    var totals_0: Quad;
    var totals_4: Quad;
    var totals_8: Quad;
    var totals_12: Quad;
    var chunk = begin;
    loop {
        var sums_0: Quad;
        var sums_4: Quad;
        var sums_8: Quad;
        var sums_12: Quad;
        let chunk_end = select(end, min(chunk + CHUNK, end), HAS_CHUNKS != 0u);
        var step = chunk;
        for (; step + 4u <= chunk_end; step += 4u) {
            let b = mat4x4<f32>(b_block(step, block), b_block(step + 1u, block), b_block(step + 2u, block), b_block(step + 3u, block));
            add_products(&sums_0, lane, row, step, b);
            if (ROWS > 4u) {
                add_products(&sums_4, lane, row + 4u, step, b);
            }
            if (ROWS > 8u) {
                add_products(&sums_8, lane, row + 8u, step, b);
                add_products(&sums_12, lane, row + 12u, step, b);
            }
        }
        for (; step < chunk_end; step++) {
            let b = b_block(step, block);
            add_step(&sums_0, row, step, b);
            if (ROWS > 4u) {
                add_step(&sums_4, row + 4u, step, b);
            }
            if (ROWS > 8u) {
                add_step(&sums_8, row + 8u, step, b);
                add_step(&sums_12, row + 12u, step, b);
            }
        }
        add_quad(&totals_0, sums_0);
        if (ROWS > 4u) {
            add_quad(&totals_4, sums_4);
        }
        if (ROWS > 8u) {
            add_quad(&totals_8, sums_8);
            add_quad(&totals_12, sums_12);
        }
        chunk = chunk_end;
        if (HAS_CHUNKS == 0u || chunk >= end) {
            break;
        }
    }
    if (wanted_block >= blocks) {
        return;
    }
    store_quad(totals_0, row, block, split);
    if (ROWS > 4u) {
        store_quad(totals_4, row + 4u, block, split);
    }
    if (ROWS > 8u) {
        store_quad(totals_8, row + 8u, block, split);
        store_quad(totals_12, row + 12u, block, split);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn add_splits(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    add_splits_of(index);
}
