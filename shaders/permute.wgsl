// parts: divide, moved|moved_add
// permute: output[o_0, .., o_n] = input[i_0, .., i_n], where o_d is i at dims[d]. Its gradient is permuted by the
// inverse order, and may be added to what is there.
//
// Neighbouring dimensions that stay neighbours are merged, and RANK are left. `elements` computes an element an
// invocation. `blocks` computes 4 where both arrays have the same innermost dimension, in blocks. `squares` loads 4 blocks
// along one dimension and stores 4 along another, where the innermost dimensions of both arrays are in blocks.

struct Params {
    // Of the output's dimensions, innermost first: the length, and the distance of one step in input and in output.
    // Counted in blocks for the innermost dimension of blocks, and for both of squares.
    lengths_0: vec4<u32>,
    lengths_1: vec4<u32>,
    input_strides_0: vec4<u32>,
    input_strides_1: vec4<u32>,
    output_strides_0: vec4<u32>,
    output_strides_1: vec4<u32>,
    count: u32,
    // For squares: the distance from a block to the next that is loaded, and to the next that is stored, in blocks.
    input_step: u32,
    output_step: u32,
    input_base: u32,
    output_base: u32,
}

override WORKGROUP_SIZE: u32 = 64u;
override RANK: u32 = 8u;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read> input_blocks: array<vec4<u32>>;

fn of_dimension(first: vec4<u32>, second: vec4<u32>, dimension: u32) -> u32 {
    if (dimension < 4u) {
        return first[dimension];
    }
    return second[dimension - 4u];
}

// Where a position is in input and in output.
fn places(number: u32) -> vec2<u32> {
    var rest = number;
    var at = vec2<u32>();
    for (var dimension = 0u; dimension < RANK; dimension++) {
        var coordinate = rest;
        // The outermost needs no division.
        if (dimension + 1u < RANK) {
            let length = of_dimension(params.lengths_0, params.lengths_1, dimension);
            rest = divided(coordinate, length);
            coordinate -= rest * length;
        }
        at += coordinate * vec2<u32>(
            of_dimension(params.input_strides_0, params.input_strides_1, dimension),
            of_dimension(params.output_strides_0, params.output_strides_1, dimension),
        );
    }
    return at;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn elements(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (index < params.count) {
        store(params.output_base + index, input[params.input_base + places(index).x]);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn blocks(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (block < params.count) {
        store_block(params.output_base / 4u + block, input_blocks[params.input_base / 4u + places(block).x]);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn squares(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let square = (workgroup.y * grid.x + workgroup.x) * WORKGROUP_SIZE + lane;
    if (square >= params.count) {
        return;
    }
    let at = vec2<u32>(params.input_base, params.output_base) / 4u + places(square);
    let row_0 = input_blocks[at.x];
    let row_1 = input_blocks[at.x + params.input_step];
    let row_2 = input_blocks[at.x + 2u * params.input_step];
    let row_3 = input_blocks[at.x + 3u * params.input_step];
    store_block(at.y, vec4<u32>(row_0.x, row_1.x, row_2.x, row_3.x));
    store_block(at.y + params.output_step, vec4<u32>(row_0.y, row_1.y, row_2.y, row_3.y));
    store_block(at.y + 2u * params.output_step, vec4<u32>(row_0.z, row_1.z, row_2.z, row_3.z));
    store_block(at.y + 3u * params.output_step, vec4<u32>(row_0.w, row_1.w, row_2.w, row_3.w));
}
