// parts: row, block_sums
// The kernels of the gradients of softmax and log_softmax over rows of scores, [outer, classes, inner]. `input` is their saved
// output y, and `given` the gradient g of it. A file that names this defines term_of(g, y), of which s is the sum over the
// classes of a row, and gradient_of(g, y, s), and names classes and gradients, or both in blocks.
//
// `rows` runs LANES invocations along the classes of each row. `columns` computes 4 rows an invocation, where neighbouring
// rows are in blocks; it loads and stores by itself.

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,             // rows of one item: the distance from a class to the next
    hidden_zero: u32,       // always 0
    // Where all buffers begin in their bindings, in elements.
    input_base: u32,
    // Whether the gradient is added to what is there.
    adds: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

var<workgroup> row_sums: array<vec2<f32>, WORKGROUP_SIZE>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let steps = steps_of(row);
    var sums: BlockSums;
    for (var step = 0u; step < steps; step++) {
        let terms = term_of(load_given(row, step), load_classes(row, step));
        add_block(&sums, select(vec4<f32>(), terms, classes_of(row, step) < vec4<u32>(params.classes)));
    }
    row_sums[invocation] = sum_of_block(sums);
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (row.lane < width) {
            row_sums[invocation] = add_pair(row_sums[invocation], row_sums[invocation + width]);
        }
        workgroupBarrier();
    }
    let sum = vec4<f32>(rounded(row_sums[invocation - row.lane]));
    for (var step = 0u; step < steps; step++) {
        store_gradients(row, step, gradient_of(load_given(row, step), load_classes(row, step), sum));
    }
}

@group(0) @binding(1) var<storage, read> input_columns: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> given_columns: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> gradient_columns: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn columns(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + invocation;
    if (4u * number >= params.rows) {
        return;
    }
    let step = params.inner / 4u;
    let outer = number / step;
    let begin = params.input_base / 4u + outer * params.classes * step + (number - outer * step);
    var sums: BlockSums;
    for (var class_index = nothing; class_index < params.classes; class_index++) {
        let at = begin + class_index * step;
        add_block(&sums, term_of(given_columns[at], input_columns[at]));
    }
    let sum = sums.totals - sums.lost;
    for (var class_index = nothing; class_index < params.classes; class_index++) {
        let at = begin + class_index * step;
        let result = gradient_of(given_columns[at], input_columns[at], sum);
        if (is_set(params.adds)) {
            gradient_columns[at] += result;
        } else {
            gradient_columns[at] = result;
        }
    }
}
