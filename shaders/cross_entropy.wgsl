// parts: rows, log, classes|classes_in_blocks
// cross_entropy: with p = softmax over the classes of input, w the classes' weights (1 without), y the row's class and
// e the label smoothing, the loss of a row is
//     (1 - e) w[y] (-log p[y]) + e / classes * sum over c of w[c] (-log p[c])         for class indices
//     sum over c of w[c] ((1 - e) t[c] + e / classes) (-log p[c])                     for probabilities t
// A row whose class is ignore_index has the loss 0. The mean divides the sum by that of w[y] over rows not ignored, or
// for probabilities by the number of rows. An invalid class index gives NaN; callers check the indices that they know.
//
// -log p[c] = (m - x[c]) + log(1 + r), where m is the row's largest x and r the sum of exp(x[c] - m) over all others.
// This keeps the digits of a small loss. One pass computes both, with r about a center near m: see
// parts/exponentials.wgsl.
//
// Sums are pairs of f32: see parts/pairs.wgsl. input, [batch, classes, inner], comes from parts/classes.wgsl or, for
// contiguous rows in blocks of 4, from parts/classes_in_blocks.wgsl.
//
// `class_losses` and `probability_losses` run WORKGROUP_SIZE / LANES rows a workgroup, LANES invocations along the
// classes of each. `partial_sums` adds ITEMS rows an invocation and those of a workgroup as a tree; `finish` adds the
// partial sums in one workgroup. The order is fixed.

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,             // rows of one item of the batch: the distance from a class to the next
    partial_count: u32,
    ignore_index: i32,
    has_ignore_index: u32,  // whether ignore_index is an i32
    has_weight: u32,
    is_mean: u32,
    writes_weights: u32,    // whether there is room after the losses for each row's count in the mean
    label_smoothing: f32,
    hidden_zero: u32,       // always 0
    // Where they begin in what is bound.
    input_base: u32,
    target_base: u32,
    output_base: u32,
}

override ITEMS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> target_classes: array<i32>;           // [batch, inner]
@group(0) @binding(3) var<storage, read> target_probabilities: array<f32>;     // as input
@group(0) @binding(4) var<storage, read> weight: array<f32>;                   // [classes]; anything without has_weight
// [rows] losses; then [rows] counts in the mean; then [partial_count] of two pairs, the sums of losses and of counts.
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<f32>;             // [1]

const PARTIAL_WORDS: u32 = 4u;

var<workgroup> class_sums: array<vec2<f32>, WORKGROUP_SIZE>;
var<workgroup> loss_sums: array<vec2<f32>, WORKGROUP_SIZE>;
var<workgroup> count_sums: array<vec2<f32>, WORKGROUP_SIZE>;

fn is_smoothed() -> bool {
    return is_set(bitcast<u32>(params.label_smoothing));
}

fn class_weight(class_index: u32) -> f32 {
    if (!is_set(params.has_weight)) {
        return 1.0;
    }
    return weight[class_index];
}

// Adds what a row's invocations have of a sum over classes, into the element of class_sums of the first of them.
fn add_class_sums(row: Row, invocation: u32, sum: vec2<f32>) {
    class_sums[invocation] = sum;
    workgroupBarrier();
    for (var width = LANES / 2u; width > 0u; width /= 2u) {
        if (row.lane < width) {
            class_sums[invocation] = add_pair(class_sums[invocation], class_sums[invocation + width]);
        }
        workgroupBarrier();
    }
}

// -log p of a class as a pair, from its x.
fn negative_log(maximum: f32, x: f32, log_sum: f32) -> vec2<f32> {
    return add(subtract(maximum, x), log_sum);
}

