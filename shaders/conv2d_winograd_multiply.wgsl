// parts: winograd, kernels|kernels_packed
// The multiply pass of conv2d by Winograd's algorithms (see conv2d_winograd2x2.wgsl), on GPUs: a product of matrices
// for each position p and each group g.
//     products[p,g,t,o] = sum over i of inputs[p,g,i,t] * kernels[p,g,i,o]          t a tile, o a channel
//
// A workgroup computes 64 tiles by 64 channels. For 16 input channels at a time, each of its 16 by 16 invocations loads a
// block of inputs and one of kernels into workgroup memory; each then adds products of 4 tiles by 4 channels:
//
//              channels 0..3   4..7  ..  60..63
//     tiles 0..3     lane 0       1          15       every value loaded is used 64 times
//           4..7         16      17          31
//           ..
//
// The products of 16 channels are summed separately, as a tree, so that many channels do not add rounding.

const SIDE: i32 = 16;

// [input channel of a step, block of tiles], and the same for channels. Neighbours are in different banks.
var<workgroup> inputs: array<vec4<f32>, 256>;
var<workgroup> kernels: array<vec4<f32>, 272>;

const STEP: i32 = 16;
const KERNELS_STEP: i32 = 17;

// 4 tiles of 4 channels.
struct Square {
    tile_0: vec4<f32>,
    tile_1: vec4<f32>,
    tile_2: vec4<f32>,
    tile_3: vec4<f32>,
}

fn add(a: Square, b: Square) -> Square {
    return Square(a.tile_0 + b.tile_0, a.tile_1 + b.tile_1, a.tile_2 + b.tile_2, a.tile_3 + b.tile_3);
}

fn products(step: i32, lane: i32) -> Square {
    let tiles = inputs[step * SIDE + lane / SIDE];
    let channels = kernels[step * KERNELS_STEP + lane % SIDE];
    return Square(tiles.x * channels, tiles.y * channels, tiles.z * channels, tiles.w * channels);
}

fn products_of_four(step: i32, lane: i32) -> Square {
    return add(
        add(products(step, lane), products(step + 1, lane)),
        add(products(step + 2, lane), products(step + 3, lane)),
    );
}

@compute @workgroup_size(256)
fn multiply(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) invocation: u32,
) {
    let lane = i32(invocation);
    let blocks = channel_blocks();
    let tile_blocks = params.room / 4;
    let rows = (tile_blocks + SIDE - 1) / SIDE;
    let cols = (blocks + SIDE - 1) / SIDE;
    let number = i32(workgroup.y * grid.x + workgroup.x);
    // A problem is a group at a position.
    let problem = number / rows / cols;
    if (problem >= params.positions * params.groups) {
        return;
    }
    let position = problem / params.groups;
    let group = problem % params.groups;
    let first_block = number % cols * SIDE;
    let first_tile_block = number / cols % rows * SIDE;

    // What this invocation loads.
    let tile_block = first_tile_block + lane % SIDE;
    let inputs_begin = position * params.inputs_step + group * params.channel_room * tile_blocks;
    let kernel_block = first_block + lane / SIDE;
    let kernels_begin = position * params.kernels_step + (group * blocks + kernel_block) * params.channel_room;
    var totals: Square;
    for (var channel = 0; channel < params.channel_room; channel += STEP) {
        let input_channel = channel + lane / SIDE;
        var tiles_inputs = vec4<f32>();
        if (input_channel < params.channel_room && tile_block < tile_blocks) {
            tiles_inputs = workspace[inputs_begin + input_channel * tile_blocks + tile_block];
        }
        let kernel_channel = channel + lane % SIDE;
        var channels_kernels = vec4<f32>();
        if (kernel_channel < params.channel_room && kernel_block < blocks) {
            channels_kernels = load_kernels(kernels_begin + kernel_channel);
        }
        inputs[lane] = tiles_inputs;
        kernels[lane % SIDE * KERNELS_STEP + lane / SIDE] = channels_kernels;
        workgroupBarrier();
        let sums = add(
            add(products_of_four(0, lane), products_of_four(4, lane)),
            add(products_of_four(8, lane), products_of_four(12, lane)),
        );
        totals = add(totals, sums);
        workgroupBarrier();
    }

    let block = first_block + lane % SIDE;
    let own_tile_block = first_tile_block + lane / SIDE;
    if (own_tile_block >= tile_blocks || block >= blocks) {
        return;
    }
    let at = params.products_begin + position * params.products_step + (group * blocks + block) * params.room
        + 4 * own_tile_block;
    workspace[at] = totals.tile_0;
    workspace[at + 1] = totals.tile_1;
    workspace[at + 2] = totals.tile_2;
    workspace[at + 3] = totals.tile_3;
}
