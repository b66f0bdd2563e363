// parts: losses, loss_grads
// Losses of the difference of input and target, which broadcast together. The file declares
//     fn slope_of(difference: vec4<f32>, signs: vec4<f32>) -> vec4<f32>
// the derivative with respect to the difference, given that and its sign, -1, 0 or 1.
//
// Where an element of a gradient is a sum of many terms, `partial_gradients` adds them as partial_sums does, and
// `finish_gradients` adds the partial sums of an element, one workgroup an element.

@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> target_values: array<f32>;
@group(0) @binding(2) var<storage, read> target_blocks: array<vec4<f32>>;

struct Operands {
    input: vec4<f32>,
    target_values: vec4<f32>,
}

fn operands(index: u32, places: vec2<u32>) -> Operands {
    return Operands(vec4<f32>(input[places.x]), vec4<f32>(target_values[places.y]));
}

fn operands_in_block(block: u32) -> Operands {
    return Operands(input_blocks[block], target_blocks[block]);
}

// Integers in the order of the floats. Floats may be read as 0 where they are denormal.
fn ordered_each(x: vec4<f32>) -> vec4<i32> {
    let bits = bitcast<vec4<i32>>(x);
    let magnitude = bits & vec4<i32>(0x7fffffff);
    return select(magnitude, -magnitude, bits < vec4<i32>());
}

fn slopes(these: Operands) -> vec4<f32> {
    let a = ordered_each(these.input);
    let b = ordered_each(these.target_values);
    let signs = select(vec4<f32>(), select(vec4<f32>(-1.0), vec4<f32>(1.0), a > b), a != b);
    let slope = slope_of(these.input - these.target_values, signs);
    return select(slope, -slope, params.of_target != 0u);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn partial_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = workgroup.y * grid.x + workgroup.x;
    let index = number / params.partial_count;
    let part = number - index * params.partial_count;
    var sum = vec2<f32>(0.0, 0.0);
    for (var round = 0u; round < ITEMS; round++) {
        let item = (part * ITEMS + round) * WORKGROUP_SIZE + lane;
        if (index < params.count && item < params.summed_count) {
            sum = add(sum, term(index, item));
        }
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u && index < params.count) {
        partials[number] = sum;
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn finish_gradients(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = workgroup.y * grid.x + workgroup.x;
    var sum = vec2<f32>(0.0, 0.0);
    if (index < params.count) {
        for (var part = lane; part < params.partial_count; part += WORKGROUP_SIZE) {
            sum = add_pair(sum, partials[index * params.partial_count + part]);
        }
    }
    sum = workgroup_sum(lane, sum);
    if (lane == 0u && index < params.count) {
        write_gradient(index, rounded(sum));
    }
}
