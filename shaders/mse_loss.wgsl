// parts: pairs
// mse_loss: the squares (input - target)^2, with each operand broadcast to the common shape. The reductions give their
// sum, or for the mean the sum divided by their number.
//
// `elementwise` writes the squares, one invocation each. `partial_sums` adds ITEMS squares an invocation and those of
// a workgroup as a tree, one partial sum a workgroup; `finish` adds the partial sums in one workgroup. The order is
// fixed, and a sum is a pair of f32 (value, what its rounding lost), good to about twice the digits.

struct Params {
    count: u32,
    partial_count: u32,
    is_mean: u32,
    // The common shape, outermost dimension first. Dimensions that both operands step through alike are merged.
    length_0: u32,
    length_1: u32,
    length_2: u32,
    length_3: u32,
    // The distance of one step along each dimension in the operand: 0 where it is broadcast.
    input_stride_0: u32,
    input_stride_1: u32,
    input_stride_2: u32,
    input_stride_3: u32,
    target_stride_0: u32,
    target_stride_1: u32,
    target_stride_2: u32,
    target_stride_3: u32,
    hidden_zero: u32,       // always 0
    // Where they begin in their bindings, for elementwise.
    base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
override ITEMS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> target_values: array<f32>;
@group(0) @binding(2) var<storage, read> target_blocks: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;             // [count] from elementwise, [1] from finish
@group(0) @binding(4) var<storage, read_write> partials: array<vec2<f32>>;     // [partial_count]

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

// Where element `index` of the common shape is in input and in target.
fn positions(index: u32) -> vec2<u32> {
    // Without broadcasting there is only one dimension, and divisions are slow.
    if (params.length_3 == params.count) {
        return index * vec2<u32>(params.input_stride_3, params.target_stride_3);
    }
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
    return vec2<u32>(in_input, in_target);
}

// sum + the square of an element's difference, with the rounding of neither left out.
fn add_square(sum: vec2<f32>, index: u32) -> vec2<f32> {
    let at = positions(index);
    let difference = subtract(input[at.x], target_values[at.y]);
    // The square of the upper 12 bits is exact, and so are the remaining products.
    let high = upper(difference.x);
    let low = difference.x - high;
    let rest = (2.0 * high + low) * low + 2.0 * difference.x * difference.y;
    let total = add(sum, high * high);
    return vec2<f32>(total.x, total.y + rest);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elementwise(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = positions(index);
        let difference = input[params.base + at.x] - target_values[params.base + at.y];
        output[params.base + index] = difference * difference;
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
            sum = add_square(sum, index);
        }
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u && part < params.partial_count) {
        partials[part] = sum;
    }
}

// 4 pairs: values, and what their rounding lost.
struct Pairs {
    values: vec4<f32>,
    lost: vec4<f32>,
}

// add_square of 4 elements, each to a sum of its own.
fn add_squares(sums: Pairs, a: vec4<f32>, b: vec4<f32>) -> Pairs {
    let difference = hidden_block(a - b);
    let lost = select(a - (difference + b), (a - difference) - b, abs(a) >= abs(b));
    let upper = bitcast<vec4<f32>>(bitcast<vec4<u32>>(difference) & vec4<u32>(0xfffff000u));
    let lower = difference - upper;
    let rest = (2.0 * upper + lower) * lower + 2.0 * difference * lost;
    let square = upper * upper;
    let total = hidden_block(sums.values + square);
    let is_larger = abs(sums.values) >= abs(square);
    let larger = select(square, sums.values, is_larger);
    let smaller = select(sums.values, square, is_larger);
    return Pairs(total, sums.lost + (smaller - (total - larger)) + rest);
}

// partial_sums where nothing is broadcast and there are only whole blocks of 4.
@compute @workgroup_size(WORKGROUP_SIZE)
fn partial_sums_of_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let part = workgroup.y * grid.x + workgroup.x;
    let blocks = params.count / 4u;
    var sums: Pairs;
    for (var item = 0u; item < ITEMS / 4u; item++) {
        let block = (part * (ITEMS / 4u) + item) * WORKGROUP_SIZE + lane;
        if (block < blocks) {
            sums = add_squares(sums, input_blocks[block], target_blocks[block]);
        }
    }
    var sum = add_pair(
        add_pair(vec2<f32>(sums.values.x, sums.lost.x), vec2<f32>(sums.values.y, sums.lost.y)),
        add_pair(vec2<f32>(sums.values.z, sums.lost.z), vec2<f32>(sums.values.w, sums.lost.w)),
    );
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
        // The mean of nothing.
        output[0] = not_a_number();
    } else {
        output[0] = rounded(sum) / f32(params.count);
    }
}
