// The columns of the products in linear_backward.wgsl, element by element. A block that ends after a row has the row's last
// element there, and what is computed of it is not stored.

@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;              // or the workspace
@group(0) @binding(4) var<storage, read_write> partials: array<f32>;            // [splits, rows, columns]

fn b_block(step: u32, block: u32) -> vec4<f32> {
    let columns = min(4u * block + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.columns - 1u));
    let at = params.b_base + step * params.columns + columns;
    return vec4<f32>(b[at.x], b[at.y], b[at.z], b[at.w]);
}

fn store(row: u32, block: u32, split: u32, sums: vec4<f32>) {
    if (row < params.rows) {
        let first = params.result_base + (split * params.rows + row) * params.columns;
        for (var element = 0u; element < min(4u, params.columns - 4u * block); element++) {
            let at = first + 4u * block + element;
            if (params.adds != 0u) {
                result[at] += sums[element];
            } else {
                result[at] = sums[element];
            }
        }
    }
}

// The sum of the splits of an element.
fn add_splits_of(index: u32) {
    let count = params.rows * params.columns;
    var sum: f32;
    // Not by the uniform alone: Mesa would unroll the loop by its value, and compile again for every dispatch.
    for (var split = 0u; split < select(0u, params.splits, index < count); split++) {
        sum += partials[params.workspace_base + split * count + index];
    }
    if (index < count) {
        let at = params.result_base + index;
        if (params.adds != 0u) {
            sum += result[at];
        }
        result[at] = sum;
    }
}
