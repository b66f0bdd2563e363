// parts: divide, pairs
// The gradient of pad in the modes reflect and replicate: grad_input[i] is the sum of grad_output over the places that pad
// fills from i. (A constant is padded by cutting off: see pad.wgsl.)
//
// An invocation computes an element, or a block of 4 where rows are in blocks. Along each dimension it goes through the
// places that take the element, of this dispatch's range: in the middle that is one, beside a border it may be several.

struct Params {
    // Of the dimensions, innermost first: lengths of grad_input and grad_output, the padding before (i32), and the distance
    // of one step in grad_output. At most 4 are left when those without padding are merged.
    lengths: vec4<u32>,
    output_lengths: vec4<u32>,
    before: vec4<u32>,
    strides: vec4<u32>,
    // The range of places along each dimension.
    begin: vec4<u32>,
    end: vec4<u32>,
    count: u32,
    // Whether sums are added to what is there.
    adds: u32,
    input_base: u32,
    output_base: u32,
    hidden_zero: u32,       // always 0
}

const REFLECT: u32 = 1u;

override WORKGROUP_SIZE: u32 = 64u;
override MODE: u32 = 1u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad_output: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_input: array<f32>;
@group(0) @binding(2) var<storage, read_write> grad_input_blocks: array<vec4<f32>>;

// The first and last place of an element at `position`, for replicate.
fn ends(position: i32, dimension: u32) -> vec2<i32> {
    let own = position + i32(params.before[dimension]);
    let last = i32(params.output_lengths[dimension]) - 1;
    return vec2<i32>(
        select(max(own, 0), 0, position == 0),
        select(min(own, last), last, position + 1 == i32(params.lengths[dimension])),
    );
}

// How many places there may be.
fn places(position: i32, dimension: u32) -> u32 {
    if (MODE == REFLECT) {
        let is_mirrored = place(position, dimension, 1u) >= 0 || place(position, dimension, 2u) >= 0;
        return select(1u, 3u, is_mirrored);
    }
    let of_element = ends(position, dimension);
    return u32(max(of_element.y - of_element.x + 1, 0));
}

// Of these one, counted in steps of grad_output; below 0 if it does not exist.
fn place(position: i32, dimension: u32, number: u32) -> i32 {
    let before = i32(params.before[dimension]);
    let length = i32(params.lengths[dimension]);
    var at = ends(position, dimension).x + i32(number);
    var exists = true;
    if (MODE == REFLECT) {
        // Itself, before the first element, and after the last.
        at = select(select(2 * (length - 1) - position, -position, number == 1u), position, number == 0u) + before;
        exists = number == 0u || (number == 1u && position > 0) || (number == 2u && position + 1 < length);
    }
    return select(-1, at * i32(params.strides[dimension]), exists && at >= 0 && at < i32(params.output_lengths[dimension]));
}

fn is_single(at: vec4<i32>) -> bool {
    return places(at.x, 0u) == 1u && places(at.y, 1u) == 1u && places(at.z, 2u) == 1u;
}

// An element in only one place, which the first range has. 0 if that is cut off.
fn single(at: vec4<i32>) -> f32 {
    let of_dimensions = vec4<i32>(place(at.x, 0u, 0u), place(at.y, 1u, 0u), place(at.z, 2u, 0u), place(at.w, 3u, 0u));
    if (any(of_dimensions < vec4<i32>()) || any(params.begin > vec4<u32>())) {
        return 0.0;
    }
    return grad_output[i32(params.output_base) + of_dimensions.x + of_dimensions.y + of_dimensions.z + of_dimensions.w];
}

fn sum_of(at: vec4<i32>) -> f32 {
    if (is_single(at)) {
        return single(at);
    }
    let counts = vec3<u32>(places(at.x, 0u), places(at.y, 1u), places(at.z, 2u));
    let end = min(params.end.xyz, counts);
    // The outermost dimension has no padding.
    let outermost = i32(params.output_base) + at.w * i32(params.strides.w);
    var sum: vec2<f32>;
    for (var z = params.begin.z; z < end.z; z++) {
        let plane = place(at.z, 2u, z);
        for (var y = params.begin.y; y < select(0u, end.y, plane >= 0); y++) {
            let row = place(at.y, 1u, y);
            for (var x = params.begin.x; x < select(0u, end.x, row >= 0); x++) {
                let col = place(at.x, 0u, x);
                if (col >= 0) {
                    sum = add(sum, grad_output[outermost + plane + row + col]);
                }
            }
        }
    }
    return rounded(sum);
}

// The coordinates of an element.
fn position_of(index: u32) -> vec4<i32> {
    let rest_0 = divided(index, params.lengths.x);
    let rest_1 = divided(rest_0, params.lengths.y);
    let rest_2 = divided(rest_1, params.lengths.z);
    return vec4<i32>(vec4<u32>(
        index - rest_0 * params.lengths.x,
        rest_0 - rest_1 * params.lengths.y,
        rest_1 - rest_2 * params.lengths.z,
        rest_2,
    ));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        let at = params.input_base + index;
        var sum = sum_of(position_of(index));
        if (params.adds != 0u) {
            sum += grad_input[at];
        }
        grad_input[at] = sum;
    }
}

// count is that of blocks.
@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block >= params.count) {
        return;
    }
    let at = position_of(4u * block);
    let next = vec4<i32>(1, 0, 0, 0);
    var sums = vec4<f32>(sum_of(at), sum_of(at + next), sum_of(at + 2 * next), sum_of(at + 3 * next));
    let place = params.input_base / 4u + block;
    if (params.adds != 0u) {
        sums += grad_input_blocks[place];
    }
    grad_input_blocks[place] = sums;
}
