// parts: class_losses, classes|classes_in_blocks
// cross_entropy: the losses of rows, see parts/class_losses.wgsl, and their mean or sum. The mean divides the sum by that of w[y]
// over rows not ignored, or for probabilities by the number of rows.
//
// input, [batch, classes, inner], comes from parts/classes.wgsl or, for contiguous rows in blocks of 4, from
// parts/classes_in_blocks.wgsl.
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

var<workgroup> loss_sums: array<vec2<f32>, WORKGROUP_SIZE>;
var<workgroup> count_sums: array<vec2<f32>, WORKGROUP_SIZE>;

fn weight_at(class_index: u32) -> f32 {
    return weight[class_index];
}

fn probability_at(position: u32) -> f32 {
    return target_probabilities[position];
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
    add_class_loss(row, invocation, add_exponentials(row, invocation));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn probability_losses(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    nothing = workgroup.z;
    let row = row_of(workgroup.y * grid.x + workgroup.x, invocation);
    add_probability_loss(row, invocation, add_exponentials(row, invocation));
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
