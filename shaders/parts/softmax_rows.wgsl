// parts: rows
// The kernels of softmax and log_softmax over rows of scores, [outer, classes, inner]. With m the largest score of a row and
// r the sum of exp(x - m) over all others, a file that names this defines result_of(x - m, r), and names classes and
// results, or both in blocks.
//
// `rows` runs LANES invocations along the classes of each row. `columns` computes 4 rows an invocation, where neighbouring
// rows are in blocks; it loads the scores by itself. A row with NaN or infinity, or of negative infinity alone, is NaN.

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,             // rows of one item: the distance from a class to the next
    hidden_zero: u32,       // always 0
    // Where they begin in their bindings, in elements.
    input_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP_SIZE)
fn rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let exponentials = add_exponentials(row, invocation);
    let others = vec4<f32>(rounded(exponentials.others));
    let is_wrong = vec4<bool>(!is_finite(exponentials.largest));
    let steps = steps_of(row);
    for (var step = 0u; step < steps; step++) {
        let results = result_of(load_classes(row, step) - exponentials.largest, others);
        store_results(row, step, select(results, vec4<f32>(not_a_number()), is_wrong));
    }
}

@group(0) @binding(1) var<storage, read> input_columns: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> output_columns: array<vec4<f32>>;

// One of 4 sums, about its largest score.
fn about_largest(visited: Visited, index: u32) -> f32 {
    let none = Exponentials(negative_infinity(), LOWEST, vec2<f32>());
    return rounded(merge(visited_at(visited, index), none).others);
}

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
    let begin = outer * params.classes * step + (number - outer * step);
    let input_begin = params.input_base / 4u + begin;
    var visited = none_visited();
    for (var class_index = nothing; class_index < params.classes; class_index++) {
        visit(&visited, input_columns[input_begin + class_index * step]);
    }
    let others = vec4<f32>(
        about_largest(visited, 0u),
        about_largest(visited, 1u),
        about_largest(visited, 2u),
        about_largest(visited, 3u),
    );
    let is_wrong = is_spoilt(visited.largest) | (visited.nans != vec4<u32>());
    for (var class_index = nothing; class_index < params.classes; class_index++) {
        let results = result_of(input_columns[input_begin + class_index * step] - visited.largest, others);
        output_columns[params.output_base / 4u + begin + class_index * step] =
            select(results, vec4<f32>(not_a_number()), is_wrong);
    }
}
