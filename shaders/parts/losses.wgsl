// parts: bits, pairs, pair_blocks
// Losses that are computed element by element, and their reductions and gradients. The file declares its inputs, and:
//     struct Operands                             4 elements of each input
//     fn operands(index: u32, places: vec2<u32>)  those of one element of the common shape, in all 4; `places` is where the
//                                                 two operands that may be broadcast have it
//     fn operands_in_block(block: u32)            those of a block, where nothing is broadcast
//     fn losses(these: Operands) -> Pairs         the losses
//     fn slopes(these: Operands) -> vec4<f32>     their derivatives, with respect to the target if params.of_target says so
//     fn grads(index: u32) -> vec4<f32>           what these are then multiplied by: grad_output, and weights
//     fn grads_in_block(block: u32) -> vec4<f32>
//
// `elements` writes the losses, one invocation each, and `blocks` blocks of 4. `partial_sums` adds ITEMS losses an invocation
// and those of a workgroup as a tree, one partial sum a workgroup; `finish` adds the partial sums in one workgroup. The order
// is fixed, and a sum is a pair of f32, good to about twice the digits.
//
// A gradient is slope / divisor * grad_output: `gradient_blocks` where nothing is broadcast, `gradients` one element
// of it an invocation. Of an operand that was broadcast it is the sum over all elements of the common shape that an element
// was broadcast to.

struct Params {
    // The common shape, outermost dimension first. Dimensions that all operands step through alike are merged.
    lengths: vec4<u32>,
    // The distance of one step along each dimension in the operands that may be broadcast: 0 where they are.
    first_strides: vec4<u32>,
    second_strides: vec4<u32>,
    // Where dimensions are summed over in a gradient, their lengths; otherwise 1.
    summed: vec4<u32>,
    // Elements or blocks of this dispatch: of the common shape, or of a gradient.
    count: u32,
    // Partial sums: in all, or of one element of a gradient.
    partial_count: u32,
    // The elements of the common shape that an element of a gradient is a sum over.
    summed_count: u32,
    first: u32,             // the first element
    base: u32,              // where all that is cut begins in its binding, in elements
    divisor: f32,           // what slopes are divided by: for the mean the number of elements
    is_mean: u32,
    of_target: u32,         // whether the gradient is the target's
    adds: u32,              // whether the gradient is added to what is there
    has_each_grad: u32,     // whether grad_output has a value for each element, or one for all
    beta: f32,
    has_weight: u32,
    has_pos_weight: u32,
    partial_base: u32,
    hidden_zero: u32,       // always 0
}

override WORKGROUP_SIZE: u32 = 64u;
override ITEMS: u32 = 32u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;             // [count]; [1] from finish
@group(0) @binding(3) var<storage, read_write> output_blocks: array<vec4<f32>>;
// [partial_count], for each element of a gradient, from partial_base on
@group(0) @binding(4) var<storage, read_write> partials: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read_write> gradient: array<f32>;
@group(0) @binding(6) var<storage, read_write> gradient_in_blocks: array<vec4<f32>>;

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

// The position of element `index` in a shape of these lengths.
fn position(index: u32, lengths: vec4<u32>) -> vec4<u32> {
    let rest_2 = index / lengths.w;
    let rest_1 = rest_2 / lengths.z;
    let at_0 = rest_1 / lengths.y;
    return vec4<u32>(
        at_0,
        rest_1 - at_0 * lengths.y,
        rest_2 - rest_1 * lengths.z,
        index - rest_2 * lengths.w,
    );
}

// Where both operands have a position.
fn places(at: vec4<u32>) -> vec2<u32> {
    let first = at * params.first_strides;
    let second = at * params.second_strides;
    return vec2<u32>(first.x + first.y + first.z + first.w, second.x + second.y + second.z + second.w);
}

// The operands of element `index` of the common shape.
fn operands_of(index: u32) -> Operands {
    // Often there is only one dimension, and divisions are slow.
    if (params.lengths.x * params.lengths.y * params.lengths.z == 1u) {
        return operands(params.base + index, params.base + index * vec2<u32>(params.first_strides.w, params.second_strides.w));
    }
    return operands(index, places(position(index, params.lengths)));
}

fn rounded_each(sums: Pairs) -> vec4<f32> {
    // What rounding lost of infinities is NaN.
    return select(sums.values + sums.lost, sums.values, is_spoilt(sums.values));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = params.base / 4u + block;
        output_blocks[at] = rounded_each(losses(operands_in_block(at)));
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.first + index;
        output[params.base + at] = rounded_each(losses(operands_of(at))).x;
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
            let loss = losses(operands_of(index));
            sum = add_pair(sum, vec2<f32>(loss.values.x, loss.lost.x));
        }
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u && part < params.partial_count) {
        partials[params.partial_base + part] = sum;
    }
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
    var own: Pairs;
    for (var item = 0u; item < ITEMS / 4u; item++) {
        let block = (part * (ITEMS / 4u) + item) * WORKGROUP_SIZE + lane;
        if (block < blocks) {
            let loss = losses(operands_in_block(block));
            own = add_to_each(own, loss.values);
            own.lost += loss.lost;
        }
    }
    let sum = workgroup_sum(lane, sum_of_all(own));
    if (lane == 0u && part < params.partial_count) {
        partials[params.partial_base + part] = sum;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish(@builtin(local_invocation_index) lane: u32) {
    var sum = vec2<f32>(0.0, 0.0);
    for (var part = lane; part < params.partial_count; part += WORKGROUP_SIZE) {
        sum = add_pair(sum, partials[params.partial_base + part]);
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

// The gradients of 4 elements of the common shape.
fn gradient_of(these: Operands, grads: vec4<f32>) -> vec4<f32> {
    return slopes(these) / params.divisor * grads;
}

fn write_gradient_block(at: u32, grads: vec4<f32>) {
    var result = gradient_of(operands_in_block(at), grads);
    if (params.adds != 0u) {
        result += gradient_in_blocks[at];
    }
    gradient_in_blocks[at] = result;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn gradient_blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = params.base / 4u + block;
        write_gradient_block(at, grads_in_block(at));
    }
}

// One term of element `index` of a gradient: the one from its element `item` of the dimensions that are summed over.
fn term(index: u32, item: u32) -> f32 {
    var place = index;
    var in_operands: Operands;
    if (params.summed_count == 1u) {
        in_operands = operands_of(index);
    } else {
        let at = position(index, params.lengths / params.summed) + position(item, params.summed);
        place = ((at.x * params.lengths.y + at.y) * params.lengths.z + at.z) * params.lengths.w + at.w;
        in_operands = operands(place, places(at));
    }
    return gradient_of(in_operands, grads(params.base + place)).x;
}

fn write_gradient(index: u32, sum: f32) {
    let at = params.base + index;
    var result = sum;
    if (params.adds != 0u) {
        result += gradient[at];
    }
    gradient[at] = result;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        var sum = vec2<f32>(0.0, 0.0);
        for (var item = 0u; item < params.summed_count; item++) {
            sum = add(sum, term(params.first + index, item));
        }
        write_gradient(params.first + index, rounded(sum));
    }
}
