// parts: class_losses, block_sums, classes|classes_in_blocks, gradients|gradients_in_blocks
// The gradients of cross_entropy, in the names of parts/class_losses.wgsl. With f the gradient of a row's loss, divided for a mean,
// and q[c] = 1 for c = y and otherwise 0,
//     grad_input[c] = f ((1 - e) w[y] (p[c] - q[c]) + e / classes (p[c] sum over d of w[d] - w[c]))      for class indices
//     grad_input[c] = f (p[c] sum over d of w[d] s[d] - w[c] s[c])  with s = (1 - e) t + e / classes     for probabilities t
//     grad_target[c] = f (1 - e) w[c] (-log p[c])
// f is 0 for rows that are ignored.
//
// All kernels run WORKGROUP_SIZE / LANES rows a workgroup, LANES invocations along the classes of each. Those that are named
// for losses too write a row's loss and its count in the mean, as class_losses and probability_losses of cross_entropy.wgsl
// do. `given` are the probabilities.

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,             // rows of one item of the batch: the distance from a class to the next
    ignore_index: i32,
    has_ignore_index: u32,  // whether ignore_index is an i32
    has_weight: u32,
    has_row_factors: u32,   // whether each row has its own f
    label_smoothing: f32,
    hidden_zero: u32,       // always 0
    adds: u32,              // whether the gradient is added to what is there
    // Where they begin in what is bound: input, probabilities and gradient, and the class indices.
    input_base: u32,
    target_base: u32,
    // Where they begin in the workspace, as cross_entropy_factor.wgsl writes it. Losses and counts are at its begin.
    factor: u32,
    weights: u32,
    row_factors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(4) var<storage, read_write> workspace: array<f32>;
@group(0) @binding(5) var<storage, read> target_classes: array<i32>;

var<workgroup> target_sums: array<vec2<f32>, WORKGROUP_SIZE>;

fn weight_at(class_index: u32) -> f32 {
    return workspace[params.weights + class_index];
}

fn probability_at(position: u32) -> f32 {
    return given_at(position);
}

fn write_row(row: Row, loss: f32, count: f32) {
    workspace[row.index] = loss;
    workspace[params.rows + row.index] = count;
}

// The weights of the classes of a step.
fn class_weights(row: Row, step: u32) -> vec4<f32> {
    if (!is_set(params.has_weight)) {
        return vec4<f32>(1.0);
    }
    let at = params.weights + min(classes_of(row, step), vec4<u32>(params.classes - 1u));
    return vec4<f32>(workspace[at.x], workspace[at.y], workspace[at.z], workspace[at.w]);
}

fn sum_of_weights() -> f32 {
    if (!is_set(params.has_weight)) {
        return f32(params.classes);
    }
    return rounded(vec2<f32>(workspace[params.factor + 1u], workspace[params.factor + 2u]));
}

fn factor_of(row: Row) -> f32 {
    if (is_set(params.has_row_factors)) {
        return workspace[params.row_factors + row.index];
    }
    return workspace[params.factor];
}

