// parts: divide, pairs
// The gradient of pad in the modes reflect and replicate: grad_input[i] is the sum of grad_output over the places that pad
// fills from i. (A constant is padded by cutting off: see pad.wgsl.)
//
// An invocation computes an element, or a block of 4 where rows are in blocks. An element in the middle is in one place.
// Beside a border it may be in several along each dimension, and the invocation goes through those of this dispatch's range.

struct Params {
    // Of the dimensions, innermost first: lengths of grad_input and grad_output, the padding before (i32), and the distance
    // of one step in grad_output. At most 4 are left when those without padding are merged.
    lengths: vec4<u32>,
    output_lengths: vec4<u32>,
    before: vec4<u32>,
    strides: vec4<u32>,
    // Where elements begin and end (i32) that are in one place alone.
    inner_begin: vec4<u32>,
    inner_end: vec4<u32>,
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
        return 3u;
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

// Whether the elements from `at` to `last` along the innermost dimension are each in one place.
fn are_inner(at: vec4<i32>, last: i32) -> bool {
    return all(at >= vec4<i32>(params.inner_begin)) && all(vec4<i32>(last, at.yzw) < vec4<i32>(params.inner_end));
}

// Where the only place of an element is.
fn only_place(at: vec4<i32>) -> i32 {
    let of_dimensions = (at + vec4<i32>(params.before)) * vec4<i32>(params.strides);
    return i32(params.output_base) + of_dimensions.x + of_dimensions.y + of_dimensions.z + of_dimensions.w;
}

// With the places of an element in a row of grad_output, which begins there.
fn add_cols(sum: vec2<f32>, row: i32, col: i32) -> vec2<f32> {
    var total = sum;
    for (var number = params.begin.x; number < min(params.end.x, places(col, 0u)); number++) {
        let at = place(col, 0u, number);
        if (at >= 0) {
            total = add(total, grad_output[row + at]);
        }
    }
    return total;
}

// The rows of grad_output with places of elements of a row: how many there may be, and where one begins; below 0 if it does
// not exist.
fn rows_of(at: vec4<i32>) -> vec2<u32> {
    return vec2<u32>(places(at.y, 1u), places(at.z, 2u));
}

fn row_of(at: vec4<i32>, y: u32, z: u32) -> i32 {
    let row = place(at.y, 1u, y);
    let plane = place(at.z, 2u, z);
    // The outermost dimension has no padding.
    let begin = i32(params.output_base) + at.w * i32(params.strides.w) + plane + row;
    return select(-1, begin, row >= 0 && plane >= 0);
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
    if (index >= params.count) {
        return;
    }
    let at = position_of(index);
    var sum = 0.0;
    if (are_inner(at, at.x)) {
        // The first range has it.
        if (all(params.begin == vec4<u32>())) {
            sum = grad_output[only_place(at)];
        }
    } else {
        var total: vec2<f32>;
        let end = min(params.end.yz, rows_of(at));
        for (var z = params.begin.z; z < end.y; z++) {
            for (var y = params.begin.y; y < end.x; y++) {
                let row = row_of(at, y, z);
                if (row >= 0) {
                    total = add_cols(total, row, at.x);
                }
            }
        }
        sum = rounded(total);
    }
    let to = params.input_base + index;
    if (params.adds != 0u) {
        sum += grad_input[to];
    }
    grad_input[to] = sum;
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
    var sums: vec4<f32>;
    if (are_inner(at, at.x + 3)) {
        if (all(params.begin == vec4<u32>())) {
            let first = only_place(at);
            sums = vec4<f32>(grad_output[first], grad_output[first + 1], grad_output[first + 2], grad_output[first + 3]);
        }
    } else {
        var totals: array<vec2<f32>, 4>;
        let end = min(params.end.yz, rows_of(at));
        for (var z = params.begin.z; z < end.y; z++) {
            for (var y = params.begin.y; y < end.x; y++) {
                let row = row_of(at, y, z);
                if (row >= 0) {
                    totals[0] = add_cols(totals[0], row, at.x);
                    totals[1] = add_cols(totals[1], row, at.x + 1);
                    totals[2] = add_cols(totals[2], row, at.x + 2);
                    totals[3] = add_cols(totals[3], row, at.x + 3);
                }
            }
        }
        sums = vec4<f32>(rounded(totals[0]), rounded(totals[1]), rounded(totals[2]), rounded(totals[3]));
    }
    let to = params.input_base / 4u + block;
    if (params.adds != 0u) {
        sums += grad_input_blocks[to];
    }
    grad_input_blocks[to] = sums;
}
