// parts: pairs
// nll_loss: -w[y] x[y] of each row x of log-probabilities, with y the row's class and w the classes' weights (1 without), and
// 0 for a row whose class is ignore_index; or the sum of these, or for the mean the sum divided by that of w[y] over rows not
// ignored. An invalid class index gives NaN; callers check the indices that they know.
//
// `rows` computes a row an invocation. `partial_sums` adds ITEMS rows an invocation and those of a workgroup as a tree;
// `finish` adds the partial sums in one workgroup. The order is fixed, and sums are pairs of f32: see parts/pairs.wgsl.

struct Params {
    rows: u32,
    classes: u32,
    inner: u32,             // rows of one item of the batch: the distance from a class to the next
    partial_count: u32,
    ignore_index: i32,
    has_ignore_index: u32,  // whether ignore_index is an i32
    has_weight: u32,
    is_mean: u32,
    hidden_zero: u32,       // always 0
    // Where they begin in what is bound.
    input_base: u32,
    target_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
override ITEMS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;                    // [batch, classes, inner]
@group(0) @binding(2) var<storage, read> target_classes: array<i32>;           // [batch, inner]
@group(0) @binding(3) var<storage, read> weight: array<f32>;                   // [classes]; anything without has_weight
@group(0) @binding(4) var<storage, read_write> output: array<f32>;             // [rows] from rows, [1] from finish
@group(0) @binding(5) var<storage, read_write> partials: array<vec4<f32>>;     // [partial_count]: losses, counts

var<workgroup> sums: array<vec4<f32>, WORKGROUP_SIZE>;

// The loss of a row, and its count in the mean.
fn loss_of(row: u32) -> vec2<f32> {
    let class_index = target_classes[params.target_base + row];
    if (params.has_ignore_index != 0u && class_index == params.ignore_index) {
        return vec2<f32>();
    }
    if (class_index < 0 || u32(class_index) >= params.classes) {
        return vec2<f32>(not_a_number());
    }
    var w = 1.0;
    if (params.has_weight != 0u) {
        w = weight[class_index];
    }
    let item = row / params.inner;
    let at = (item * params.classes + u32(class_index)) * params.inner + (row - item * params.inner);
    return vec2<f32>(-w * input[params.input_base + at], w);
}

// The sums of losses and counts over the workgroup, in lane 0.
fn workgroup_sums(lane: u32, own: vec4<f32>) -> vec4<f32> {
    sums[lane] = own;
    workgroupBarrier();
    for (var width = WORKGROUP_SIZE / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            sums[lane] = add_both(sums[lane], sums[lane + width]);
        }
        workgroupBarrier();
    }
    return sums[0];
}

fn add_both(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(add_pair(a.xy, b.xy), add_pair(a.zw, b.zw));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (row < params.rows) {
        output[params.output_base + row] = loss_of(row).x;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn partial_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    var sum = vec4<f32>();
    for (var item = 0u; item < ITEMS; item++) {
        let row = (part * ITEMS + item) * WORKGROUP_SIZE + lane;
        if (row < params.rows) {
            let loss = loss_of(row);
            sum = vec4<f32>(add(sum.xy, loss.x), add(sum.zw, loss.y));
        }
    }
    sum = workgroup_sums(lane, sum);
    if (lane == 0u && part < params.partial_count) {
        partials[part] = sum;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish(@builtin(local_invocation_index) lane: u32) {
    var sum = vec4<f32>();
    for (var part = lane; part < params.partial_count; part += WORKGROUP_SIZE) {
        sum = add_both(sum, partials[part]);
    }
    sum = workgroup_sums(lane, sum);
    if (lane != 0u) {
        return;
    }
    let loss = rounded(sum.xy);
    let count = rounded(sum.zw);
    if (params.is_mean == 0u) {
        output[0] = loss;
    } else if (count == 0.0 && loss == 0.0) {
        // The mean of nothing.
        output[0] = not_a_number();
    } else {
        output[0] = loss / count;
    }
}
