// parts: divide, input|input_in_place, other|other_in_place
// add: output[i] = input[i] + alpha * other[i], with each operand broadcast to the common shape.
//
// Either operand may stand for `input` here; the factors say which of them is multiplied by alpha. `input` is the one
// that has a step of 1 along the innermost dimension. Where rows of it are in blocks of 4, one invocation computes a
// block: `blocks` if `other` has a step of 1 too, `splats` if one element of it meets the whole block. `elements`
// computes single elements, the rest of `blocks` too.

struct Params {
    // The common shape, outermost dimension first. Dimensions that both operands step through alike are merged.
    lengths: vec4<u32>,
    // The distance of one step along each dimension: 0 where the operand is broadcast.
    input_strides: vec4<u32>,
    other_strides: vec4<u32>,
    count: u32,
    // The first element, and where buffers begin in their bindings, in elements.
    first: u32,
    base: u32,
    input_factor: f32,
    other_factor: f32,
}

override WORKGROUP_SIZE: u32 = 64u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
@group(0) @binding(2) var<storage, read_write> output_blocks: array<vec4<u32>>;

// Where element `index` of the common shape is in both operands.
fn positions(index: u32) -> vec2<u32> {
    if (params.lengths.x * params.lengths.y * params.lengths.z == 1u) {
        return params.base + index * vec2<u32>(params.input_strides.w, params.other_strides.w);
    }
    let rest_2 = divided(index, params.lengths.w);
    let rest_1 = divided(rest_2, params.lengths.z);
    let at_0 = divided(rest_1, params.lengths.y);
    let at = vec4<u32>(
        at_0,
        rest_1 - at_0 * params.lengths.y,
        rest_2 - rest_1 * params.lengths.z,
        index - rest_2 * params.lengths.w,
    );
    let in_input = at * params.input_strides;
    let in_other = at * params.other_strides;
    return vec2<u32>(in_input.x + in_input.y + in_input.z + in_input.w, in_other.x + in_other.y + in_other.z + in_other.w);
}

fn sum_of(x: vec4<u32>, y: vec4<u32>) -> vec4<u32> {
    return bitcast<vec4<u32>>(params.input_factor * bitcast<vec4<f32>>(x) + params.other_factor * bitcast<vec4<f32>>(y));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = positions(4u * block) / 4u;
        output_blocks[params.base / 4u + block] = sum_of(input_block(at.x), other_block(at.y));
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn splats(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        let at = positions(4u * block);
        output_blocks[block] = sum_of(input_block(at.x / 4u), other_splat(at.y));
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
        let at = positions(params.first + index);
        let sum = sum_of(vec4<u32>(input_element(at.x)), vec4<u32>(other_element(at.y)));
        output[params.base + params.first + index] = sum.x;
    }
}
