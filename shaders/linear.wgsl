// parts: linear_store, linear_blocks|linear_elements, no_epilogue|epilogue
// linear: output[r, n] = sum over k of weight[n, k] * input[r, k] + bias.
//
// One invocation computes ROWS rows of a feature: it loads a block of the weight once for all of them. A workgroup has
// neighbouring features and the same rows, so that loads of the input are alike in all its invocations.
//
// A sum of very many products is cut into ranges of k, one dispatch each, of which all but the first continue from the sum
// in output.

override WORKGROUP_SIZE: u32 = 64u;
// 1, 2, 4, 8 or 16.
override ROWS: u32 = 16u;

struct Rows {
    first: u32,
    last: u32,
}

// Rows past the last are computed like the last, and not stored.
fn input_of(rows: Rows, row: u32, block: u32) -> vec4<f32> {
    return input_block(min(rows.first + row, rows.last), block);
}

// One sum for a block: fewer roundings, and fewer registers, than with a sum for each of its elements.
fn product_of(w: vec4<f32>, x: vec4<f32>) -> f32 {
    return (w.x * x.x + w.y * x.y) + (w.z * x.z + w.w * x.w);
}

fn store_row(rows: Rows, row: u32, feature: u32, sum: f32) {
    if (rows.first + row <= rows.last) {
        store(rows.first + row, feature, sum);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn features(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let groups = (params.features + WORKGROUP_SIZE - 1u) / WORKGROUP_SIZE;
    let number = workgroup.y * grid.x + workgroup.x;
    let rows = Rows(number / groups * ROWS, params.rows - 1u);
    let feature = number % groups * WORKGROUP_SIZE + lane;
    if (rows.first > rows.last || feature >= params.features) {
        return;
    }
    // No index may be a variable, or the sums leave the registers.
    var sums: array<f32, 16>;
    for (var block = params.block_begin; block < params.block_end; block++) {
        let w = weight_block(feature, block);
        sums[0] += product_of(w, input_of(rows, 0u, block));
        if (ROWS > 1u) {
            sums[1] += product_of(w, input_of(rows, 1u, block));
        }
        if (ROWS > 2u) {
            sums[2] += product_of(w, input_of(rows, 2u, block));
            sums[3] += product_of(w, input_of(rows, 3u, block));
        }
        if (ROWS > 4u) {
            sums[4] += product_of(w, input_of(rows, 4u, block));
            sums[5] += product_of(w, input_of(rows, 5u, block));
            sums[6] += product_of(w, input_of(rows, 6u, block));
            sums[7] += product_of(w, input_of(rows, 7u, block));
        }
        if (ROWS > 8u) {
            sums[8] += product_of(w, input_of(rows, 8u, block));
            sums[9] += product_of(w, input_of(rows, 9u, block));
            sums[10] += product_of(w, input_of(rows, 10u, block));
            sums[11] += product_of(w, input_of(rows, 11u, block));
            sums[12] += product_of(w, input_of(rows, 12u, block));
            sums[13] += product_of(w, input_of(rows, 13u, block));
            sums[14] += product_of(w, input_of(rows, 14u, block));
            sums[15] += product_of(w, input_of(rows, 15u, block));
        }
    }
    store_row(rows, 0u, feature, sums[0]);
    if (ROWS > 1u) {
        store_row(rows, 1u, feature, sums[1]);
    }
    if (ROWS > 2u) {
        store_row(rows, 2u, feature, sums[2]);
        store_row(rows, 3u, feature, sums[3]);
    }
    if (ROWS > 4u) {
        store_row(rows, 4u, feature, sums[4]);
        store_row(rows, 5u, feature, sums[5]);
        store_row(rows, 6u, feature, sums[6]);
        store_row(rows, 7u, feature, sums[7]);
    }
    if (ROWS > 8u) {
        store_row(rows, 8u, feature, sums[8]);
        store_row(rows, 9u, feature, sums[9]);
        store_row(rows, 10u, feature, sums[10]);
        store_row(rows, 11u, feature, sums[11]);
        store_row(rows, 12u, feature, sums[12]);
        store_row(rows, 13u, feature, sums[13]);
        store_row(rows, 14u, feature, sums[14]);
        store_row(rows, 15u, feature, sums[15]);
    }
}
