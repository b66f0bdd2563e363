// parts: divide, moved|moved_add
// pad: output[o_0, .., o_n] = input[o_0 - before_0, .., o_n - before_n]. Outside of the input it is `value`, or in the
// modes reflect and replicate the input at the mirrored or at the nearest position.
//
// Dimensions without padding are merged with a neighbour where that is possible, and RANK are left. One invocation
// computes a block of 4 elements next to each other; `elements` computes those that are no block.

struct Params {
    // Of the dimensions, innermost first: lengths of output and input, the padding before (i32), and the distance of one
    // step in the input.
    lengths_0: vec4<u32>,
    lengths_1: vec4<u32>,
    input_lengths_0: vec4<u32>,
    input_lengths_1: vec4<u32>,
    before_0: vec4<u32>,
    before_1: vec4<u32>,
    strides_0: vec4<u32>,
    strides_1: vec4<u32>,
    count: u32,
    // The first element.
    first: u32,
    // Bits of a float.
    value: u32,
    input_base: u32,
    output_base: u32,
}

const CONSTANT: u32 = 0u;
const REFLECT: u32 = 1u;

override WORKGROUP_SIZE: u32 = 64u;
override RANK: u32 = 8u;
override MODE: u32 = 0u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;

fn of_dimension(first: vec4<u32>, second: vec4<u32>, dimension: u32) -> u32 {
    if (dimension < 4u) {
        return first[dimension];
    }
    return second[dimension - 4u];
}

// Where an element is in the input, if it is inside.
struct Place {
    at: u32,
    is_inside: bool,
}

// The same place, moved along a dimension to the output's coordinate there.
fn moved(place: Place, dimension: u32, coordinate: u32) -> Place {
    let length = i32(of_dimension(params.input_lengths_0, params.input_lengths_1, dimension));
    var source = i32(coordinate) - i32(of_dimension(params.before_0, params.before_1, dimension));
    var is_inside = place.is_inside;
    if (MODE == CONSTANT) {
        is_inside = is_inside && source >= 0 && source < length;
        source = select(0, source, is_inside);
    } else if (MODE == REFLECT) {
        source = abs(source);
        source = select(source, 2 * (length - 1) - source, source >= length);
    } else {
        source = clamp(source, 0, length - 1);
    }
    return Place(place.at + u32(source) * of_dimension(params.strides_0, params.strides_1, dimension), is_inside);
}

// The place along all dimensions but the innermost. `row` counts the output's rows.
fn row_place(row: u32) -> Place {
    var place = Place(params.input_base, true);
    var rest = row;
    for (var dimension = 1u; dimension < RANK; dimension++) {
        var coordinate = rest;
        // The outermost needs no division.
        if (dimension + 1u < RANK) {
            let length = of_dimension(params.lengths_0, params.lengths_1, dimension);
            rest = divided(coordinate, length);
            coordinate -= rest * length;
        }
        place = moved(place, dimension, coordinate);
    }
    return place;
}

fn element_of(row: Place, col: u32) -> u32 {
    let place = moved(row, 0u, col);
    return select(params.value, input[place.at], place.is_inside);
}

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
    var row = divided(4u * block, params.lengths_0.x);
    var col = 4u * block - row * params.lengths_0.x;
    var place = row_place(row);
    var values: vec4<u32>;
    for (var element = 0u; element < 4u; element++) {
        values[element] = element_of(place, col);
        col++;
        if (col == params.lengths_0.x && element < 3u) {
            col = 0u;
            row++;
            place = row_place(row);
        }
    }
    store_block(params.output_base / 4u + block, values);
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (number < params.count) {
        let index = params.first + number;
        let row = divided(index, params.lengths_0.x);
        store(params.output_base + index, element_of(row_place(row), index - row * params.lengths_0.x));
    }
}
