// The columns of the products in linear_backward.wgsl, where rows of the matrices are made of blocks of 4.

@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> result: array<vec4<f32>>;        // or the workspace
@group(0) @binding(4) var<storage, read_write> partials: array<vec4<f32>>;      // [splits, rows, columns]

fn b_block(step: u32, block: u32) -> vec4<f32> {
    return b[params.b_base / 4u + step * (params.columns / 4u) + block];
}

fn store(row: u32, block: u32, split: u32, sums: vec4<f32>) {
    if (row < params.rows) {
        let at = params.result_base / 4u + (split * params.rows + row) * (params.columns / 4u) + block;
        if (params.adds != 0u) {
            result[at] += sums;
        } else {
            result[at] = sums;
        }
    }
}

// The sum of the splits of a block.
fn add_splits_of(index: u32) {
    let count = params.rows * (params.columns / 4u);
    var sum: vec4<f32>;
    // Not by the uniform alone: Mesa would unroll the loop by its value, and compile again for every dispatch.
    for (var split = 0u; split < select(0u, params.splits, index < count); split++) {
        sum += partials[params.workspace_base / 4u + split * count + index];
    }
    if (index < count) {
        let at = params.result_base / 4u + index;
        if (params.adds != 0u) {
            sum += result[at];
        }
        result[at] = sum;
    }
}