fn write_class_gradients(row: Row, exponentials: Exponentials) {
    if (!row.exists) {
        return;
    }
    let maximum = exponentials.largest;
    let others = rounded(exponentials.others);
    let whole = 1.0 + others;
    let class_index = target_classes[params.target_base + row.index];
    let counts = !is_ignored(class_index);
    var is_wrong = !is_finite(maximum) || (counts && !is_class(class_index));

    // What goes to the row's class, and to each class by its weight.
    var own = 0.0;
    var share = 0.0;
    var own_gradient = 0.0;
    if (counts && !is_wrong) {
        let factor = factor_of(row);
        let w = class_weight(u32(class_index));
        let x = input_at(row.begin + u32(class_index) * params.inner);
        let p = exponential(vec4<f32>(x - maximum)).x / whole;
        own = w * factor;
        if (is_smoothed()) {
            own *= 1.0 - params.label_smoothing;
            share = factor * (params.label_smoothing / f32(params.classes));
            own_gradient = share * (p * sum_of_weights() - w);
        }
        // 1 - p keeps its digits where p is close to 1.
        own_gradient -= own * select(1.0 - p, others / whole, x == maximum);
        if (!is_finite(own)) {
            own_gradient = not_a_number();
        }
    }
    var scale = own / whole;
    if (is_smoothed()) {
        scale = (own + share * sum_of_weights()) / whole;
    }
    let steps = steps_of(row);
    for (var step = 0u; step < steps; step++) {
        var gradients = exponential(load_classes(row, step) - maximum) * scale;
        if (is_smoothed()) {
            gradients -= share * class_weights(row, step);
        }
        let is_own = (classes_of(row, step) == vec4<u32>(u32(class_index))) & vec4<bool>(counts);
        gradients = select(gradients, vec4<f32>(own_gradient), is_own);
        store_gradients(row, step, select(gradients, vec4<f32>(not_a_number()), vec4<bool>(is_wrong)));
    }
}

// The sum of w[c] s[c] over a row's classes.
fn target_sum(row: Row, invocation: u32) -> f32 {
    var sums: BlockSums;
    let steps = steps_of(row);
    for (var step = 0u; step < steps; step++) {
        let terms = class_weights(row, step) * smoothed_block(load_given(row, step));
        add_block(&sums, select(vec4<f32>(), terms, classes_of(row, step) < vec4<u32>(params.classes)));
    }
    target_sums[invocation] = sum_of_block(sums);
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (row.lane < width) {
            target_sums[invocation] = add_pair(target_sums[invocation], target_sums[invocation + width]);
        }
        workgroupBarrier();
    }
    return rounded(target_sums[invocation - row.lane]);
}

fn smoothed_block(probabilities: vec4<f32>) -> vec4<f32> {
    return (1.0 - params.label_smoothing) * probabilities + params.label_smoothing / f32(params.classes);
}

fn write_probability_gradients(row: Row, exponentials: Exponentials, sum: f32) {
    let maximum = exponentials.largest;
    let is_wrong = vec4<bool>(!is_finite(maximum));
    let factor = factor_of(row);
    let scale = factor * sum / (1.0 + rounded(exponentials.others));
    let steps = steps_of(row);
    for (var step = 0u; step < steps; step++) {
        let shared_gradients = exponential(load_classes(row, step) - maximum) * scale;
        let own = factor * class_weights(row, step) * smoothed_block(load_given(row, step));
        store_gradients(row, step, select(shared_gradients - own, vec4<f32>(not_a_number()), is_wrong));
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn class_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    write_class_gradients(row, add_exponentials(row, invocation));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn class_losses_and_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let exponentials = add_exponentials(row, invocation);
    add_class_loss(row, invocation, exponentials);
    write_class_gradients(row, exponentials);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn probability_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let exponentials = add_exponentials(row, invocation);
    write_probability_gradients(row, exponentials, target_sum(row, invocation));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn probability_losses_and_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let exponentials = add_exponentials(row, invocation);
    add_probability_loss(row, invocation, exponentials);
    write_probability_gradients(row, exponentials, target_sum(row, invocation));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn target_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let exponentials = add_exponentials(row, invocation);
    let maximum = exponentials.largest;
    let log_sum = log_one_plus(rounded(exponentials.others));
    let factor = (1.0 - params.label_smoothing) * factor_of(row);
    let is_wrong = vec4<bool>(!is_finite(maximum));
    let steps = steps_of(row);
    for (var step = 0u; step < steps; step++) {
        let negative_logs = (maximum - load_classes(row, step)) + log_sum;
        let gradients = factor * class_weights(row, step) * negative_logs;
        store_gradients(row, step, select(gradients, vec4<f32>(not_a_number()), is_wrong));
    }
}
