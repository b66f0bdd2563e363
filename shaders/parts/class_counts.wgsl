// parts: pairs
// What the gradient of each loss of a row is multiplied by: grad_output, and for a mean divided by the sum of the weights of
// all rows' classes, or the number of rows that are not ignored.
//
// `count_sums` adds ITEMS rows an invocation and those of a workgroup as a tree, one partial sum a workgroup; `factor` adds
// the partial sums in one workgroup, and divides. The order is fixed.

struct Params {
    rows: u32,
    classes: u32,
    partial_count: u32,
    ignore_index: i32,
    has_ignore_index: u32,  // whether ignore_index is an i32
    has_weight: u32,
    hidden_zero: u32,       // always 0
    has_grad_output: u32,   // otherwise it is 1
    is_counted: u32,        // whether it is divided by the sum of counts, otherwise by `divisor`
    divisor: f32,
    // Where they begin in what is bound.
    target_base: u32,
    grad_output_base: u32,
    // Where they begin in the workspace.
    partials: u32,          // [partial_count] pairs
    factor: u32,            // [1], then the sum of all weights as a pair
    weights: u32,           // [classes] with a weight
    row_factors: u32,       // [rows] without a reduction
}

override WORKGROUP_SIZE: u32 = 64u;
override ITEMS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> target_classes: array<i32>;           // [rows]
@group(0) @binding(2) var<storage, read> weight: array<f32>;                   // [classes]; anything without has_weight
@group(0) @binding(3) var<storage, read> grad_output: array<f32>;              // [1], or [rows] without a reduction
@group(0) @binding(4) var<storage, read_write> workspace: array<f32>;

var<workgroup> sums: array<vec2<f32>, WORKGROUP_SIZE>;

// The sum over the workgroup, in lane 0.
fn workgroup_sum(lane: u32, sum: vec2<f32>) -> vec2<f32> {
    sums[lane] = sum;
    workgroupBarrier();
    for (var width = WORKGROUP_SIZE / 2u; width > 0u; width /= 2u) {
        if (lane < width) {
            sums[lane] = add_pair(sums[lane], sums[lane + width]);
        }
        workgroupBarrier();
    }
    return sums[0];
}

fn count_of(row: u32) -> f32 {
    let class_index = target_classes[params.target_base + row];
    if (params.has_ignore_index != 0u && class_index == params.ignore_index) {
        return 0.0;
    }
    if (class_index < 0 || u32(class_index) >= params.classes) {
        return not_a_number();
    }
    if (params.has_weight == 0u) {
        return 1.0;
    }
    return weight[class_index];
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn count_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    var sum = vec2<f32>();
    for (var item = 0u; item < ITEMS; item++) {
        let row = (part * ITEMS + item) * WORKGROUP_SIZE + lane;
        if (row < params.rows) {
            sum = add(sum, count_of(row));
        }
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u && part < params.partial_count) {
        workspace[params.partials + 2u * part] = sum.x;
        workspace[params.partials + 2u * part + 1u] = sum.y;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn factor(@builtin(local_invocation_index) lane: u32) {
    var sum = vec2<f32>();
    if (params.is_counted != 0u) {
        for (var part = lane; part < params.partial_count; part += WORKGROUP_SIZE) {
            let at = params.partials + 2u * part;
            sum = add_pair(sum, vec2<f32>(workspace[at], workspace[at + 1u]));
        }
    }
    sum = workgroup_sum(lane, sum);
    if (lane != 0u) {
        return;
    }
    var grad = 1.0;
    if (params.has_grad_output != 0u) {
        grad = grad_output[params.grad_output_base];
    }
    let divisor = select(params.divisor, rounded(sum), params.is_counted != 0u);
    if (divisor == 0.0 && grad == 0.0) {
        grad = not_a_number();
    }
    workspace[params.factor] = grad / divisor;
}