fn write_row(row: Row, loss: f32, count: f32) {
    losses[params.output_base + row.index] = loss;
    if (is_set(params.writes_weights)) {
        losses[params.rows + row.index] = count;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn class_losses(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let exponentials = add_exponentials(row, invocation);
    let maximum = exponentials.largest;
    let log_sum = log_one_plus(rounded(exponentials.others));

    var sum = vec2<f32>();
    if (row.exists && is_smoothed()) {
        let share = params.label_smoothing / f32(params.classes);
        for (var class_index = row.lane; class_index < params.classes; class_index += LANES) {
            let x = input_at(row.begin + class_index * params.inner);
            let weighted = multiply(share, class_weight(class_index));
            // In one product: an infinite weight of the largest class must not be multiplied by its m - x, which is 0.
            sum = add_pair(sum, product(weighted, negative_log(maximum, x, log_sum)));
        }
    }
    add_class_sums(row, invocation, sum);

    if (row.lane != 0u || !row.exists) {
        return;
    }
    let class_index = target_classes[params.target_base + row.index];
    if (is_set(params.has_ignore_index) && class_index == params.ignore_index) {
        write_row(row, 0.0, 0.0);
        return;
    }
    if (class_index < 0 || u32(class_index) >= params.classes || !is_finite(maximum)) {
        write_row(row, not_a_number(), not_a_number());
        return;
    }
    let w = class_weight(u32(class_index));
    let x = input_at(row.begin + u32(class_index) * params.inner);
    let own = rounded(negative_log(maximum, x, log_sum));
    var loss = w * own;
    if (is_smoothed()) {
        loss = (1.0 - params.label_smoothing) * w * own + rounded(class_sums[invocation]);
    }
    write_row(row, loss, w);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn probability_losses(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    let exponentials = add_exponentials(row, invocation);
    let maximum = exponentials.largest;
    let log_sum = log_one_plus(rounded(exponentials.others));

    var sum = vec2<f32>();
    if (row.exists) {
        for (var class_index = row.lane; class_index < params.classes; class_index += LANES) {
            let position = row.begin + class_index * params.inner;
            let probability = (1.0 - params.label_smoothing) * target_probabilities[position]
                + params.label_smoothing / f32(params.classes);
            let w = class_weight(class_index);
            // The smaller factor first: a product that overflows stays infinite, even if the next factor is small.
            let is_smaller = abs(probability) < abs(w);
            let smaller = vec2<f32>(select(w, probability, is_smaller), 0.0);
            let larger = vec2<f32>(select(probability, w, is_smaller), 0.0);
            let term = product(negative_log(maximum, input_at(position), log_sum), smaller);
            sum = add_pair(sum, product(term, larger));
        }
    }
    add_class_sums(row, invocation, sum);

    if (row.lane != 0u || !row.exists) {
        return;
    }
    var loss = rounded(class_sums[invocation]);
    if (!is_finite(maximum)) {
        loss = not_a_number();
    }
    write_row(row, loss, 1.0);
}

// Leaves the sums over the workgroup in element 0 of loss_sums and count_sums.
fn workgroup_sums(lane: u32, loss: vec2<f32>, count: vec2<f32>) {
    loss_sums[lane] = loss;
    count_sums[lane] = count;
    workgroupBarrier();
    for (var width = WORKGROUP_SIZE / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            loss_sums[lane] = add_pair(loss_sums[lane], loss_sums[lane + width]);
            count_sums[lane] = add_pair(count_sums[lane], count_sums[lane + width]);
        }
        workgroupBarrier();
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn partial_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    var loss = vec2<f32>(0.0, 0.0);
    var count = vec2<f32>(0.0, 0.0);
    for (var item = 0u; item < ITEMS; item++) {
        let row = (part * ITEMS + item) * WORKGROUP_SIZE + lane;
        if (row < params.rows) {
            loss = add(loss, losses[row]);
            count = add(count, losses[params.rows + row]);
        }
    }
    workgroup_sums(lane, loss, count);
    if (lane == 0u && part < params.partial_count) {
        let words = 2u * params.rows + part * PARTIAL_WORDS;
        losses[words] = loss_sums[0].x;
        losses[words + 1u] = loss_sums[0].y;
        losses[words + 2u] = count_sums[0].x;
        losses[words + 3u] = count_sums[0].y;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish(@builtin(local_invocation_index) lane: u32) {
    var loss = vec2<f32>(0.0, 0.0);
    var count = vec2<f32>(0.0, 0.0);
    for (var part = lane; part < params.partial_count; part += WORKGROUP_SIZE) {
        let words = 2u * params.rows + part * PARTIAL_WORDS;
        loss = add_pair(loss, vec2<f32>(losses[words], losses[words + 1u]));
        count = add_pair(count, vec2<f32>(losses[words + 2u], losses[words + 3u]));
    }
    workgroup_sums(lane, loss, count);
    if (lane != 0u) {
        return;
    }
    let loss_sum = rounded(loss_sums[0]);
    let count_sum = rounded(count_sums[0]);
    if (params.is_mean == 0u) {
        output[0] = loss_sum;
    } else if (count_sum == 0.0 && (loss_sum == 0.0 || params.label_smoothing != 0.0)) {
        // The mean of nothing. PyTorch divides the smoothed and the other term each, and the other is 0 / 0.
        output[0] = not_a_number();
    } else {
        output[0] = loss_sum / count_sum;
    }
}
