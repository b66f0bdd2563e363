// parts: bits
// The gradient of nll_loss: grad_input is -f w[y] for the class y of each row that is not ignored, and 0 for all else, with w
// the classes' weights (1 without) and f the gradient of the row's loss, divided for a mean. A row with an invalid class index
// gets NaN for its first class.
//
// `zeros` and `zero_blocks` fill the gradient, one element or block of 4 an invocation; then `rows` writes one element a row,
// an invocation each. Where the gradient is added to what is there, `rows` is all there is to do.

struct Params {
    rows: u32,              // for zeros and zero_blocks what they fill
    classes: u32,
    inner: u32,             // rows of one item of the batch: the distance from a class to the next
    ignore_index: i32,
    has_ignore_index: u32,  // whether ignore_index is an i32
    has_weight: u32,
    adds: u32,              // whether the gradient is added to what is there
    factor_stride: u32,     // 1 if each row has its own f, otherwise 0
    // Where they begin in what is bound.
    target_base: u32,
    gradient_base: u32,
    factor_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> target_classes: array<i32>;           // [batch, inner]
@group(0) @binding(2) var<storage, read> weight: array<f32>;                   // [classes]; anything without has_weight
@group(0) @binding(3) var<storage, read> factors: array<f32>;                  // [rows] or [1]
@group(0) @binding(4) var<storage, read_write> gradient: array<f32>;           // [batch, classes, inner]
@group(0) @binding(4) var<storage, read_write> gradient_blocks: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP_SIZE)
fn zeros(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.rows) {
        gradient[params.gradient_base + index] = 0.0;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn zero_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.rows) {
        gradient_blocks[params.gradient_base / 4u + block] = vec4<f32>();
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn rows(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (row >= params.rows) {
        return;
    }
    let class_index = target_classes[params.target_base + row];
    if (params.has_ignore_index != 0u && class_index == params.ignore_index) {
        return;
    }
    let is_class = class_index >= 0 && u32(class_index) < params.classes;
    let written = select(0u, u32(class_index), is_class);
    var w = 1.0;
    if (params.has_weight != 0u) {
        w = weight[written];
    }
    let factor = factors[params.factor_base + row * params.factor_stride];
    var value = select(not_a_number(), -w * factor, is_class);
    let item = row / params.inner;
    let at = params.gradient_base + (item * params.classes + written) * params.inner + (row - item * params.inner);
    if (params.adds != 0u) {
        value += gradient[at];
    }
    gradient[at] = value;
}
