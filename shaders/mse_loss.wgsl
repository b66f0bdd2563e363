// mse_loss: the squares (input - target)^2, each operand broadcast to the common shape; for the reductions their sum,
// for the mean divided by their number.
//
// `elementwise` writes the squares, one invocation each. `partial_sums` adds ITEMS squares an invocation and those of
// a workgroup as a tree, one partial sum a workgroup; `finish` adds the partial sums in one workgroup. The order is
// fixed, and a sum is a pair of f32 (value, what its rounding lost), good to about twice the digits.

struct Params {
    count: u32,
    partial_count: u32,
    is_mean: u32,
    // The common shape, outermost dimension first; dimensions that both operands walk alike are one.
    length_0: u32,
    length_1: u32,
    length_2: u32,
    length_3: u32,
    // How far a step along each dimension moves in the operand: 0 where it is broadcast.
    input_stride_0: u32,
    input_stride_1: u32,
    input_stride_2: u32,
    input_stride_3: u32,
    target_stride_0: u32,
    target_stride_1: u32,
    target_stride_2: u32,
    target_stride_3: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
override ITEMS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read> target_values: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;             // [count] from elementwise, [1] from finish
@group(0) @binding(4) var<storage, read_write> partials: array<vec2<f32>>;     // [partial_count]

var<workgroup> sums: array<vec2<f32>, WORKGROUP_SIZE>;

// sum + value, with what the rounding loses added to .y.
fn add(sum: vec2<f32>, value: f32) -> vec2<f32> {
    let total = sum.x + value;
    let value_part = total - sum.x;
    let lost = (sum.x - (total - value_part)) + (value - value_part);
    return vec2<f32>(total, sum.y + lost);
}

fn add_pair(sum: vec2<f32>, other: vec2<f32>) -> vec2<f32> {
    let total = add(sum, other.x);
    return vec2<f32>(total.x, total.y + other.y);
}

// The pair as one f32. Where it is infinite what was lost is not a number.
fn rounded(sum: vec2<f32>) -> f32 {
    if ((bitcast<u32>(sum.x) & 0x7f800000u) == 0x7f800000u) {
        return sum.x;
    }
    return sum.x + sum.y;
}

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

fn square(index: u32) -> f32 {
    let at_3 = index % params.length_3;
    let rest_2 = index / params.length_3;
    let at_2 = rest_2 % params.length_2;
    let rest_1 = rest_2 / params.length_2;
    let at_1 = rest_1 % params.length_1;
    let at_0 = rest_1 / params.length_1;
    let in_input = at_0 * params.input_stride_0 + at_1 * params.input_stride_1
        + at_2 * params.input_stride_2 + at_3 * params.input_stride_3;
    let in_target = at_0 * params.target_stride_0 + at_1 * params.target_stride_1
        + at_2 * params.target_stride_2 + at_3 * params.target_stride_3;
    let difference = input[in_input] - target_values[in_target];
    return difference * difference;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elementwise(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        output[index] = square(index);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn partial_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    var sum = vec2<f32>(0.0, 0.0);
    for (var item = 0u; item < ITEMS; item++) {
        let index = (part * ITEMS + item) * WORKGROUP_SIZE + lane;
        if (index < params.count) {
            sum = add(sum, square(index));
        }
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u && part < params.partial_count) {
        partials[part] = sum;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish(@builtin(local_invocation_index) lane: u32) {
    var sum = vec2<f32>(0.0, 0.0);
    for (var part = lane; part < params.partial_count; part += WORKGROUP_SIZE) {
        sum = add_pair(sum, partials[part]);
    }
    sum = workgroup_sum(lane, sum);
    if (lane != 0u) {
        return;
    }
    if (params.is_mean == 0u) {
        output[0] = rounded(sum);
    } else if (params.count == 0u) {
        // The mean of nothing. From a variable, since constant expressions must not be NaN.
        var not_a_number = 0x7fc00000u;
        output[0] = bitcast<f32>(not_a_number);
    } else {
        output[0] = rounded(sum) / f32(params.count);
    }
}
